"""What an audit cannot see: the power that noise, round-off and the finite grid put where there is none."""

from __future__ import annotations

import math

import torch

from ..groups.group import Label
from .data import Output, Spectrum

ROUND_OFF = 16.0
"""Round-off of one entry, in eps of its dtype times its root mean square. Rotating the input and summing a
few hundred terms costs several eps, and a sector taken for content must not be one of these."""

POWER_ROUND_OFF = 64.0
"""Round-off of ``total - sum of power``, in float64 eps of the total: a difference of two sums of squares, so
linear in eps where the power of a sector is quadratic. Sums are float64 whatever the dtype of the values."""


def epsilon(dtype: str) -> float:
    """Machine epsilon of the dtype called `dtype`; of float64 where the name is no floating type."""
    found = getattr(torch, dtype.removeprefix("torch."), torch.float64)
    if not (isinstance(found, torch.dtype) and found.is_floating_point):
        found = torch.float64
    return torch.finfo(found).eps


def components(spectrum: Spectrum) -> int:
    """Components whose power was summed: those of an output, 1 for a layer."""
    return spectrum.components if isinstance(spectrum, Output) else 1


def entry_noise(spectrum: Spectrum) -> float:
    """Root mean square of the noise of one entry: measured, or round-off, whichever is larger."""
    size = math.sqrt(max(spectrum.pooled_total, 0.0) / components(spectrum))
    measured = max(spectrum.noise, spectrum.noise_floor) if isinstance(spectrum, Output) else spectrum.noise
    return max(ROUND_OFF * epsilon(spectrum.dtype) * size, measured if math.isfinite(measured) else 0.0)


def noise_power(spectrum: Spectrum) -> float:
    """Power of that noise in all components, were all of it in one sector: no sector can hold more."""
    return components(spectrum) * entry_noise(spectrum) ** 2


def irrep_floor(spectrum: Spectrum) -> torch.Tensor:
    """``chart.shape``: power up to which an irrep cannot be told from noise, or from the error of its power."""
    return spectrum.power_error.to(torch.float64).clamp_min(noise_power(spectrum))


def sector_floor(spectrum: Spectrum) -> torch.Tensor:
    """``(columns,)``: the largest of these in each column."""
    floor, columns = irrep_floor(spectrum).reshape(-1), torch.tensor(spectrum.chart.columns)
    lowest = floor.new_zeros(len(spectrum.chart.headings))
    return lowest.scatter_reduce(0, columns, floor, "amax")


def unresolved_floor(spectrum: Spectrum) -> float:
    """Unresolved power up to which it cannot be told from noise, round-off or its own error."""
    return max(
        noise_power(spectrum),
        spectrum.unresolved_error,
        POWER_ROUND_OFF * epsilon("float64") * max(spectrum.pooled_total, 0.0),
    )


def unresolved_share(spectrum: Spectrum) -> float:
    """Share of the power above lmax; 0 where there is no power at all."""
    total = spectrum.pooled_total
    return spectrum.pooled_unresolved / total if total > 0 else 0.0


def content(spectrum: Spectrum) -> set[Label]:
    """The irreps whose power stands above noise and above its own error."""
    power, floor = spectrum.pooled_power.reshape(-1).tolist(), irrep_floor(spectrum).reshape(-1).tolist()
    places = zip(spectrum.chart.labels, power, floor, strict=True)
    return {label for label, value, least in places if value > least}
