"""Refusals, before any memory is read: types, shapes, dtypes and devices outside the operators, values inside."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch

from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError, fail
from ..groups.rotations import deviation
from ..kernels.registry import backend
from ..tolerance import MAXIMUM_LMAX, ORTHOGONALITY

KERNEL_DTYPES = (torch.float32, torch.float64)
FEATURE_DTYPES = (torch.float16, torch.bfloat16, *KERNEL_DTYPES)


def check_lmax(lmax: Any) -> int:
    """lmax as int."""
    if isinstance(lmax, bool) or not isinstance(lmax, Integral) or not 0 <= int(lmax) <= MAXIMUM_LMAX:
        fail(ArgumentError, "lmax", f"an integer from 0 to {MAXIMUM_LMAX}", repr(lmax))
    return int(lmax)


def check_tensor(argument: str, x: Any, dtypes: tuple[torch.dtype, ...]) -> None:
    """A dense tensor of one of `dtypes`."""
    if not isinstance(x, torch.Tensor):
        fail(DTypeError, argument, f"a torch.Tensor of {_names(dtypes)}", type(x).__name__)
    if x.dtype not in dtypes:
        fail(DTypeError, argument, f"a tensor of {_names(dtypes)}", str(x.dtype).removeprefix("torch."))
    if x.layout != torch.strided:
        fail(ArgumentError, argument, "a dense (strided) tensor", x.layout)


def _names(dtypes: tuple[torch.dtype, ...]) -> str:
    return " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)


def savable(x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """x, or a copy of a tensor of inference mode, which torch keeps for no derivative by the others."""
    if torch.compiler.is_compiling() or not x.is_inference() or torch.is_inference_mode_enabled():
        return x
    return x.clone() if torch.is_grad_enabled() and any(other.requires_grad for other in others) else x


def check_rotation_matrices(rotations: Any) -> None:
    """``(*batch, 3, 3)``."""
    if not isinstance(rotations, torch.Tensor):
        fail(
            DTypeError,
            "rotations",
            "a torch.Tensor of matrices (*batch, 3, 3) (of a scipy Rotation: torch.from_numpy(r.as_matrix()))",
            type(rotations).__name__,
        )
    check_tensor("rotations", rotations, KERNEL_DTYPES)
    if rotations.ndim < 2 or rotations.shape[-1] != 3 or rotations.shape[-2] != 3:
        fail(ShapeError, "rotations", "(*batch, 3, 3)", tuple(rotations.shape))


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
    limit = ORTHOGONALITY[rotations.dtype] if limit is None else limit
    found = own.check_rotations(rotations, limit)
    if found.bad >= 0:
        finite = bool(torch.isfinite(rotations[found.bad]).all())
        what = f"|R R^T - 1| = {found.deviation:.3g}" if finite else "non-finite values"
        expected = f"orthogonal 3x3 matrices (|R R^T - 1| <= {limit:g})"
        fail(ArgumentError, argument, expected, f"row {found.bad} with {what}")
    if proper and found.improper >= 0:
        fail(
            ArgumentError,
            argument,
            "proper rotations, because D^l says nothing of parity: pass -R, and multiply by -1 what is odd under "
            "inversion (rotate does both)",
            f"row {found.improper} with determinant -1",
        )


def orthogonal_or_nan(rotations: torch.Tensor, limit: float | None = None) -> torch.Tensor:
    """A copy of ``(n, 3, 3)``, refused unless orthogonal; where checks are deferred, NaN is what would be refused."""
    limit = ORTHOGONALITY[rotations.dtype] if limit is None else limit
    check_orthogonal(rotations, proper=False, limit=limit)
    if not backend(rotations.device).defers_checks:
        return rotations.clone()
    good = deviation(rotations) <= limit
    return torch.where(good[:, None, None], rotations, torch.nan)
