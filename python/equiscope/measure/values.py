"""The one layout in which values on a grid are accumulated."""

from __future__ import annotations

import torch

from ..errors import DTypeError, ShapeError, fail
from ..groups.group import Grid
from ..groups.representation import Representation


def canonical(values: torch.Tensor, grid: Grid, representation: Representation) -> torch.Tensor:
    """``(G, samples, *channels, *components)`` as ``(G, samples, channels, components)``."""
    if not isinstance(values, torch.Tensor) or not values.is_floating_point():
        fail(DTypeError, "values", "a floating-point tensor", getattr(values, "dtype", type(values).__name__))
    if values.ndim < 1 or values.shape[0] != len(grid):
        expected = f"({len(grid)}, samples, ...) on a grid of degree {grid.degree}"
        fail(ShapeError, "values", expected, tuple(values.shape))
    representation.check(tuple(values.shape[1:]), "values")
    rest = values.shape[1 : values.ndim - representation.component_axes]
    return values.detach().reshape(len(grid), rest[0] if rest else 1, -1, representation.components)
