"""The e3nn basis is the standard one after a cyclic relabelling of the axes; only arguments change, never results."""

from __future__ import annotations

import torch

from ..groups.representation import CYCLE

BASES = ("standard", "e3nn")


def relabel_matrices(rotations: torch.Tensor, basis: str) -> torch.Tensor:
    """Rotation matrices in the axes of the standard basis."""
    return rotations[..., CYCLE, :][..., CYCLE] if basis == "e3nn" else rotations


def relabel_points(xyz: torch.Tensor, basis: str) -> torch.Tensor:
    """Points in the axes of the standard basis."""
    return xyz[..., CYCLE] if basis == "e3nn" else xyz
