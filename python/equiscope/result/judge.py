"""The one word that the numbers of an output amount to. Knows numbers alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

AT_NOISE = 3.0
"""k: what is not above k floors is noise. The floor is an estimate from a few evaluations, while an error pools many
rotations, so a factor of a few separates the two; real symmetry breaking stands decades above."""

WRONG = 0.5
"""Share of the mean square of an output from which its variance means that it does not transform as declared: an output
whose values at two orientations have nothing to do with each other has all of it, and one that is learned a little."""

OPPOSITE = 0.999
"""Overlap with the reversed mean from which inversion just changes the sign: less than 0.05 % of the power then has the
declared parity, 2 % of the amplitude."""


class Verdict(str, Enum):
    """How an output, or a layer that declares a representation, stands; property `verdict` of an `Output`.

    With F the measured noise floor, A the variance, T the mean square of one component, and k = 3, the first that
    holds. A verdict equals its value, a short word: ``output.verdict == "exact"``.
    """

    UNMEASURED = "not measured"
    """There is no finite number."""
    ZERO = "zero"
    """Every value is 0, for other inputs too: nothing was tested."""
    STOCHASTIC = "stochastic"
    """The same input gives different values, and A is not above k times their scatter, squared."""
    JUMPS = "jumps"
    """The same input gives the same value, but rounding of it makes the value jump, at a tie or a hard cutoff, and A is
    not above k times that scatter, squared."""
    VANISHES = "vanishes"
    """T <= k^2 F^2: zero by symmetry, as far as can be seen."""
    EXACT = "exact"
    """A <= k^2 F^2."""
    WRONG = "not as declared"
    """A >= T / 2: also where Pi is 0 and the values are not."""
    BROKEN = "breaks"
    """The rest: the symmetry is broken, by the amount that is stated."""

    def __str__(self) -> str:
        return self.value

    @property
    def is_broken(self) -> bool:
        """Whether there is an error that is no noise."""
        return self in (Verdict.WRONG, Verdict.BROKEN)

    @property
    def is_kept(self) -> bool:
        """Whether the declared representation holds as far as can be seen, by an output that says something of it."""
        return self in (Verdict.VANISHES, Verdict.EXACT)


class Parity(str, Enum):
    """What becomes of a broken symmetry under proper rotations alone."""

    REVERSED = "exact under rotations; inversion changes its sign"
    MIXED = "exact under rotations; mixes parities"
    BROKEN = "breaks under rotations already"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Numbers:
    """What a verdict is made of, all in the unit of the output."""

    rmse: float
    """Root of A."""
    size: float
    """Root of T."""
    floor: float
    """F; of what is stochastic its scatter, if that is larger."""
    stochastic: bool = False
    jumps: bool = False
    responds: bool = True
    """Whether it is not 0 for every input."""


def judge(numbers: Numbers) -> Verdict:
    """The verdict of `Verdict`'s definition."""
    within = AT_NOISE * numbers.floor if math.isfinite(numbers.floor) else 0.0
    if not (math.isfinite(numbers.rmse) and math.isfinite(numbers.size)):
        return Verdict.UNMEASURED
    if numbers.size == 0:
        return Verdict.VANISHES if numbers.responds else Verdict.ZERO
    if numbers.stochastic and numbers.rmse <= within:
        return Verdict.STOCHASTIC
    if numbers.jumps and numbers.rmse <= within:
        return Verdict.JUMPS
    if numbers.size <= within:
        return Verdict.VANISHES
    if numbers.rmse <= within:
        return Verdict.EXACT
    return Verdict.WRONG if numbers.rmse**2 >= WRONG * numbers.size**2 else Verdict.BROKEN


def parity(rotations: float, within: float, inversion: float | None) -> Parity:
    """What the error under `rotations` alone says of a broken symmetry; errors up to `within` are none."""
    if rotations > within:
        return Parity.BROKEN
    return Parity.REVERSED if inversion is not None and inversion <= -OPPOSITE else Parity.MIXED
