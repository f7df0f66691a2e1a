"""Quadrature rules on O(3) and SO(3): Lebedev on the sphere times equispaced angles about the last axis."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ._kept import kept
from .group import Grid, Group, check_range
from .rings import LEBEDEV_DEGREES, MAXIMUM_DEGREE, NEGATIVE_WEIGHTS, rings, turns
from .rotations import handedness

DEGREE_GROWTH = 1.25
"""Smallest step of `next_degree`: below it two degrees may share a rule, above it copies are wasted."""

KEPT_ELEMENTS = 1 << 14
"""Rotations of grids up to this size (degree 28, 1.2 MB) are built once and kept."""


@dataclass(frozen=True, eq=False, repr=False)
class Quadrature(Grid):
    """A grid of rotations that integrates products of matrix elements D^l D^l' exactly for l + l' <= degree.

    Order of the elements: for coset (+R, then -R): for point: for gamma. Element (s, p, k) is
    ``s * rings[p] @ Rz(2 pi k / gammas)``, and where the grid is `turned` it stands between the two rotations of
    `turn`. Power, means and variances are those of the bare rings: c -> D(left) c D(right) mixes no irreps.

    Two are equal where they are the same rule for the same group, turned alike.
    """

    group: Group
    degree: int
    lebedev_degree: int
    rings: torch.Tensor
    """``(P, 3, 3)`` float64, the rotations with gamma = 0."""
    ring_weights: torch.Tensor
    """``(P,)`` float64, sum 1."""
    gammas: int
    """Number K of equispaced angles."""
    turn: tuple[torch.Tensor, torch.Tensor] | None = None
    """``(3, 3)`` rotations left and right of every element; None: the identity."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quadrature) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[Any, ...]:
        turn = None if self.turn is None else tuple(tuple(side.flatten().tolist()) for side in self.turn)
        return self.group.name, self.degree, self.lebedev_degree, self.gammas, turn

    @functools.cached_property
    def bare(self) -> Quadrature:
        """The same rule, not turned."""
        return self if self.turn is None else replace(self, turn=None)

    def to(self, device: torch.device | str) -> Quadrature:
        """The same grid with its tensors on `device`; the latest ones are kept."""
        device = torch.device(device)
        return self if device == self.rings.device else _on(self, device)

    def turned(self, left: torch.Tensor, right: torch.Tensor) -> Quadrature:
        """As for every `Grid`. Both are taken as rotations: a negative sign would exchange the cosets alone."""
        sides = torch.stack([left.to(self.rings), right.to(self.rings)])
        first, second = sides * handedness(sides)[:, None, None]
        if self.turn is not None:
            first, second = first @ self.turn[0], self.turn[1] @ second
        return self._between(first, second)

    def _between(self, left: torch.Tensor, right: torch.Tensor) -> Quadrature:
        """The bare rule between two rotations; what is built of the rule is shared by all of its turns."""
        found = replace(self, turn=(left, right))
        vars(found)["bare"] = self.bare
        return found

    @property
    def cosets(self) -> int:
        return self.group.cosets

    def __len__(self) -> int:
        return self.cosets * self.rings.shape[0] * self.gammas

    @functools.cached_property
    @kept
    def weights(self) -> torch.Tensor:
        """``(G,)`` float64, sum 1."""
        if self.turn is not None:
            return self.bare.weights
        per_element = self.ring_weights / (self.gammas * self.cosets)
        return per_element.repeat_interleave(self.gammas).repeat(self.cosets)

    @functools.cached_property
    @kept
    def rotations(self) -> torch.Tensor:
        """``(G, 3, 3)`` float64."""
        return self._build(0, len(self))

    def description(self) -> dict[str, int]:
        return {"lebedev_degree": self.lebedev_degree, "gammas": self.gammas}

    def select(self, start: int, stop: int) -> torch.Tensor:
        """Elements ``start:stop``, ``(stop - start, 3, 3)`` float64; of a large grid without building the others."""
        check_range(start, stop, len(self))
        if len(self) <= KEPT_ELEMENTS:
            return self.rotations[start:stop]
        return self._build(start, stop)

    def _build(self, start: int, stop: int) -> torch.Tensor:
        if self.turn is not None:
            return self.turn[0] @ self.bare.select(start, stop) @ self.turn[1]
        index = torch.arange(start, stop, device=self.rings.device)
        per_coset = self.rings.shape[0] * self.gammas
        coset, within = index // per_coset, index % per_coset
        (cosine, sine), ring = self._turns[:, within % self.gammas], self.rings[within // self.gammas]
        # ring @ Rz(gamma), in products and sums that have the same bits in every library
        first, second, third = ring.unbind(-1)
        cosine, sine = cosine[:, None], sine[:, None]
        elements = torch.stack([first * cosine + second * sine, second * cosine - first * sine, third], dim=-1)
        return elements * (1.0 - 2.0 * coset.to(torch.float64))[:, None, None]

    @functools.cached_property
    @kept
    def _turns(self) -> torch.Tensor:
        return torch.from_numpy(np.stack(turns(self.gammas))).to(self.rings.device)


def next_degree(degree: int) -> int:
    """The next degree worth trying after `degree`: a Lebedev degree with positive weights, a quarter higher or more."""
    allowed = (d for d in LEBEDEV_DEGREES if d >= DEGREE_GROWTH * degree + 1 and d not in NEGATIVE_WEIGHTS)
    return next(allowed, MAXIMUM_DEGREE + 1)


@functools.lru_cache(maxsize=32)
@kept
def _on(grid: Quadrature, device: torch.device) -> Quadrature:
    if grid.turn is not None:
        # rings are shared with the bare grid, whose tables a device keeps
        return _on(grid.bare, device)._between(*(side.to(device) for side in grid.turn))
    rings, weights = grid.rings.to(device), grid.ring_weights.to(device)
    return replace(grid, rings=rings, ring_weights=weights)


@functools.lru_cache(maxsize=16)
@kept
def ring_grid(group: Group, degree: int, allow_negative: bool = False) -> Quadrature:
    """The grid of `equiscope.quadrature`, on a group that consists of cosets of SO(3)."""
    rule = rings(degree, allow_negative)
    # copies: the rule is kept for others
    rotations, weights = (torch.from_numpy(found.copy()) for found in (rule.rotations, rule.weights))
    return Quadrature(group, degree, rule.lebedev_degree, rotations, weights, degree + 1)
