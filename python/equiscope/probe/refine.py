"""How fine a grid every system needs: each is judged by its own errors, and evaluated again where these are too large.

The first few are evaluated at two degrees whatever they say: what the numbers moved by, over what their errors said, is
how far stated errors are trusted from then on. Where the others begin, and on which scale small ones are judged, is
decided from one stage of the data to the next, so that it does not matter who evaluates which.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..adapters.base import System
from ..measure.measure import Measure
from ..measure.settling import Seen, relative_error
from .collect import Collector, Ruling
from .pooled import Pooled, most

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
    """Evaluates systems, each at the degree that it needs: the first ones by `confirm`, all others by `run`."""

    collector: Collector
    evaluate: Evaluate
    begun: Measure
    factor: float = 1.0
    """On stated errors, as measured."""
    entries: list[dict[str, Any]] = field(default_factory=list)
    """The record of the systems that were confirmed, one for each degree."""
    start: Measure = field(init=False)
    """Where systems begin."""
    scale: dict[str, Seen] = field(default_factory=dict)
    """What the systems of earlier stages show together."""
    _ran: dict[str, list[int | None]] = field(default_factory=dict)
    """Degrees at which systems were evaluated that have not settled."""
    _before: dict[str, dict[str, Seen]] = field(default_factory=dict)
    """What these showed at the last degree."""

    def __post_init__(self) -> None:
        self.start = self.begun

    def state(self) -> dict[str, Any]:
        """What `restore` takes, as JSON values."""
        told = {"elements": len(self.start), "scale": _told(self.scale)}
        return {"factor": self.factor, "entries": self.entries, "told": told}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on as if the first systems had been evaluated here."""
        self.factor, self.entries = state["factor"], state["entries"]
        self.judged_by(state["told"])

    def judged_by(self, told: Mapping[str, Any]) -> None:
        """Judge the next stage by what the last one showed, as `shown` put it."""
        if told["elements"] is not None:
            self.start = self.begun.sized(told["elements"])
        self.scale = {name: _seen(own) for name, own in told["scale"].items()}

    def shown(self, pooled: Pooled, before: Counter[int | None]) -> dict[str, Any]:
        """What a stage showed, as JSON values: where most of its systems settled, and what all so far show; `before` is
        where those of earlier stages settled."""
        settled = pooled.settled - before
        elements = len(at_degree(self.begun, most(settled))) if settled else None
        return {"elements": elements, "scale": _told(pooled.seen())}

    def run(self, systems: Sequence[System]) -> None:
        """Evaluate them all, and those that have not settled again."""
        measure: Measure | None = self.start
        coarser: Measure | None = None
        left = list(systems)
        while left and measure is not None:
            left = self._evaluated(left, measure, self._judging(coarser, measure))
            coarser, measure = measure, measure.finer()
        self.collector.judge = None

    # -- the first systems ---------------------------------------------------------------------------------------

    def confirm(self, stream: Iterator[System]) -> None:
        """Evaluate a few systems that can be evaluated, at two degrees or more, and decide where the others begin."""
        measure, systems = self.begun, list[System]()
        levels: list[tuple[Measure, dict[str, dict[str, Seen]]]] = []
        ratios: list[float] = []
        if measure.finer() is None:
            return
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
        self.start = self._first_that_does(levels)
        self.collector.judge = None

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
            fine = trust * self._need(measure, seen) <= 1.0
            if not fine and measure.finer() is not None:
                return self._hold(name, seen)
            for key, own in seen.items():
                self.scale[key] = own.joined(self.scale[key]) if key in self.scale else own
            return self._taken(name, trust, fine, measured=True)

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

    def _judging(self, coarser: Measure | None, measure: Measure) -> Callable[[str, dict[str, Seen]], Ruling | None]:
        def judge(name: str, seen: dict[str, Seen]) -> Ruling | None:
            trust = self.factor if coarser is None else _trust(self._ratio(coarser, measure, name, seen))
            fine = trust * self._need(measure, seen) <= 1.0
            if not fine and measure.finer() is not None:
                return self._hold(name, seen)
            return self._taken(name, trust, fine, measured=coarser is not None)

        return judge

    def _taken(self, name: str, trust: float, fine: bool, *, measured: bool) -> Ruling:
        self._before.pop(name, None)
        return Ruling(trust, measured, tuple(self._ran.pop(name)), fine)

    def _evaluated(
        self, systems: list[System], measure: Measure, judge: Callable[[str, dict[str, Seen]], Ruling | None]
    ) -> list[System]:
        """Those of `systems` that `judge` let go on; a system that fails goes nowhere."""

        def counted(name: str, seen: dict[str, Seen]) -> Ruling | None:
            self._ran.setdefault(name, []).append(measure.degree)
            return judge(name, seen)

        self.collector.measure, self.collector.judge = measure, counted
        self.evaluate(systems)
        held = self.collector.take_unsettled()
        for system in systems:
            if system.name not in held:  # it settled, or failed
                self._before.pop(system.name, None)
                self._ran.pop(system.name, None)
        return [system for system in systems if system.name in held]

    def _need(self, measure: Measure, seen: Mapping[str, Seen]) -> float:
        return max((measure.need(own, self.scale.get(name)) for name, own in seen.items()), default=0.0)

    def _ratio(self, coarser: Measure, measure: Measure, name: str, seen: dict[str, Seen]) -> float:
        """What the numbers moved by, over what both errors said."""
        before = self._before[name]
        moved = {key: own.moved(before[key]) for key, own in seen.items() if key in before}
        stated = self._need(coarser, before) ** 2 + self._need(measure, seen) ** 2
        return self._need(measure, moved) / stated**0.5 if stated > 0 else 0.0


def _trust(ratio: float) -> float:
    """The factor on stated errors, from what was measured of them."""
    return max(DOUBT * ratio, LEAST_TRUST)


def at_degree(begun: Measure, degree: int | None) -> Measure:
    """The measure of that degree, `begun` or a finer one."""
    measure: Measure | None = begun
    while measure is not None and measure.degree != degree:
        measure = measure.finer()
    return measure or begun


def _told(scale: Mapping[str, Seen]) -> dict[str, Any]:
    return {name: {**vars(seen), "power": seen.power.tolist(), "power_error": None} for name, seen in scale.items()}


def _seen(told: Mapping[str, Any]) -> Seen:
    power = torch.tensor(told["power"], dtype=torch.float64)
    return Seen(**{**told, "power": power, "power_error": torch.zeros_like(power)})


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
