"""Which values can be squared and summed."""

from __future__ import annotations

import torch

LARGEST = 1e149
"""Squares of larger numbers, times any number of samples, are infinite in float64."""


def in_range(values: torch.Tensor) -> torch.Tensor:
    """Where `values` are finite, and their squares too."""
    # a bound that the dtype does not hold would be infinite in it
    return values.abs() <= min(LARGEST, torch.finfo(values.dtype).max)


def fault(value: torch.Tensor) -> str:
    """What is wrong with values that are not all in range, in words."""
    overflows = bool(torch.isfinite(value).all())
    return f"numbers above {LARGEST:g}, whose squares overflow," if overflows else "NaN or infinity"
