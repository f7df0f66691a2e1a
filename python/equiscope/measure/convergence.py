"""Whether random elements are enough for what was asked."""

from __future__ import annotations

from ..result.data import Output
from ..result.verdict import insignificant


def reached_precision(outputs: dict[str, Output]) -> float | None:
    """Largest relative standard error of an RMSE that stands above noise, 0 where none does; None without outputs."""
    if not outputs:
        return None
    loud = [output for output in outputs.values() if output.rmse > insignificant(output)]
    return max((output.rmse_error / 2.0 / output.rmse for output in loud), default=0.0)
