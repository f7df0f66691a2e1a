"""A grid of group elements with weights, refined until the numbers settle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...errors import ArgumentError, fail
from ...groups.group import Chart, Grid, Group
from ...groups.representation import Representation
from ...result.data import Output
from ..convergence import change, negligible
from ..measure import Found, Judgement, Measure, Moments, Question, register
from ..on_grid import grid_bytes, grid_moments

MINIMUM_DEGREE = 6
"""First degree that is tried: an error made of l <= 3, the least that a learned model shows, is exact from here."""

MAXIMUM_AUTO_DEGREE = 41
"""Where ``degree="auto"`` gives up: 39 thousand copies of every system."""

PILOT_SYSTEMS = 2
"""Systems on which ``degree="auto"`` is decided; further ones change it rarely and cost all of their copies."""


@register
@dataclass(frozen=True)
class GridMeasure(Measure):
    """The same grid for every system.

    With a `tolerance` the degree rises on the first systems until nothing asked for changes by more. A change within it
    says that the lower degree sufficed, so the other systems are run there. Nothing passes from one degree to the next:
    a ring of twice as many angles holds the angles of the smaller one, but no Lebedev rule holds the points of another.
    """

    grid: Grid
    tolerance: float
    most: int = 0
    """Highest degree tried."""
    asked: int | None = None
    """The degree that was asked for; None: it is found."""

    name = "quadrature"

    @classmethod
    def check(cls, question: Question) -> None:
        for name, value in (("rotations", question.rotations), ("precision", question.precision)):
            if value is not None:
                fail(ArgumentError, name, 'None unless estimator="monte-carlo"', repr(value))

    @classmethod
    def of(cls, question: Question) -> GridMeasure:
        group, lmax = question.group, question.lmax
        if question.degree is not None:
            return cls(group.grid(question.degree), question.tolerance, asked=question.degree)
        start = max(2 * lmax, MINIMUM_DEGREE)
        return cls(group.grid(start), question.tolerance, max(MAXIMUM_AUTO_DEGREE, 2 * lmax))

    @property
    def group(self) -> Group:
        return self.grid.group

    @property
    def degree(self) -> int | None:
        return self.grid.degree

    @property
    def pilot(self) -> int:
        return PILOT_SYSTEMS if self.asked is None and self.grid.degree is not None else 0

    def __len__(self) -> int:
        return len(self.grid)

    def elements(self, system: str) -> Grid:
        return self.grid

    def moments(self, system: str, lmax: int, first: torch.Tensor, representation: Representation | None) -> Moments:
        return grid_moments(self.grid, lmax, first, representation)

    def nbytes(self, lmax: int, first: torch.Tensor) -> int:
        return grid_bytes(self.grid, lmax, first)

    def uncertainty(
        self, chart: Chart, power: torch.Tensor, unresolved: float, errors: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        return aliasing(self.group, chart, power, unresolved, self.degree)

    def judge(self, found: Found, previous: Found | None) -> Judgement:
        moved = None if previous is None else change(previous, found)
        judged = {"change": moved}
        if moved is not None and moved <= self.tolerance:
            return Judgement(judged, previous_suffices=True)
        if negligible(found, self.tolerance):
            return Judgement(judged)
        assert self.degree is not None
        following = self.group.next_degree(self.degree)
        if following is not None and following <= self.most:
            return Judgement(judged, replace(self, grid=self.group.grid(following)))
        only = f"degree {self.degree} is the only one that was tried: ask for a higher degree"
        return Judgement(judged, note=only if moved is None else None)

    def settings(self, outputs: Mapping[str, Output]) -> dict[str, Any]:
        return {
            "degree": self.degree,
            "degree_asked": "auto" if self.asked is None else self.asked,
            "tolerance": self.tolerance,
            **super().settings(outputs),
            **self.grid.description(),
        }


def aliasing(group: Group, chart: Chart, power: torch.Tensor, unresolved: float, degree: int | None) -> torch.Tensor:
    """``(columns,)`` estimate of the power above lmax that a grid of this degree counts in each column.

    Content l' reaches sector l when l + l' > degree. The unresolved power is taken to decay geometrically in l', at
    the rate that its ratio to the power at lmax shows (or at lmax - 1, since parity may empty every other l); with no
    decay in sight all of it is counted.
    """
    columns = chart.by_column(power)
    if degree is None:
        return torch.zeros_like(columns)
    tail = max(unresolved, 0.0)
    last = float(columns[-2:].max())
    rate = tail / (tail + last) if tail > 0.0 else 0.0
    distances = [group.folds(column, chart.lmax, degree) for column in range(len(chart.headings))]
    beyond = torch.tensor(distances, dtype=torch.float64)
    return tail * rate**beyond if rate > 0.0 else torch.zeros_like(beyond)
