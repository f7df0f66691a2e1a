"""What accumulates an orbit on a grid: projected by the operators where these know the group, else held."""

from __future__ import annotations

import torch

from ..groups.group import Grid
from ..groups.quadrature import Quadrature
from ..groups.representation import Representation
from .measure import Moments
from .orbit import OrbitMoments, orbit_bytes
from .stored import StoredMoments


def grid_moments(grid: Grid, lmax: int, first: torch.Tensor, representation: Representation | None) -> Moments:
    """Arguments as for `OrbitMoments`."""
    if isinstance(grid, Quadrature):
        return OrbitMoments(grid, lmax, first, representation)
    return StoredMoments(grid, lmax, first, representation)


def grid_bytes(grid: Grid, lmax: int, first: torch.Tensor) -> int:
    """Memory that these take, in bytes."""
    return orbit_bytes(grid, lmax, first) if isinstance(grid, Quadrature) else StoredMoments.nbytes(grid, first)
