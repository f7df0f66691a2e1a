"""Whether a grid of rotations is fine enough for what was asked for."""

from __future__ import annotations

import torch

from ..result.data import Output, Spectrum
from ..result.floor import noise_power
from ..result.verdict import insignificant

Found = tuple[dict[str, Output], dict[str, Spectrum]]


def change(old: Found, new: Found) -> float:
    """Largest relative change between two degrees, of A and of every B that matters."""
    before_all, after_all = {**old[1], **old[0]}, {**new[1], **new[0]}
    worst = 0.0
    for name, result in after_all.items():
        if name not in before_all:
            return float("inf")
        old_result, noise = before_all[name], noise_power(result)
        if isinstance(result, Output) and isinstance(old_result, Output):
            before, after = old_result.rmse**2, result.rmse**2
            size = max(before, after, 1e2 * noise / result.components)
            worst = max(worst, abs(after - before) / size if size > 0 else 0.0)
        # sectors far below everything that varies are judged on the scale of what varies
        power, old_power = result.pooled_power, old_result.pooled_power
        floor = max(1e-3 * _varying(result), 1e2 * noise, 1e-300)
        scale = torch.maximum(power, old_power).clamp_min(floor)
        worst = max(worst, float(((power - old_power).abs() / scale).max()))
    return worst


def _varying(result: Spectrum) -> float:
    """Power outside the strongest sector."""
    return max(result.pooled_total - float(result.pooled_power.max()), 0.0)


def negligible(found: Found, tolerance: float) -> bool:
    """Whether the power above lmax is too small to matter at this degree, so that no higher one need be tried."""
    for result in (*found[0].values(), *found[1].values()):
        if result.pooled_unresolved > max(1e-2 * tolerance * _varying(result), noise_power(result)):
            return False
    return True


def reached_precision(outputs: dict[str, Output]) -> float | None:
    """Largest relative standard error of an RMSE that stands above noise, 0 where none does; None without outputs."""
    if not outputs:
        return None
    loud = [output for output in outputs.values() if output.rmse > insignificant(output)]
    return max(((output.standard_error or 0.0) / output.rmse for output in loud), default=0.0)
