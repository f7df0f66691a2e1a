"""Tensors as the compiled module takes them: an address, a number of elements and a dtype."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .module import Buffer

_new = tuple.__new__
_NAMES = {
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.float64: "float64",
    torch.int32: "int32",
}


class Device(NamedTuple):
    """A place on a device; the place on the host is a number of threads."""

    device: int
    stream: int
    tolerance: float
    """|R R^T - 1| above which a matrix gives NaN."""
    tables: tuple[Buffer, ...]
    """What the function needs on the device: recursions and copies of irreps, or the plan of a grid."""


def dense(x: torch.Tensor) -> torch.Tensor:
    """Contiguous, and without a pending negation, so that memory holds the values.

    Without asking first: this also takes off what a transform of torch.func that has ended left around a tensor.
    """
    return x.resolve_neg().contiguous()


def source(x: torch.Tensor) -> Buffer:
    """The values of x, copied where they are not dense."""
    return target(dense(x))


def target(x: torch.Tensor) -> Buffer:
    """The memory of a dense tensor, to be written to."""
    # as Buffer(...) does, without a call of Python between
    return _new(Buffer, (x.data_ptr(), x.numel(), _NAMES[x.dtype], x))


def overlap(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether the memory from the first to the last element of a meets that of b."""
    if a.device != b.device or a.numel() == 0 or b.numel() == 0:
        return False
    (first, last), (other_first, other_last) = _reach(a), _reach(b)
    return first < other_last and other_first < last


def _reach(x: torch.Tensor) -> tuple[int, int]:
    """Addresses of the first element and behind the last."""
    elements, start = x.numel(), x.data_ptr()
    if not x.is_contiguous():
        elements = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return start, start + elements * x.element_size()
