"""Whether the numbers of one system are as sure as was asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

NOISE_ABOVE = 100.0
"""Errors are judged on a scale of at least this many times the power of noise: no grid makes noise smaller."""

STILL = 1e-24
"""Share of the mean square below which a variance is nothing to chase: round-off in float64, in amplitude 1e-12."""

NOTHING = 1e-18
"""Share of the total power below which nothing is taken to vary: sums of squares in float64 end there."""


@dataclass(frozen=True)
class Seen:
    """What one system, or several together, show of one output or layer; averages over samples and channels."""

    samples: int
    total: float
    power: torch.Tensor
    """``(*chart.shape,)``."""
    power_error: torch.Tensor
    noise: float
    """Power of noise, in all components together."""
    components: int = 1
    variance: float | None = None
    """A; None for a layer that declares no representation."""
    variance_error: float = 0.0

    @property
    def varying(self) -> float:
        """Power outside the strongest irrep."""
        return max(self.total - float(self.power.max()), 0.0)

    def joined(self, other: Seen) -> Seen:
        """Both together, with their samples as weights; errors are those of `self`."""
        count = self.samples + other.samples
        own, others = self.samples / max(count, 1), other.samples / max(count, 1)
        variance = None
        if self.variance is not None and other.variance is not None:
            variance = own * self.variance + others * other.variance
        return replace(
            self,
            samples=count,
            total=own * self.total + others * other.total,
            power=own * self.power + others * other.power,
            noise=own * self.noise + others * other.noise,
            variance=variance,
        )

    def moved(self, before: Seen) -> Seen:
        """This, with what it differs from `before` in place of its errors."""
        moved = 0.0
        if self.variance is not None and before.variance is not None:
            moved = abs(self.variance - before.variance)
        return replace(self, variance_error=moved, power_error=(self.power - before.power).abs())


def relative_error(seen: Seen, pooled: Seen | None, *, spectrum: bool) -> float:
    """Largest error, relative: of the RMSE, to its size; of an irrep, to all that varies, or to its power if larger.

    A system that has less of something than the systems `pooled` so far is judged on their scale: what it adds to the
    pooled number is small. An error of A relative to A is twice that of the RMSE.
    """
    worst = 0.0
    if seen.variance is not None:
        scale = max(seen.variance, (NOISE_ABOVE * seen.noise + STILL * seen.total) / seen.components)
        if pooled is not None and pooled.variance is not None:
            scale = max(scale, pooled.variance)
        worst = 0.5 * seen.variance_error / scale if scale > 0 else 0.0
    if spectrum:
        varying = max(seen.varying, pooled.varying if pooled is not None else 0.0)
        least = max(varying, NOISE_ABOVE * seen.noise, NOTHING * seen.total, torch.finfo(torch.float64).tiny)
        worst = max(worst, float((seen.power_error / seen.power.clamp_min(least)).max()))
    return worst
