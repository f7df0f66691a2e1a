"""Symmetry audit of 3-D machine-learning models, and fast kernels of O(3)."""

from __future__ import annotations

from .ops import character_power, quadrature, rotate, spherical_harmonics, wigner_D
from .so3.irreps import Irreps
from .so3.quadrature import Quadrature
from .so3.representation import Representation
from .so3.rotations import random_rotations

__all__ = [
    "Irreps",
    "Quadrature",
    "Representation",
    "character_power",
    "quadrature",
    "random_rotations",
    "rotate",
    "spherical_harmonics",
    "wigner_D",
]


def __dir__() -> list[str]:
    return sorted(__all__)
