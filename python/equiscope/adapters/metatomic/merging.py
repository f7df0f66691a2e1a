"""Which structures may be evaluated as parts of one `System`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ...errors import ran_out
from ...groups.registry import quadrature
from ..structures import Structure
from .batches import Batches, Values
from .calls import Calls
from .copies import Template, Turn

MERGED_EPS = 1e3
"""In eps of the largest value: up to here merged copies count as equal to single ones. Sums in another order are off by
tens of eps."""

STRETCH = 1.05
"""Merging is tried on copies of structures together with one stretched by this, so that a model that averages over
the whole system cannot pass."""

TRIED_ATOMS = 256
"""Merging is tried on structures with this many atoms together: a call of a model has a price of its own."""


class Merging:
    """Tries whether merged copies of a structure give what single ones give, to round-off, before it is evaluated.

    make: the template of a structure that is not kept.
    allowed: False where merging is out of the question for all.
    """

    def __init__(self, calls: Calls, batches: Batches, make: Callable[[Structure], Template], *, allowed: bool) -> None:
        self._calls = calls
        self._batches = batches
        self._make = make
        self._allowed = allowed
        self.verdicts: dict[str, bool] = {}
        """By structure: whether it is merged."""
        self.failures: dict[str, str] = {}
        """By structure: the error that ended its trial."""

    def forbid(self) -> None:
        """From now on every copy is a `System` of its own."""
        self._allowed = False
        self.verdicts.clear()
        self.failures.clear()

    def decide(self, structures: Sequence[Structure], template: Callable[[Structure], Template]) -> None:
        """Decide on the first of `structures`, and on those after it that go into the same trial."""
        tried: list[Structure] = []
        for structure in structures:
            if tried and sum(map(len, tried)) + len(structure) > TRIED_ATOMS:
                break
            self.verdicts[structure.name] = False
            if self._allowed and not structure.pbc.any():
                tried.append(structure)
        if not tried:
            return
        stretched = replace(tried[0], positions=tried[0].positions * STRETCH, source=None)
        names = [*(structure.name for structure in tried), ""]
        try:
            single, merged = self._both(names, [*map(template, tried), self._make(stretched)])
        except Exception as error:  # whatever a foreign model raises for a system of many parts
            if ran_out(error):
                raise
            self.failures.update(dict.fromkeys(names[:-1], f"{type(error).__name__}: {error}"))
            return
        finally:
            self._batches.forget(*names)
        for i, structure in enumerate(tried):
            self.verdicts[structure.name] = all(_agree(single[name][i], merged[name][i]) for name in single)

    def _both(self, names: Sequence[str], templates: Sequence[Template]) -> tuple[Values, Values]:
        """Values of single and of merged copies, by an element of each coset."""
        turns = [Turn(quadrature(3).rotations[[1, -1]])] * len(names)
        with self._calls.undisturbed():
            single = self._batches.single(names, templates, turns)
            return single, self._batches.merged(names, templates, turns)

    def __str__(self) -> str:
        """For the settings of a report."""
        text = f"{sum(self.verdicts.values())} of {len(self.verdicts)} structures"
        if not self.failures:
            return text
        name, reason = next(iter(self.failures.items()))
        first = reason.splitlines()[0]
        return f"{text}; merged copies of {len(self.failures)} failed, {name!r} with {first}"


def _agree(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape:
        return False
    bound = MERGED_EPS * torch.finfo(a.dtype).eps * float(a.abs().max()) if a.numel() else 0.0
    return bool(((a - b).abs() <= bound).all())
