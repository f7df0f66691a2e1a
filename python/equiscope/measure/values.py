"""The one layout in which values on a grid are accumulated."""

from __future__ import annotations

import torch

from ..errors import ArgumentError, DeviceError, DTypeError, NonFiniteValues, ShapeError, fail
from ..groups.group import Grid
from ..groups.representation import Representation
from .finite import fault, in_range


def canonical(values: torch.Tensor, grid: Grid, representation: Representation) -> torch.Tensor:
    """``(G, samples, ...)``, the components where their kind says, as ``(G, samples, channels, components)``."""
    if not isinstance(values, torch.Tensor) or not values.is_floating_point():
        fail(DTypeError, "values", "a floating-point tensor", getattr(values, "dtype", type(values).__name__))
    if values.layout != torch.strided:
        fail(ArgumentError, "values", "a dense (strided) tensor", values.layout)
    if values.is_meta:
        fail(DeviceError, "values", "a tensor with values", "one on the device meta")
    if values.ndim < 1 or values.shape[0] != len(grid):
        expected = f"({len(grid)}, samples, ...) on a grid of degree {grid.degree}"
        fail(ShapeError, "values", expected, tuple(values.shape))
    representation.check(tuple(values.shape[1:]), "values")
    if not values.numel():
        fail(ShapeError, "values", "at least one sample, channel and component", tuple(values.shape))
    flat = representation.flatten(values.detach())
    rest = flat.shape[1:-1]
    representation.check_values(flat[0], "values")
    # what is wrong elsewhere shows in the sums
    if not bool(in_range(values[0]).all()):
        raise NonFiniteValues(0, fault(values[0]))
    return flat.reshape(len(grid), rest[0] if rest else 1, -1, representation.components)
