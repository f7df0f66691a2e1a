"""The CUDA kernels on tensors: the functions of `cpu`, queued on torch's current stream, in memory from torch.

Nothing waits for the device, so values cannot be refused: where the CPU refuses a matrix or a point, results are NaN.
Work can be captured in a CUDA graph once every lmax in it was used before, which is when its tables are uploaded.
"""

from __future__ import annotations

import collections
import functools
import threading
from typing import Any

import torch

from ..errors import DeviceError, fail
from ..groups.representation import Representation
from ..tolerance import ORTHOGONALITY
from . import products
from .cpu import _C, _NAMES, _blocks, dense, packed_size

DEFERS_CHECKS = True


def _where(x: torch.Tensor) -> tuple[int, int]:
    """Device and stream."""
    if x.device.type == "cpu":
        return 0, 0  # a build whose kernels run on the host
    _serve(x.device.index)
    return x.device.index, torch.cuda.current_stream(x.device).cuda_stream


@functools.cache
def _serve(index: int) -> None:
    """DeviceError at the first use of a device that this build cannot serve."""
    device_info(index)


# Never dropped, because a captured graph holds addresses; at most 5 MB for one lmax
@functools.cache
def _upload(lmax: int, device: torch.device) -> torch.Tensor:
    _refuse_capture(f"lmax = {lmax}", device)
    flat = torch.empty(_C.cuda.table_size(lmax), dtype=torch.float64)
    _C.cuda.fill_tables(lmax, flat.data_ptr(), flat.numel())
    return flat.to(device)


