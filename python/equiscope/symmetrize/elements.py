"""The elements of a group over which a model is averaged: fixed for good, so that an averaged energy stays smooth."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch

from ..errors import ArgumentError, fail
from ..groups._arguments import MOST_ELEMENTS, checked_count
from ..groups.group import Grid
from ..groups.registry import resolve
from ..groups.rings import checked_degree
from ..measure.elements import RandomRotations
from ..measure.estimators.grid import GridMeasure

DEFAULT_DEGREE = 6
"""Where nothing is asked: what a model breaks by l <= 5 leaves its forces, by l <= 6 its energy."""


@dataclass(frozen=True)
class Elements:
    """Elements of a group with weights that sum to 1: a grid, or independent random draws."""

    source: Grid | RandomRotations

    @classmethod
    def asked(cls, group: Any, degree: Any, rotations: Any, seed: Any) -> Elements:
        """The grid of a degree, turned by a random pair unless `seed` is None, or so many random elements."""
        own = resolve(group)
        if own.input is not None:
            # its elements would turn all about z
            expected = "one axis for every call, such as axis=(0, 0, 1): the elements are chosen once"
            fail(ArgumentError, "group", expected, f"{own}, an axis that is read off an input")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, Integral) or int(seed) < 0):
            fail(ArgumentError, "seed", "a non-negative integer, or None for the bare grid", repr(seed))
        if rotations is None:
            grid = own.grid(checked_degree(DEFAULT_DEGREE if degree is None else degree))
            shift = None if seed is None else "system"
            return cls(GridMeasure(grid, tolerance=1.0, seed=int(seed or 0), shift=shift).elements(""))
        if degree is not None:
            fail(ArgumentError, "degree", "None beside rotations, which are random elements", repr(degree))
        if seed is None:
            fail(ArgumentError, "seed", "an integer beside rotations: the elements are drawn once, from it", None)
        count = checked_count("rotations", rotations, MOST_ELEMENTS)
        if count < 2:
            fail(ArgumentError, "rotations", "2 random elements at least, which show a spread", count)
        return cls(RandomRotations(count, int(seed), group=own))

    @property
    def sampled(self) -> bool:
        """Whether the elements are independent draws, so that the average has a standard error."""
        return isinstance(self.source, RandomRotations)

    def __len__(self) -> int:
        return len(self.source)

    def select(self, start: int, stop: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Elements ``start:stop`` ``(n, 3, 3)`` and their weights ``(n,)``, float64."""
        source = self.source.to(device)
        rotations = source.select(start, stop)
        if isinstance(source, RandomRotations):
            return rotations, rotations.new_full((stop - start,), 1.0 / len(source))
        return rotations, source.weights[start:stop]

    def __str__(self) -> str:
        kind = "random elements" if self.sampled else "elements of the grid"
        degree = getattr(self.source, "degree", None)
        return f"{len(self)} {kind}{'' if degree is None else f' of degree {degree}'} of {self.source.group.words}"
