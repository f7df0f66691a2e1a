"""The kernels as differentiable operators on tensors. Each calls the backend of its tensors, and nothing else does.

They are custom operators of torch: derivatives come through ``torch.autograd`` (also after ``torch.func.vmap``), not
through ``torch.func.grad``, which torch does not offer for custom operators.
"""

from __future__ import annotations

from ..groups.registry import quadrature
from ..kernels.registry import info as backend
from .harmonics import spherical_harmonics
from .projection import CharacterProjection, character_power
from .rotation import rotate
from .wigner import wigner_D

__all__ = [
    "CharacterProjection",
    "backend",
    "character_power",
    "quadrature",
    "rotate",
    "spherical_harmonics",
    "wigner_D",
]
