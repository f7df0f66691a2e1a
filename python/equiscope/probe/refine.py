"""How fine a grid every system needs: each is judged by its own errors, and evaluated again where these are too large.

Data may be long and be read once, so systems are taken in windows. The first few are evaluated at two degrees whatever
they say: what the numbers moved by, over what their errors said, is how far stated errors are trusted from then on.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..adapters.base import System
from ..measure.measure import Measure
from ..measure.settling import Seen, relative_error
from .collect import Collector, Ruling

WINDOW = 32
"""Systems held at once: those of a window that have not settled go on together at the next degree."""

CONFIRMED = 2
"""Systems that are evaluated at two degrees whatever their errors: a third costs more than what it would tell."""

DOUBT = 1.25
"""Times the largest ratio of measured to stated error that was seen, by which later stated errors are judged."""

LEAST_TRUST, MOST_TRUST = 0.1, 3.0
"""Bounds of that factor: a few systems may agree by chance, and where both numbers are round-off it means nothing."""

Evaluate = Callable[[Sequence[System]], None]
"""Hands systems to the open collector."""


@dataclass
class Refinement:
    """Evaluates a stream of systems, each at the degree that it needs; `run` does the work."""

    collector: Collector
    evaluate: Evaluate
    begun: Measure
    factor: float = 1.0
    """On stated errors, as measured."""
    entries: list[dict[str, Any]] = field(default_factory=list)
    """The record of the systems that were confirmed, one for each degree."""
    unsettled: int = 0
    """Systems that had not settled at the finest grid."""
    _ran: Counter[Measure] = field(default_factory=Counter)
    _settled: Counter[Measure] = field(default_factory=Counter)
    _before: dict[str, dict[str, Seen]] = field(default_factory=dict)
    """What systems showed at the last degree, of those that go on."""

    def run(self, stream: Iterator[System]) -> None:
        """Evaluate all of `stream`."""
        start = self._confirm(stream)
        while window := list(itertools.islice(stream, WINDOW)):
            start = self._window(window, start)
        for entry in self.entries:
            for measure, ran in self._ran.items():
                if measure.degree == entry["degree"]:
                    entry.update(systems=ran, settled=self._settled[measure])
        self.collector.judge = None

    @property
    def mostly(self) -> Measure:
        """The measure at which most systems settled so far."""
        return _most(self._settled, self.begun)

    def settings(self) -> dict[str, Any]:
        """For the report: how many systems ran at which degree, and how many had not settled at the last."""
        order = sorted(self._ran.items(), key=lambda item: item[0].degree or 0)
        return {"degrees": {str(measure.degree): ran for measure, ran in order}, "unsettled": self.unsettled}

    # -- the first systems ---------------------------------------------------------------------------------------

    def _confirm(self, stream: Iterator[System]) -> Measure:
        """Evaluate a few systems that can be evaluated at two degrees or more; returns where the others begin."""
        measure, systems = self.begun, list[System]()
        levels: list[tuple[Measure, dict[str, dict[str, Seen]]]] = []
        ratios: list[float] = []
        if measure.finer() is None:
            return measure
        while len(systems) < CONFIRMED:
            more = list(itertools.islice(stream, CONFIRMED - len(systems)))
            if not more:
                break
            systems += self._evaluated(more, measure, self._hold)
        if systems:
            levels.append((measure, {system.name: self._before[system.name] for system in systems}))
        while systems and (following := measure.finer()) is not None:
            seen: dict[str, dict[str, Seen]] = {}
            judge = self._confirming(measure, following, seen, ratios)
            systems = self._evaluated(systems, following, judge)
            measure = following
            levels.append((measure, seen))
        self.factor = min(_trust(max(ratios, default=1.0 / DOUBT)), MOST_TRUST)
        self.entries = _record(levels)
        return self._first_that_does(levels)

    def _hold(self, name: str, seen: dict[str, Seen]) -> Ruling | None:
        self._before[name] = seen
        return None

    def _confirming(
        self, coarser: Measure, measure: Measure, found: dict[str, dict[str, Seen]], ratios: list[float]
    ) -> Callable[[str, dict[str, Seen]], Ruling | None]:
        def judge(name: str, seen: dict[str, Seen]) -> Ruling | None:
            found[name] = seen
            ratio = self._ratio(coarser, measure, name, seen)
            ratios.append(ratio)
            trust = _trust(ratio)
            if trust * self._need(measure, seen) > 1.0:
                if measure.finer() is not None:
                    return self._hold(name, seen)
                self.unsettled += 1
            del self._before[name]
            self._settled[measure] += 1
            return Ruling(trust, measured=True)

        return judge

    def _first_that_does(self, levels: list[tuple[Measure, dict[str, dict[str, Seen]]]]) -> Measure:
        """The first whose errors suffice, and from which the numbers of these systems did not move any more."""
        last = {name: seen for _, found in levels for name, seen in found.items()}
        for measure, found in levels:
            fine = []
            for name, seen in found.items():
                moved = {key: own.moved(last[name][key]) for key, own in seen.items() if key in last[name]}
                fine.append(max(self.factor * self._need(measure, seen), self._need(measure, moved)) <= 1.0)
            if 2 * sum(fine) >= len(fine):
                return measure
        return levels[-1][0] if levels else self.begun

    # -- all others ----------------------------------------------------------------------------------------------

    def _window(self, systems: list[System], start: Measure) -> Measure:
        """Evaluate them all, and those that have not settled again; returns where most settled."""
        measure: Measure | None = start
        coarser: Measure | None = None
        settled: Counter[Measure] = Counter()
        while systems and measure is not None:
            systems = self._evaluated(systems, measure, self._judging(coarser, measure, settled))
            coarser, measure = measure, measure.finer()
        return _most(settled, start)

    def _judging(
        self, coarser: Measure | None, measure: Measure, settled: Counter[Measure]
    ) -> Callable[[str, dict[str, Seen]], Ruling | None]:
        def judge(name: str, seen: dict[str, Seen]) -> Ruling | None:
            trust = self.factor if coarser is None else _trust(self._ratio(coarser, measure, name, seen))
            fine = trust * self._need(measure, seen) <= 1.0
            if not fine and measure.finer() is not None:
                return self._hold(name, seen)
            self._before.pop(name, None)
            self.unsettled += not fine
            settled[measure] += 1
            self._settled[measure] += 1
            return Ruling(trust, measured=coarser is not None)

        return judge

    def _evaluated(
        self, systems: list[System], measure: Measure, judge: Callable[[str, dict[str, Seen]], Ruling | None]
    ) -> list[System]:
        """Those of `systems` that `judge` let go on; a system that fails goes nowhere."""

        def counted(name: str, seen: dict[str, Seen]) -> Ruling | None:
            self._ran[measure] += 1
            return judge(name, seen)

        self.collector.measure, self.collector.judge = measure, counted
        self.evaluate(systems)
        held = self.collector.take_unsettled()
        return [system for system in systems if system.name in held]

    def _need(self, measure: Measure, seen: Mapping[str, Seen]) -> float:
        return max((measure.need(own, self.collector.seen(name)) for name, own in seen.items()), default=0.0)

    def _ratio(self, coarser: Measure, measure: Measure, name: str, seen: dict[str, Seen]) -> float:
        """What the numbers moved by, over what both errors said."""
        before = self._before[name]
        moved = {key: own.moved(before[key]) for key, own in seen.items() if key in before}
        stated = self._need(coarser, before) ** 2 + self._need(measure, seen) ** 2
        return self._need(measure, moved) / stated**0.5 if stated > 0 else 0.0


def _trust(ratio: float) -> float:
    """The factor on stated errors, from what was measured of them."""
    return max(DOUBT * ratio, LEAST_TRUST)


def _most(settled: Counter[Measure], otherwise: Measure) -> Measure:
    """Where most systems settled, the coarser of two equals."""
    if not settled:
        return otherwise
    return max(settled, key=lambda measure: (settled[measure], -(measure.degree or 0)))


def _record(levels: list[tuple[Measure, dict[str, dict[str, Seen]]]]) -> list[dict[str, Any]]:
    """What the confirmed systems showed together at every degree, and what that moved by from one to the next."""
    entries: list[dict[str, Any]] = []
    previous: dict[str, Seen] = {}
    # a system that settled keeps its numbers
    latest: dict[str, dict[str, Seen]] = {}
    for measure, found in levels:
        latest |= found
        joined: dict[str, Seen] = {}
        for own in latest.values():
            for name, seen in own.items():
                joined[name] = seen.joined(joined[name]) if name in joined else seen
        moved = [
            relative_error(seen.moved(previous[name]), None, spectrum=True)
            for name, seen in joined.items()
            if name in previous
        ]
        entries.append(
            {
                "degree": measure.degree,
                "rotations": len(measure),
                "change": max(moved, default=None),
                "variance": {name: seen.variance for name, seen in joined.items() if seen.variance is not None},
                "power": {name: seen.power.tolist() for name, seen in joined.items()},
            }
        )
        previous = joined
    return entries
