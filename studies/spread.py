"""Numbers over seeds: mean, spread, and whether a difference survives without any one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import ttest_ind

FEWEST = 3
"""Seeds below which nothing is said to hold."""

CHANCE = 0.01
"""Three seeds on each side spread as Student's t with two to four degrees of freedom, so that three standard errors
would say little."""


@dataclass(frozen=True)
class Spread:
    """Of one number over seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of all seeds."""
        return sum(self.values) / len(self.values)

    @property
    def deviation(self) -> float:
        """Standard deviation of one seed; not a number where there is one alone."""
        n = len(self.values)
        if n < 2:
            return math.nan
        return math.sqrt(sum((value - self.mean) ** 2 for value in self.values) / (n - 1))

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.deviation / math.sqrt(len(self.values))

    def __str__(self) -> str:
        return f"{number(self.mean)} ± {number(self.deviation)}"


def number(value: float) -> str:
    """Two significant digits at least, as short as a table wants them."""
    if not math.isfinite(value):
        return "?"
    if value != 0 and not 1e-3 <= abs(value) < 1e4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    digits = 1 - math.floor(math.log10(abs(value))) if value else 2
    return f"{value:.{min(max(digits, 2), 4)}f}"


@dataclass(frozen=True)
class Difference:
    """One contrast less another, seeds of both independent."""

    one: Spread
    other: Spread

    @property
    def mean(self) -> float:
        """Difference of the means."""
        return self.one.mean - self.other.mean

    @property
    def error(self) -> float:
        """Its standard error."""
        return math.hypot(self.one.error, self.other.error)

    @property
    def left_out(self) -> tuple[float, float]:
        """Least and largest difference when one seed of either is left out."""
        found = [
            a - b
            for a, b in [
                *((mean, self.other.mean) for mean in _without_one(self.one.values)),
                *((self.one.mean, mean) for mean in _without_one(self.other.values)),
            ]
        ]
        return (min(found), max(found)) if found else (math.nan, math.nan)

    @property
    def holds(self) -> bool:
        """Whether chance makes it in less than `CHANCE` of cases (Welch's t), and no seed left out turns its sign."""
        low, high = self.left_out
        if min(len(self.one.values), len(self.other.values)) < FEWEST:
            return False
        return bool(ttest_ind(self.one.values, self.other.values, equal_var=False).pvalue < CHANCE) and low * high > 0

    def __str__(self) -> str:
        low, high = self.left_out
        sure = "holds" if self.holds else "open"
        return f"{number(self.mean)} ± {number(self.error)} ({number(low)} to {number(high)}): {sure}"


def _without_one(values: Sequence[float]) -> list[float]:
    if len(values) < 2:
        return []
    return [(sum(values) - value) / (len(values) - 1) for value in values]
