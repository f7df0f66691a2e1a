"""Which values can be squared and summed."""

from __future__ import annotations

import torch

LARGEST = 1e149
"""Squares of larger numbers, times any number of samples, are infinite in float64."""


SMALLEST = 1e-149
"""Squares of smaller numbers lose digits in float64, down to nothing."""


def in_range(values: torch.Tensor) -> torch.Tensor:
    """Where `values` are finite, and their squares too; nowhere where none is 0 or large enough to be squared."""
    size = values.abs()
    fine = size <= _most(values.dtype)
    if values.dtype == torch.float64 and values.numel() and 0.0 < float(size.max()) < SMALLEST:
        return torch.zeros_like(fine)
    return fine


def each_in_range(values: torch.Tensor) -> torch.Tensor:
    """``(n,)``: whether all of each of some values ``(n, ...)`` are so."""
    largest = values.abs().flatten(1).amax(1)
    fine = largest <= _most(values.dtype)
    return fine & ((largest == 0.0) | (largest >= SMALLEST)) if values.dtype == torch.float64 else fine


def _most(dtype: torch.dtype) -> float:
    # a bound that the dtype does not hold would be infinite in it
    return min(LARGEST, torch.finfo(dtype).max)


def fault(value: torch.Tensor) -> str:
    """What is wrong with values that are not all in range, in words."""
    overflows = bool(torch.isfinite(value).all())
    if overflows and float(value.abs().max()) < SMALLEST:
        return f"numbers below {SMALLEST:g}, whose squares vanish,"
    return f"numbers above {LARGEST:g}, whose squares overflow," if overflows else "NaN or infinity"
