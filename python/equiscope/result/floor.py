"""What an audit cannot see: the power that noise, round-off and the finite grid put where there is none."""

from __future__ import annotations

import math

import torch

from ..groups.group import Label
from .data import Output, Spectrum
from .judge import AT_NOISE

POWER_ROUND_OFF = 64.0
"""Round-off of ``total - sum of power``, in float64 eps of the total: a difference of two sums of squares, so
linear in eps where the power of a sector is quadratic. Sums are float64 whatever the dtype of the values."""

SURE = 2.0
"""Half widths that unresolved power of random elements must have to be content."""

EPS = torch.finfo(torch.float64).eps


def components(spectrum: Spectrum) -> int:
    """Components whose power was summed: those of an output, 1 for a layer."""
    return spectrum.components if isinstance(spectrum, Output) else 1


def noise_power(spectrum: Spectrum) -> float:
    """Power of k times that noise in all components, were all of it in one irrep: none can hold more."""
    return components(spectrum) * (AT_NOISE * spectrum.scatter) ** 2


def assumed(output: Output) -> bool:
    """Whether the error of an RMSE rests on an assumption, and not on its noise, which is measured."""
    return output.errors_assumed and output.rmse_error > 0 and output.rmse > AT_NOISE * output.scatter


def sector_floor(spectrum: Spectrum) -> torch.Tensor:
    """``chart.shape``: power up to which an irrep cannot be told from noise, or from none within its error."""
    # NaN: a measure of a stranger that says nothing of its errors
    return spectrum.power_error.to(torch.float64).nan_to_num(0.0).clamp_min(noise_power(spectrum))


def unresolved_floor(spectrum: Spectrum) -> float:
    """Unresolved power up to which it cannot be told from noise or round-off, or from none within its error."""
    round_off = POWER_ROUND_OFF * EPS * max(spectrum.pooled_total, 0.0)
    error = spectrum.unresolved_error if math.isfinite(spectrum.unresolved_error) else 0.0
    # those of a grid are upper bounds; of random elements every twentieth is exceeded, and layers are many
    sure = SURE if spectrum.degree is None else 1.0
    return max(noise_power(spectrum), sure * error, round_off)


def unresolved_share(spectrum: Spectrum) -> float:
    """Share of the power above lmax; 0 where there is no power at all."""
    total = spectrum.pooled_total
    return 0.0 if total <= 0 else spectrum.pooled_unresolved / total


def seen_above(spectrum: Spectrum) -> float:
    """The same, 0 where it cannot be told from none."""
    return unresolved_share(spectrum) if spectrum.pooled_unresolved > unresolved_floor(spectrum) else 0.0


def content(spectrum: Spectrum) -> set[Label]:
    """The irreps whose power stands above noise and above its own error."""
    loud = (spectrum.pooled_power > sector_floor(spectrum)).reshape(-1).tolist()
    return {label for label, here in zip(spectrum.chart.labels, loud, strict=True) if here}
