"""What accumulates an orbit on a grid: projected by the operators where these know the group, else held."""

from __future__ import annotations

import torch

from ..groups.group import Grid
from ..groups.quadrature import Quadrature
from ..groups.representation import Representation
from ..groups.so2 import CircleGrid
from .measure import Moments
from .orbit import OrbitMoments, orbit_bytes
from .stored import StoredMoments

REACH = 10
"""Degree up to which the power is resolved where less is asked: what lies higher folds least, and costs memory."""


REACH_BYTES = 1 << 21
"""Memory that this may take where the spectrum itself takes less."""


def reach(grid: Quadrature, lmax: int, first: torch.Tensor) -> int:
    """Degree up to which a grid is asked for the power, in order to know its errors: a part of what it resolves."""
    tried = range(min(grid.degree // 2, REACH), lmax, -1)
    if not tried:
        return lmax
    room = max(orbit_bytes(grid, lmax, first), REACH_BYTES)
    return next((l for l in tried if orbit_bytes(grid, l, first) <= room), lmax)


def grid_moments(
    grid: Grid, lmax: int, first: torch.Tensor, representation: Representation | None, *, beyond: bool = False
) -> Moments:
    """Arguments as for `OrbitMoments`; `beyond`: resolve more than `lmax` where that is low, for the errors alone."""
    if isinstance(grid, Quadrature):
        return OrbitMoments(grid, lmax, first, representation, reach(grid, lmax, first) if beyond else None)
    # all orders that equispaced angles resolve cost nothing more
    return StoredMoments(grid, lmax, first, representation, grid.degree if isinstance(grid, CircleGrid) else None)


def grid_bytes(grid: Grid, lmax: int, first: torch.Tensor, *, beyond: bool = False) -> int:
    """Memory that these take, in bytes."""
    if isinstance(grid, Quadrature):
        return orbit_bytes(grid, reach(grid, lmax, first) if beyond else lmax, first)
    return StoredMoments.nbytes(grid, first)
