"""Results in a buffer of the caller: what `out` must be."""

from __future__ import annotations

from typing import Any

import torch

from ..arrays import check_result
from ..errors import ArgumentError, DeviceError, fail
from ..kernels.buffer import overlap
from ._check import TENSORS
from ._operator import transformed


def check_out(out: Any, shape: tuple[int, ...], dtype: torch.dtype, **inputs: torch.Tensor) -> None:
    """A dense buffer of that shape and dtype on the device of the inputs, apart from them and from any derivative."""
    if transformed():
        fail(ArgumentError, "out", "no derivative to be wanted", "a call under torch.func or in forward mode")
    check_result(out, shape, dtype, TENSORS)
    if out.layout != torch.strided or not out.is_contiguous() or out.is_neg():
        fail(
            ArgumentError,
            "out",
            "a contiguous tensor",
            f"strides {out.stride()}" if out.layout == torch.strided else out.layout,
        )
    for argument, x in inputs.items():
        if x.device != out.device:
            fail(DeviceError, "out", f"the device of {argument} ({x.device})", out.device)
        if torch.is_grad_enabled() and (x.requires_grad or out.requires_grad):
            fail(
                ArgumentError,
                "out",
                "no gradient to be wanted",
                f"{argument if x.requires_grad else 'out'} that requires one",
            )
        if overlap(out, x):
            fail(ArgumentError, "out", f"memory apart from {argument}", "a tensor that shares some of it")


def written(out: torch.Tensor) -> None:
    """Let autograd know that a kernel has written to `out`."""
    if not out.is_inference():
        torch.autograd.graph.increment_version(out)
