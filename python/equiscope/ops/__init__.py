"""The kernels as differentiable operators on tensors. Each calls the backend of its tensors, and nothing else does.

They are custom operators of torch with derivatives of every order: by ``torch.autograd``, in forward mode, and by the
transforms of ``torch.func`` in any nesting. ``torch.compile`` takes what ``torch.autograd`` does into one graph, and
breaks it at those transforms.
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
