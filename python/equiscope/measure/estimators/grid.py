"""A grid of group elements with weights, turned for every system, refined until the numbers of that system settle."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ...errors import ArgumentError, fail
from ...groups.group import Grid, Group
from ...groups.quadrature import Quadrature
from ...groups.representation import Representation
from ...result.data import Output
from ..measure import Measure, Moments, Question, register
from ..on_grid import grid_bytes, grid_moments, reach
from ..orbit import OrbitMoments
from ..settling import Seen, relative_error

MINIMUM_DEGREE = 6
"""First degree that is tried: an error made of l <= 3, the least that a learned model shows, is exact from here."""

TURNED_AT_ONCE = 4
"""Turned grids that are kept: systems overlap in a batch, and come one after the other."""


@register
@dataclass(frozen=True)
class GridMeasure(Measure):
    """A grid, for every system turned by its own random pair: g -> h1 g h2.

    What the grid resolves is the same for every pair. What it does not resolve depends on how its points, which have
    the symmetry of an octahedron, lie to the axes of the data: at random it is right on average, and the errors of
    different systems, and of one system at two degrees, are independent.

    With a `tolerance` every system whose errors are larger is evaluated again at the next degree. Nothing passes from
    one degree to the next: a ring of twice as many angles holds the angles of the smaller one, but no Lebedev rule
    holds the points of another.
    """

    grid: Grid
    tolerance: float
    most: int = 0
    """Highest degree tried."""
    asked: int | None = None
    """The degree that was asked for; None: it is found."""
    seed: int = 0
    shift: str | None = "system"
    """None: the bare grid for all systems."""
    spectrum: bool = True
    """Whether the errors of the spectrum are judged."""

    name = "quadrature"

    @classmethod
    def check(cls, question: Question) -> None:
        for name, value in (("rotations", question.rotations), ("precision", question.precision)):
            if value is not None:
                fail(ArgumentError, name, 'None unless estimator="monte-carlo"', repr(value))

    @classmethod
    def of(cls, question: Question) -> GridMeasure:
        group, lmax = question.group, question.lmax
        degree = max(2 * lmax, MINIMUM_DEGREE) if question.degree is None else question.degree
        return cls(
            group.grid(degree),
            question.tolerance,
            max(group.finest, 2 * lmax),
            question.degree,
            question.seed,
            question.shift,
            question.spectrum,
        )

    @property
    def group(self) -> Group:
        return self.grid.group

    @property
    def degree(self) -> int | None:
        return self.grid.degree

    @property
    def independent(self) -> bool:
        return self.shift is not None

    @property
    def assumes(self) -> bool:
        return self.grid.degree is not None

    @property
    def refines(self) -> bool:
        return self.asked is None and self.grid.degree is not None

    def finer(self) -> GridMeasure | None:
        following = None if self.grid.degree is None else self.group.next_degree(self.grid.degree)
        return replace(self, grid=self.group.grid(following)) if following and following <= self.most else None

    def need(self, seen: Seen, pooled: Seen | None) -> float:
        return relative_error(seen, pooled, spectrum=self.spectrum) / self.tolerance

    def __len__(self) -> int:
        return len(self.grid)

    def elements(self, system: str) -> Grid:
        if self.shift is None or self.grid.degree is None:
            return self.grid
        return _turned(self.grid, self.seed, system)

    def moments(self, system: str, lmax: int, first: torch.Tensor, representation: Representation | None) -> Moments:
        return grid_moments(self.elements(system), lmax, first, representation, beyond=self.shift is not None)

    def alike(self, lmax: int, first: torch.Tensor) -> int | None:
        # layers of other sizes may be resolved up to another degree
        return self._reach(lmax, first) if isinstance(self.grid, Quadrature) else None

    def joined(self, system: str, lmax: int, firsts: Sequence[torch.Tensor]) -> Moments:
        grid = self.elements(system)
        assert isinstance(grid, Quadrature)
        return OrbitMoments(grid, lmax, torch.cat(list(firsts), dim=1), None, self._reach(lmax, firsts[0]))

    def _reach(self, lmax: int, first: torch.Tensor) -> int:
        assert isinstance(self.grid, Quadrature)
        return reach(self.grid, lmax, first) if self.shift is not None else lmax

    def nbytes(self, lmax: int, first: torch.Tensor) -> int:
        return grid_bytes(self.grid, lmax, first, beyond=self.shift is not None)

    def settings(self, outputs: Mapping[str, Output]) -> dict[str, Any]:
        return {
            "degree": self.degree,
            "degree_asked": "auto" if self.asked is None else self.asked,
            "tolerance": self.tolerance,
            "shift": self.shift,
            "seed": self.seed,
            **super().settings(outputs),
            **self.grid.description(),
        }


@functools.lru_cache(maxsize=TURNED_AT_ONCE)
def _turned(grid: Grid, seed: int, system: str) -> Grid:
    """`grid` turned by the pair that belongs to this seed, system and degree."""
    mixed = np.random.SeedSequence([seed, zlib.crc32(system.encode()), grid.degree or 0]).generate_state(1)[0]
    left, right = grid.group.draw(2, torch.Generator().manual_seed(int(mixed)))
    return grid.turned(left, right)
