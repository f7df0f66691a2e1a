"""Symmetry audit of 3-D machine-learning models, and the O(3) kernels under it."""

from __future__ import annotations

from . import adapters, demo, errors, groups, metrics, report, testing
from .adapters.batching import Concat
from .audit import audit
from .diagnose import Diagnosis, Fate, diagnose
from .groups.irreps import Irreps
from .groups.quadrature import Quadrature
from .groups.registry import quadrature, random_rotations
from .groups.representation import Representation
from .info import VERSION, info
from .ops import character_power, rotate, spherical_harmonics, wigner_D
from .report import Audit
from .result.judge import Verdict
from .symmetrize import symmetrize

__version__ = VERSION

__all__ = [
    "Audit",
    "Concat",
    "Diagnosis",
    "Fate",
    "Irreps",
    "Quadrature",
    "Representation",
    "Verdict",
    "adapters",
    "audit",
    "character_power",
    "demo",
    "diagnose",
    "errors",
    "groups",
    "info",
    "metrics",
    "quadrature",
    "random_rotations",
    "report",
    "rotate",
    "spherical_harmonics",
    "symmetrize",
    "testing",
    "wigner_D",
]


def __dir__() -> list[str]:
    return __all__
