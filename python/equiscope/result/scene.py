"""The system with the largest error of an output, as much of it as it takes to look at it."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class Scene:
    """A system, an element g of the group at which its output is farthest off, and how the error depends on g.

    Values are ``(samples, channels, components)`` float64, samples the rows that the output has in this system; all
    tensors lie on the host.
    """

    system: str
    rmse: float
    """Root of A on this system."""
    input: str
    """Name of the input that `positions` are."""
    positions: torch.Tensor
    """``(n, 3)``, as given."""
    types: torch.Tensor | None
    """``(n,)`` int64, where the system has them."""
    atomic: bool
    """Whether types are atomic numbers."""
    cell: torch.Tensor | None
    """``(3, 3)``, one cell vector per row."""
    pbc: torch.Tensor | None
    """``(3,)`` bool."""
    rotation_index: int
    rotation: torch.Tensor
    """``(3, 3)``: g, that of the largest deviation on this system."""
    given: torch.Tensor
    """f(x), the output on the system as given."""
    mean: torch.Tensor
    """Pi, the symmetrised output: what f(x) ought to be."""
    found: torch.Tensor
    """f(g x)."""
    expected: torch.Tensor
    """rho(g) Pi: what f(g x) ought to be."""
    axis: torch.Tensor
    """``(3,)``: the axis a whose direction g a the error is shown by: z, or x where the group keeps z."""
    directions: torch.Tensor
    """``(P, 3)``: unit vectors n of a rule on the sphere."""
    areas: torch.Tensor
    """``(P,)``: the share of the sphere that each stands for, sum 1."""
    squares: torch.Tensor
    """``(P,)``: E(n), squared error per component summed over the g with g a near n; ``areas @ squares = rmse^2``."""
    weights: torch.Tensor
    """``(P,)``: how much of the group that is, 1 where elements lie evenly: E / weights is the mean square error
    there."""
    degree: int
    """L of the kernel ``(L + 1) ((1 + n . g a) / 2)^L`` that says what is near. E and weights are polynomials of that
    degree, which the rule determines."""
