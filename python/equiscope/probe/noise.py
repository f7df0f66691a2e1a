"""By how much a value scatters for no reason of symmetry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from ..adapters.rounding import units

UNIFORM = 12.0**-0.5
"""Root mean square of a rounding error, in units in the last place."""

REACTS = 10.0
"""Scatter that grows by this factor when the input is shaken 256 times harder is round-off: that of a random model
stays as it is."""


@dataclass
class Noise:
    """Of one output or layer on one system. Values are ``(copies, samples, channels, components)``."""

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
    responds: bool = True
    """Whether the value depends on the input: found out where it is 0."""
    depends: bool = True
    """Whether it was seen, on this system or one before, to change with what is turned."""

    @classmethod
    def of(cls, turned: torch.Tensor, dithers: int, dtype: torch.dtype) -> Noise:
        """`turned` holds `dithers` copies of each element, one after the other; values were rounded to `dtype`."""
        values = turned.double()
        groups = values.reshape(-1, dithers, *values.shape[1:])
        variance = _finite(groups.var(1).mean(0))
        by_sample = variance.mean((-2, -1)).sqrt() if variance.numel() else variance.sum((-2, -1))
        width = units(_finite(values), torch.finfo(dtype).eps)
        return cls(rms(variance.sqrt()), by_sample, UNIFORM * rms(width))

    def repeated(self, changes: torch.Tensor) -> None:
        """Take note of the changes between evaluations of the same input."""
        self.repeats = rms(changes)

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


def scatter(values: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Root mean square scatter of one entry over the copies of each."""
    return {name: rms(_finite(value.double()).std(0)) for name, value in values.items()}


def _finite(values: torch.Tensor) -> torch.Tensor:
    return values.nan_to_num(0.0, 0.0, 0.0)


def rms(values: torch.Tensor) -> float:
    """Root mean square of one entry; what is not finite counts as 0."""
    return float(_finite(values.double()).square().mean().sqrt()) if values.numel() else 0.0
