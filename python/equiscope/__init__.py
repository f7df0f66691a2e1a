"""Symmetry audit of 3-D machine-learning models, and the O(3) kernels under it."""

from __future__ import annotations

from . import adapters, demo, errors, metrics, report, testing
from .audit import audit
from .info import info
from .ops import character_power, quadrature, rotate, spherical_harmonics, wigner_D
from .report import Audit
from .so3.irreps import Irreps
from .so3.quadrature import Quadrature
from .so3.representation import Representation
from .so3.rotations import random_rotations

__version__ = "0.1.0"

__all__ = [
    "Audit",
    "Irreps",
    "Quadrature",
    "Representation",
    "adapters",
    "audit",
    "character_power",
    "demo",
    "errors",
    "info",
    "metrics",
    "quadrature",
    "random_rotations",
    "report",
    "rotate",
    "spherical_harmonics",
    "testing",
    "wigner_D",
]


def __dir__() -> list[str]:
    return __all__
