"""Refusals that arguments of every part share."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, DeviceError, DTypeError, fail

if TYPE_CHECKING:
    import torch

MOST_ELEMENTS = 1 << 40
"""Matrices that may be asked for at once: no machine holds as many."""


def check_choice(argument: str, value: Any, allowed: Sequence[str]) -> None:
    """One of a few words."""
    if not isinstance(value, str) or value not in allowed:
        fail(ArgumentError, argument, " or ".join(map(repr, allowed)), repr(value))


def checked_flag(argument: str, value: Any) -> bool:
    """True or False, also NumPy's, and nothing that only counts as one."""
    if not isinstance(value, bool):
        if type(value).__name__ not in ("bool", "bool_") or type(value).__module__ != "numpy":
            fail(DTypeError, argument, "True or False", repr(value))
        return bool(value)
    return value


def checked_count(argument: str, value: Any, most: int) -> int:
    """A whole number from 0 to `most`, as int."""
    count = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else -1
    if count < 0:
        fail(ArgumentError, argument, "a non-negative integer", repr(value))
    if count > most:
        fail(ArgumentError, argument, f"at most {most}", count)
    return count


def checked_device(device: Any) -> torch.device | None:
    """A device on which a tensor can be made, or None."""
    if device is None:
        return None
    import torch  # at first use: other arguments are checked without it

    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError) as error:
        why = str(error).partition("\n")[0][:200]
        fail(DeviceError, "device", "a device of this machine", f"{device!r} ({why})")
    return found


def check_floating(dtype: Any) -> None:
    """A floating-point dtype of torch, or None."""
    if dtype is None:
        return
    import torch

    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        fail(DTypeError, "dtype", "a floating-point dtype of torch, or None", repr(dtype))
