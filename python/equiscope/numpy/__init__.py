"""The kernels on arrays of NumPy: the functions of `equiscope` under the same names, and torch is not imported.

Conventions, layouts, bounds, checks and messages are those of the torch functions, and irreps, D, Y and power on a
`Quadrature` have their bits too. There are no derivatives. Work is spread over OMP_NUM_THREADS threads, or over
all processors where that is not set.
"""

from __future__ import annotations

from .grid import Quadrature, quadrature, random_rotations
from .harmonics import spherical_harmonics
from .projection import character_power
from .rotation import rotate
from .wigner import wigner_D

__all__ = [
    "Quadrature",
    "character_power",
    "quadrature",
    "random_rotations",
    "rotate",
    "spherical_harmonics",
    "wigner_D",
]


def __dir__() -> list[str]:
    return __all__
