"""At which steps of training an audit is due."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any

from ..errors import ArgumentError, fail

PER_DECADE = 5
"""Logarithmic steps in a factor of ten: 0, 1, 2, 3, 4, 6, 10, 16, 25, 40, 63, 100. A million steps have thirty."""

NEVER = math.inf
"""No step is due any more."""

Schedule = Callable[[float], float]
"""The first step that is due after a given one, `NEVER` where there is none. After -1 that is the very first."""


def schedule(every: Any) -> Schedule:
    """The schedule of `every`: "log", a number of steps, or the steps themselves."""
    if isinstance(every, str) and every == "log":
        return _logarithmic
    if _is_step(every) and every >= 1:
        return lambda step: every * (math.floor(step / every) + 1)
    if isinstance(every, Iterable) and not isinstance(every, str | bytes):
        steps = list(every)
        if steps and all(map(_is_step, steps)):
            return _listed(sorted(set(map(int, steps))))
    fail(ArgumentError, "every", '"log", a positive number of steps, or a list of steps from 0 on', repr(every))


def _logarithmic(step: float) -> float:
    if step < 0:
        return 0
    power = math.floor(PER_DECADE * math.log10(max(step, 1)))
    while (due := round(10 ** (power / PER_DECADE))) <= step:
        power += 1
    return due


def _listed(steps: list[int]) -> Schedule:
    def following(step: float) -> float:
        place = bisect.bisect_right(steps, step)
        return steps[place] if place < len(steps) else NEVER

    return following


def _is_step(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0
