"""Refusals, before any memory is read: types, shapes, dtypes and devices outside the operators, values inside."""

from __future__ import annotations

from typing import Any

import torch

from ..arrays import Kind, check_array, check_matrices, check_points
from ..errors import ArgumentError, DeviceError, fail
from ..groups.rotations import deviation
from ..kernels.registry import backend
from ..tolerance import orthogonality

KERNEL_DTYPES = (torch.float32, torch.float64)
FEATURE_DTYPES = (torch.float16, torch.bfloat16, *KERNEL_DTYPES)
TENSORS = Kind(
    torch.Tensor, "a torch.Tensor", "a tensor", "torch.from_numpy(r.as_matrix())", KERNEL_DTYPES, FEATURE_DTYPES
)


def check_tensor(argument: str, x: Any, dtypes: tuple[torch.dtype, ...]) -> None:
    """A dense tensor of one of `dtypes`."""
    check_array(argument, x, dtypes, TENSORS)
    _check_dense(argument, x)


def check_rotation_matrices(rotations: Any) -> None:
    """``(*batch, 3, 3)``."""
    check_matrices(rotations, TENSORS)
    _check_dense("rotations", rotations)


def check_directions(xyz: Any) -> None:
    """``(*batch, 3)``."""
    check_points(xyz, TENSORS)
    _check_dense("xyz", xyz)


def _check_dense(argument: str, x: torch.Tensor) -> None:
    if x.layout != torch.strided:
        fail(ArgumentError, argument, "a dense (strided) tensor", x.layout)


def savable(x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """x, or a copy of a tensor of inference mode, which torch keeps for no derivative by the others."""
    if torch.compiler.is_compiling() or not x.is_inference() or torch.is_inference_mode_enabled():
        return x
    return x.clone() if torch.is_grad_enabled() and any(other.requires_grad for other in others) else x


def check_same_device(argument: str, x: torch.Tensor, other: str, y: torch.Tensor) -> None:
    """x on the device of y."""
    if x.device != y.device:
        fail(DeviceError, argument, f"the device of {other} ({y.device})", x.device)


def check_orthogonal(
    rotations: torch.Tensor, *, proper: bool, argument: str = "rotations", limit: float | None = None
) -> None:
    """Values of ``(n, 3, 3)``: finite, orthogonal, det +1 where `proper`. Left to kernels that defer it."""
    own = backend(rotations.device)
    if own.defers_checks:
        return
    limit = orthogonality(rotations.dtype) if limit is None else limit
    own.check_rotations(rotations, limit).refuse(rotations, limit, proper=proper, argument=argument)


def orthogonal_or_nan(rotations: torch.Tensor, limit: float | None = None) -> torch.Tensor:
    """``(n, 3, 3)``, refused unless orthogonal; where checks are deferred, a copy with NaN for what were refused."""
    limit = orthogonality(rotations.dtype) if limit is None else limit
    check_orthogonal(rotations, proper=False, limit=limit)
    if not backend(rotations.device).defers_checks:
        return rotations
    good = deviation(rotations) <= limit
    return torch.where(good[:, None, None], rotations, torch.nan)
