"""What accumulates an orbit on a grid: projected by the operators where these know the group, else held."""

from __future__ import annotations

import torch

from ..groups.group import Grid
from ..groups.quadrature import Quadrature
from ..groups.representation import Representation
from .measure import Moments
from .orbit import OrbitMoments, orbit_bytes
from .stored import StoredMoments

REACH = 10
"""Degree up to which the power is resolved where less is asked: what lies higher folds least, and costs memory."""


def reach(grid: Quadrature, lmax: int) -> int:
    """Degree up to which a grid is asked for the power, in order to know its errors: a part of what it resolves."""
    return max(lmax, min(grid.degree // 2, REACH))


def grid_moments(
    grid: Grid, lmax: int, first: torch.Tensor, representation: Representation | None, *, beyond: bool = False
) -> Moments:
    """Arguments as for `OrbitMoments`; `beyond`: resolve more than `lmax` where that is low, for the errors alone."""
    if isinstance(grid, Quadrature):
        return OrbitMoments(grid, lmax, first, representation, reach(grid, lmax) if beyond else None)
    return StoredMoments(grid, lmax, first, representation)


def grid_bytes(grid: Grid, lmax: int, first: torch.Tensor, *, beyond: bool = False) -> int:
    """Memory that these take, in bytes."""
    if isinstance(grid, Quadrature):
        return orbit_bytes(grid, reach(grid, lmax) if beyond else lmax, first)
    return StoredMoments.nbytes(grid, first)
