"""The e3nn basis is the standard one after a cyclic relabelling of the axes; only arguments change, never results.

The relabelling is `groups.spherical.CYCLE`, as a shift by one place: an index would have to be copied to the
device, which waits.
"""

from __future__ import annotations

import torch

BASES = ("standard", "e3nn")


def relabel_matrices(rotations: torch.Tensor, basis: str) -> torch.Tensor:
    """Rotation matrices in the axes of the standard basis."""
    return rotations.roll((1, 1), (-2, -1)) if basis == "e3nn" else rotations


def relabel_points(xyz: torch.Tensor, basis: str) -> torch.Tensor:
    """Points in the axes of the standard basis."""
    return xyz.roll(1, -1) if basis == "e3nn" else xyz