def _capturing(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _refuse_capture(what: str, device: torch.device) -> None:
    if _capturing(device):
        fail(DeviceError, "stream", f"one call with {what} before a graph is captured", "the first one while capturing")


def _tables(lmax: int, x: torch.Tensor) -> tuple[int, int]:
    flat = _upload(lmax, x.device)
    return flat.data_ptr(), flat.numel()


def wigner_D(rotations: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(n, 3, 3)`` to packed ``(n * E(lmax),)``."""
    rotations = dense(rotations)
    n = rotations.shape[0]
    out = rotations.new_empty(n * packed_size(lmax))
    _C.cuda.wigner_D(
        *_where(out),
        *_tables(lmax, out),
        rotations.data_ptr(),
        n,
        lmax,
        out.data_ptr(),
        out.numel(),
        _NAMES[out.dtype],
        ORTHOGONALITY[out.dtype],
    )
    return out


def wigner_D_torque(rotations: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(n, 3)``: sum_l <grad^l, D^l X_k>."""
    rotations, grad = dense(rotations), dense(grad)
    out = rotations.new_empty(rotations.shape[0], 3)
    done = _C.cuda.wigner_D_torque(
        *_where(out),
        *_tables(lmax, out),
        rotations.data_ptr(),
        rotations.shape[0],
        lmax,
        grad.data_ptr(),
        grad.numel(),
        out.data_ptr(),
        _NAMES[out.dtype],
        ORTHOGONALITY[out.dtype],
    )
    return out if done else products.wigner_D_torque(rotations, grad, lmax, wigner_D)


def spherical_harmonics(xyz: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(n, 3)`` to ``(n, (lmax+1)**2)``."""
    xyz = dense(xyz)
    out = xyz.new_empty(xyz.shape[0], (lmax + 1) ** 2)
    _C.cuda.spherical_harmonics(
        *_where(out),
        *_tables(lmax, out),
        xyz.data_ptr(),
        xyz.shape[0],
        lmax,
        out.data_ptr(),
        out.numel(),
        _NAMES[out.dtype],
    )
    return out


def spherical_harmonics_torque(xyz: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(n, 3)``: sum_l grad^l . X_k Y^l."""
    xyz, grad = dense(xyz), dense(grad)
    out = xyz.new_empty(xyz.shape[0], 3)
    done = _C.cuda.spherical_harmonics_torque(
        *_where(out),
        *_tables(lmax, out),
        xyz.data_ptr(),
        xyz.shape[0],
        lmax,
        grad.data_ptr(),
        grad.numel(),
        out.data_ptr(),
        _NAMES[out.dtype],
    )
    assert done, "harmonics of one degree fit into the shared memory of every supported device"
    return out


@functools.cache
def _copies(rep: Representation, device: torch.device) -> torch.Tensor:
    """``(copies, 4)``: l, offset, stride of m and whether odd, of every copy of every irrep."""
    _refuse_capture(f"the representation {rep.name!r}", device)
    rows = [
        (l, offset + copy * stride_mul, stride_m, int(odd))
        for l, mul, offset, stride_mul, stride_m, odd in _blocks(rep)
        for copy in range(mul)
    ]
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 4).to(device)


def rotate(x: torch.Tensor, rotations: torch.Tensor, rep: Representation, inverse: bool) -> torch.Tensor:
    """x ``(batch or 1, rows, dim)``, rotations ``(batch, 3, 3)``, to ``(batch, rows, dim)``."""
    x, rotations = dense(x), dense(rotations)
    batch, (own, rows, dim) = rotations.shape[0], x.shape
    out = x.new_empty(batch, rows, dim)
    lmax = max((block[0] for block in _blocks(rep)), default=0)
    copies = _copies(rep, x.device)
    done = _C.cuda.rotate(
        *_where(out),
        *_tables(lmax, out),
        lmax,
        x.data_ptr(),
        x.numel(),
        rotations.data_ptr(),
        batch,
        rows,
        dim,
        own == 1 and batch != 1,
        copies.data_ptr(),
        copies.shape[0],
        inverse,
        out.data_ptr(),
        out.numel(),
        _NAMES[out.dtype],
        ORTHOGONALITY[out.dtype],
    )
    return out if done else products.rotate(x, rotations, rep, inverse, wigner_D)


_SAMPLES = {**_NAMES, torch.float16: "float16", torch.bfloat16: "bfloat16"}


class _Grid:
    """What the projection knows of rings on the host, and its tables on a device."""

    __slots__ = ("data", "plan")

    def __init__(
        self, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int, compute: str, device: torch.device
    ) -> None:
        _refuse_capture(f"this grid and lmax = {lmax}", device)
        points = rings.shape[0]
        self.plan = _C.cuda.plan(rings.data_ptr(), weights.data_ptr(), points, gammas, lmax, compute)
        data = torch.empty(self.plan.size, dtype=torch.float64)
        self.plan.copy(data.data_ptr(), data.numel())
        self.data = data.to(device)


GRIDS_KEPT = 128
_grids: collections.OrderedDict[Any, _Grid] = collections.OrderedDict()
_captured: list[_Grid] = []
_lock = threading.Lock()


def _grid(
    rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int, compute: torch.dtype, device: torch.device
) -> _Grid:
    rings, weights = dense(rings), dense(weights)
    key = (rings.numpy().tobytes(), weights.numpy().tobytes(), gammas, lmax, compute, device)
    with _lock:
        found = _grids.pop(key, None) or _Grid(rings, weights, gammas, lmax, _NAMES[compute], device)
        _grids[key] = found
        if _capturing(device):
            _captured.append(found)  # a graph holds its addresses
        if len(_grids) > GRIDS_KEPT:
            _grids.popitem(last=False)
    return found


def character_power(
    values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int, cosets: int
) -> torch.Tensor | None:
    """B ``(lmax + 1, cosets, channels)`` of ``(cosets, points, gammas, channels)`` at once; None where it does not fit.

    rings and weights, on the host, are those of the first coset. 16-bit samples are read as they are.
    """
    values = dense(values)
    channels, gammas = values.shape[3], values.shape[2]
    compute = torch.float64 if values.dtype == torch.float64 else torch.float32
    grid = _grid(rings, weights, gammas, lmax, compute, values.device)
    device, stream = _where(values)
    parts = _C.cuda.power_parts(device, grid.plan, channels, _NAMES[compute]) if grid.plan.worthwhile else 0
    if parts == 0:
        return None
    out = values.new_empty(parts, lmax + 1, cosets, channels, dtype=compute)
    _C.cuda.character_power(
        device,
        stream,
        grid.plan,
        grid.data.data_ptr(),
        grid.data.numel(),
        values.data_ptr(),
        values.numel(),
        _SAMPLES[values.dtype],
        cosets,
        channels,
        out.data_ptr(),
        out.numel(),
        _NAMES[compute],
    )
    return out[0] if parts == 1 else out.sum(0)


def project(
    values: torch.Tensor,
    rings: torch.Tensor,
    weights: torch.Tensor,
    lmax: int,
    center: torch.Tensor | None,
    out: torch.Tensor,
) -> None:
    """Add to out ``(E(lmax), channels)``, contiguous, what values ``(points, gammas, channels)`` contribute."""
    values = dense(values)
    center = None if center is None else dense(center.to(torch.float64))
    gammas, channels = values.shape[1:]
    if rings.device.type == "cpu":
        grid = _grid(rings, weights, gammas, lmax, out.dtype, values.device)
        if grid.plan.worthwhile:
            _C.cuda.project(
                *_where(values),
                grid.plan,
                grid.data.data_ptr(),
                grid.data.numel(),
                values.data_ptr(),
                values.numel(),
                _SAMPLES[values.dtype],
                channels,
                0 if center is None else center.data_ptr(),
                out.data_ptr(),
                out.numel(),
                _NAMES[out.dtype],
            )
            return
    rotations, weights = products.elements(rings.to(values.device), weights.to(values.device), gammas)
    products.project(values.flatten(0, 1), rotations, weights, lmax, center, out, wigner_D)


def synthesize(
    coefficients: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int
) -> torch.Tensor:
    """Coefficients ``(E(lmax), channels)`` to ``(points, gammas, channels)``: the adjoint of `project`."""
    rings, weights = rings.to(coefficients.device), weights.to(coefficients.device)
    return products.synthesize(coefficients, rings, weights, gammas, lmax, wigner_D)


def info() -> dict[str, Any]:
    """Toolkit and architectures of this build."""
    toolkit = _C.cuda.toolkit
    return {"toolkit": f"{toolkit // 1000}.{toolkit % 1000 // 10}", "architectures": _C.cuda.architectures}


def device_info(index: int) -> dict[str, Any]:
    """Name, compute capability, shared memory and multiprocessors; DeviceError where this build cannot serve it."""
    try:
        return dict(_C.cuda.device(index))
    except RuntimeError as error:
        raise DeviceError(str(error)) from None
