"""By how much a value scatters for no reason of symmetry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ..arrays import all_finite
from .stacked import Stacked

UNIFORM = 12.0**-0.5
"""Root mean square of a rounding error, in units in the last place."""

REACTS = 10.0
"""Scatter that grows by this factor when the input is shaken 256 times harder is round-off: that of a random model
stays as it is."""

SMOOTH = 4
"""Coefficients of the polynomial that what changes smoothly is along a short arc: on one of half length h, no more than
(l h)^4 / 192 of content of degree l is left, 5e-6 of it at l = 9 in bfloat16."""

FELT = 4.0
"""Changes of a value by this many of its floors, or of its rounding errors, would be seen in it."""


@dataclass
class Noise:
    """Of one output or layer on one system."""

    dithered: float
    """Root mean square scatter of one entry over copies at the same element with different dither."""
    by_sample: torch.Tensor
    """``(samples,)``: the same of one sample."""
    rounding: float
    """Of the value itself to its dtype."""
    repeats: float = 0.0
    """Root mean square change of one entry between evaluations of the same input."""
    random: bool = False
    """Whether that change is no round-off."""
    jumps: bool = False
    """Whether `dithered` is none either, though the same input always gives the same: at a tie or a cutoff."""
    responds: bool = True
    """Whether the value depends on the input: found out where it is 0."""
    depends: bool = True
    """Whether it was seen, on this system or one before, to change with what is turned."""

    @classmethod
    def of(cls, turned: Stacked, dithers: int, dtypes: Mapping[str, torch.dtype]) -> dict[str, Noise]:
        """`turned` holds `dithers` copies of each element, one after the other; values were rounded to `dtypes`."""
        found: dict[str, Noise] = {}
        for names, stack in turned.stacks:
            values = stack.double()
            dithered, by_sample = _means(_variance(values.unflatten(1, (-1, dithers)).unbind(2)))
            measured = torch.stack([dithered.sqrt(), rms(_powers(values))]).tolist()
            for name, own, scattered, size in zip(names, by_sample.sqrt(), *measured, strict=True):
                found[name] = cls(scattered, own, UNIFORM * torch.finfo(dtypes[name]).eps * size)
        return found

    def add(self, dithered: float, by_sample: torch.Tensor) -> None:
        """The same was measured in another way, which may show more of it."""
        self.dithered, self.by_sample = max(self.dithered, dithered), torch.maximum(self.by_sample, by_sample)

    @property
    def quiet(self) -> Noise:
        """The same without repeats."""
        return replace(self, repeats=0.0)

    @property
    def still(self) -> Noise:
        """Rounding of the value alone."""
        return Noise(0.0, torch.zeros_like(self.by_sample), self.rounding)

    @property
    def floor(self) -> float:
        """Root mean square of all of it together: dithered copies show the rounding of the value too, if it moves."""
        return math.hypot(max(self.dithered, self.rounding), self.repeats)


def curved(values: Stacked, points: int) -> dict[str, tuple[float, torch.Tensor]]:
    """Root mean square scatter of one entry, of all samples and of each, over `points` copies on each of several arcs,
    about what changes smoothly along it."""
    steps = torch.linspace(-1.0, 1.0, points, dtype=torch.float64)
    basis, _ = torch.linalg.qr(torch.stack([steps**k for k in range(SMOOTH)], dim=1))
    left = torch.eye(points, dtype=torch.float64) - basis @ basis.T
    found: dict[str, tuple[float, torch.Tensor]] = {}
    for names, stack in values.stacks:
        arcs = stack.double().unflatten(1, (-1, points))
        # less the first one, so that what is the same for all copies leaves no rounding
        away = torch.einsum("pq,naq...->nap...", left.to(stack.device), arcs - arcs[:, :, :1])
        scattered, by_sample = _means(away.square().sum(2) / (points - SMOOTH))
        found |= dict(zip(names, zip(scattered.sqrt().tolist(), by_sample.sqrt(), strict=True), strict=True))
    return found


def _variance(copies: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of each entry over a few copies, by Welford's recursion: `torch.var` does the same entry by entry, and takes
    twenty times as long."""
    mean, *others = copies
    squares = torch.zeros_like(mean)
    for n, values in enumerate(others, 2):
        away = values - mean
        mean = mean + away / n
        squares = squares + away * (values - mean)
    return squares / len(others)


def _means(variances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``(names,)`` and ``(names, samples)``: means of the variances of entries ``(names, elements, samples, ...)``."""
    mean = _finite(variances.mean(1))
    by_sample = mean.flatten(2).mean(2) if mean.numel() else mean.flatten(2).sum(2)
    return by_sample.mean(1) if mean.numel() else by_sample.new_zeros(len(mean)), by_sample


def _powers(values: torch.Tensor) -> torch.Tensor:
    """The power of two at or below each value; not a number where it is 0 or not finite."""
    return 0.5 * values / torch.frexp(values).mantissa


def scatter(values: Stacked) -> dict[str, float]:
    """Root mean square scatter of one entry over the copies of each."""
    return values.ask(lambda stack: rms(_finite(stack.double()).std(1)))


def _finite(values: torch.Tensor) -> torch.Tensor:
    return values.nan_to_num(0.0, 0.0, 0.0)


def rms(values: torch.Tensor) -> torch.Tensor:
    """``(names,)``: root mean square of one entry of values ``(names, ...)``; what is not finite counts as 0."""
    flat = values.flatten(1)
    if not flat.shape[1]:
        return flat.new_zeros(len(flat), dtype=torch.float64)
    norms: torch.Tensor = torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64)
    if not all_finite(norms):
        norms = torch.linalg.vector_norm(_finite(flat.double()), dim=1)
    return norms / math.sqrt(flat.shape[1])
