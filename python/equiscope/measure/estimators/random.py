"""Independent random elements, others for every system, as many as the errors need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...errors import ArgumentError, fail
from ...groups.group import Group
from ...groups.representation import Representation
from ...result.data import Output
from ..convergence import reached_precision
from ..elements import RandomRotations
from ..measure import Found, Judgement, Measure, Moments, Question, register
from ..sampled import GROUPS, SampledMoments, sampled_bytes

MINIMUM_ROTATIONS = GROUPS
"""Random elements of one system: fewer give no standard error."""

MAXIMUM_ROTATIONS = 1024
"""Random elements where nothing else is asked: an RMSE to about 2 %."""

PILOT_SYSTEMS = 2
"""Systems that decide how many elements all take."""


@register
@dataclass(frozen=True)
class RandomMeasure(Measure):
    """The first elements of a random sequence of each system: all estimates are unbiased and have standard errors.

    With a `precision` the number doubles on the first systems until the RMSE of every output is known to that relative
    standard error or lies within noise; orbits go on where they were.
    """

    draws: RandomRotations
    most: int
    """Number of elements at which doubling ends."""
    precision: float | None = None

    name = "monte-carlo"
    sampled = True

    @classmethod
    def check(cls, question: Question) -> None:
        if question.degree is not None:
            fail(ArgumentError, "degree", 'none with estimator="monte-carlo", which takes rotations', question.degree)
        if question.rotations is not None and question.rotations < MINIMUM_ROTATIONS:
            fail(ArgumentError, "rotations", f"an integer of {MINIMUM_ROTATIONS} or more", question.rotations)

    @classmethod
    def of(cls, question: Question) -> RandomMeasure:
        most = MAXIMUM_ROTATIONS if question.rotations is None else question.rotations
        # without outputs there is no error whose precision could be judged
        count = most if question.precision is None or not question.judged else MINIMUM_ROTATIONS
        return cls(RandomRotations(count, question.seed, group=question.group), most, question.precision)

    @property
    def group(self) -> Group:
        return self.draws.group

    @property
    def pilot(self) -> int:
        return PILOT_SYSTEMS

    @property
    def extends(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self.draws)

    def elements(self, system: str) -> RandomRotations:
        return self.draws.orbit(system)

    def moments(self, system: str, lmax: int, first: torch.Tensor, representation: Representation | None) -> Moments:
        return SampledMoments(self.elements(system), lmax, first, representation)

    def nbytes(self, lmax: int, first: torch.Tensor) -> int:
        return sampled_bytes(self.draws, lmax, first)

    def sized(self, elements: int) -> RandomMeasure:
        return replace(self, draws=replace(self.draws, count=elements))

    def judge(self, found: Found, previous: Found | None) -> Judgement:
        reached = reached_precision(found[0])
        judged = {"precision": reached}
        n = len(self)
        if n == self.most or reached is None or self.precision is None or reached <= self.precision:
            return Judgement(judged)
        longer = replace(self, draws=replace(self.draws, count=min(2 * n, self.most)))
        return Judgement(judged, longer, goes_on=True)

    def settings(self, outputs: Mapping[str, Output]) -> dict[str, Any]:
        return {
            **super().settings(outputs),
            "seed": self.draws.seed,
            "precision": self.precision,
            "precision_reached": reached_precision(dict(outputs)),
        }
