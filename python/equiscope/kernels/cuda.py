"""The CUDA kernels, queued on torch's current stream, in memory from torch.

Nothing waits for the device, so values cannot be refused: where the CPU refuses a matrix or a point, results are NaN.
Work can be captured in a CUDA graph once every lmax, representation and grid in it was used before, which is when its
tables are copied to the device.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

from .. import _C
from ..errors import DeviceError
from ..groups.representation import Representation
from ..tolerance import MAXIMUM_LMAX, dtype_name, orthogonality
from .buffer import Device, dense, source, target
from .compiled import CompiledBackend
from .kept import Kept
from .module import Buffer, blocks

GRIDS_KEPT = 128
"""An audit turns the grid of every system: the plans of those that are at work, of some 100 kB each."""

# one table for each lmax, of at most 5 MB
_recursions = Kept(MAXIMUM_LMAX + 1)
_copies = Kept(1024)
_plans = Kept(GRIDS_KEPT)
_rings = Kept(GRIDS_KEPT)


class CudaBackend(CompiledBackend):
    """The kernels on CUDA tensors, and on those of the host in a build whose kernels run there."""

    name = "cuda"
    device_type = "cuda"
    defers_checks = True

    def _place(self, x: torch.Tensor, lmax: int, rep: Representation | None = None) -> Device:
        tables = [_tables(lmax, x.device)]
        if rep is not None:
            tables.append(_table_of_copies(rep, x.device))
        return _queue(x, orthogonality(x.dtype), *tables)

    def project(
        self,
        values: torch.Tensor,
        rings: torch.Tensor,
        weights: torch.Tensor,
        lmax: int,
        center: torch.Tensor | None,
        out: torch.Tensor,
    ) -> None:
        _, gammas, channels = values.shape
        if rings.device.type == "cpu":
            plan, data = _plan(rings, weights, gammas, lmax, out.dtype, values.device)
            if plan.worthwhile:
                middle = None if center is None else source(center.to(torch.float64))
                place = _queue(values, 0.0, target(data))
                _C.project(source(values), plan, lmax, channels, middle, target(out), place)
                return
        super().project(values, *_on_device(rings, weights, values.device), lmax, center, out)

    def synthesize(
        self, coefficients: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int
    ) -> torch.Tensor:
        return super().synthesize(coefficients, *_on_device(rings, weights, coefficients.device), gammas, lmax)

    def character_power(
        self, values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int
    ) -> torch.Tensor | None:
        """For rings on the host, whose structure is looked at. 16-bit samples are read as they are."""
        if rings.device.type != "cpu":
            return None
        compute = torch.float64 if values.dtype == torch.float64 else torch.float32
        return _power(values, rings, weights, lmax, compute)

    def power_at_once(
        self, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int, device: torch.device
    ) -> bool:
        # what the blocks of the device can share decides
        if rings.device.type != "cpu":
            return False
        plan, data = _plan(rings, weights, gammas, lmax, torch.float64, device)
        return plan.worthwhile and _C.power_parts(plan, 1, "float64", _queue(data, 0.0, target(data))) > 0

    def power_and_moments(
        self, values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int, center: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wide = values if values.dtype in (torch.float32, torch.float64) else values.to(torch.float32)
        moments = values.new_empty(2, values.shape[-1], dtype=torch.float64)
        power = _power(wide, rings, weights, lmax, torch.float64, center.to(torch.float64), moments)
        assert power is not None, "power_at_once is to be asked first"
        return power, moments


def _power(
    values: torch.Tensor,
    rings: torch.Tensor,
    weights: torch.Tensor,
    lmax: int,
    compute: torch.dtype,
    center: torch.Tensor | None = None,
    moments: torch.Tensor | None = None,
) -> torch.Tensor | None:
    """B, in `compute`; the means of what is centred, and of its square, go to `moments`. None where there is no way."""
    cosets, _, gammas, channels = values.shape
    plan, data = _plan(rings, weights, gammas, lmax, compute, values.device)
    place = _queue(values, 0.0, target(data))
    parts = _C.power_parts(plan, channels, dtype_name(compute), place) if plan.worthwhile else 0
    if parts == 0:
        return None
    out = values.new_empty(parts, lmax + 1, cosets, channels, dtype=compute)
    middle = None if center is None else source(center)
    means = None if moments is None else target(moments)
    _C.character_power(source(values), plan, lmax, cosets, channels, middle, target(out), means, place)
    return out[0] if parts == 1 else out.sum(0)


def device_info(index: int) -> dict[str, Any]:
    """Name, compute capability, shared memory and multiprocessors; DeviceError where this build cannot serve it."""
    try:
        return dict(_C.device_info(index))
    except RuntimeError as error:
        raise DeviceError(str(error)) from None


@functools.cache
def _serve(index: int) -> None:
    """DeviceError at the first use of a device that this build cannot serve."""
    device_info(index)


def _queue(x: torch.Tensor, tolerance: float, *tables: Buffer) -> Device:
    """The current stream of the device of x."""
    if x.device.type == "cpu":
        return Device(0, 0, tolerance, tables)  # a build whose kernels run on the host
    _serve(x.device.index)
    return Device(x.device.index, torch.cuda.current_stream(x.device).cuda_stream, tolerance, tables)


def _tables(lmax: int, device: torch.device) -> Buffer:
    def make() -> tuple[torch.Tensor]:
        flat = torch.empty(_C.table_size(lmax), dtype=torch.float64)
        _C.fill_tables(lmax, target(flat))
        return (flat.to(device),)

    return target(*_recursions.get(lmax, device, f"lmax = {lmax}", make))


def _table_of_copies(rep: Representation, device: torch.device) -> Buffer:
    """``(copies, 4)``: l, offset, stride of m and whether odd, of every copy of every irrep."""

    def make() -> tuple[torch.Tensor]:
        rows = [
            (l, offset + copy * stride_mul, stride_m, int(odd))
            for l, mul, offset, stride_mul, stride_m, odd in blocks(rep)
            for copy in range(mul)
        ]
        return (torch.tensor(rows, dtype=torch.int32).reshape(-1, 4).to(device),)

    return target(*_copies.get(rep, device, f"the representation {rep.name!r}", make))


def _plan(
    rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int, compute: torch.dtype, device: torch.device
) -> tuple[_C.Plan, torch.Tensor]:
    """The plan of rings on the host, and its tables on a device."""
    rings, weights = dense(rings), dense(weights)

    def make() -> tuple[_C.Plan, torch.Tensor]:
        plan = _C.plan((target(rings), target(weights), gammas), lmax, dtype_name(compute))
        data = torch.empty(plan.size, dtype=torch.float64)
        plan.copy(target(data))
        return plan, data.to(device)

    key = (rings.numpy().tobytes(), weights.numpy().tobytes(), gammas, lmax, compute)
    plan, data = _plans.get(key, device, f"this grid and lmax = {lmax}", make)
    return plan, data


def _on_device(rings: torch.Tensor, weights: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rings and weights as they are, or copies of those of the host that are made once."""
    if rings.device.type != "cpu" or weights.device.type != "cpu":
        return rings.to(device), weights.to(device)
    rings, weights = dense(rings), dense(weights)
    key = rings.numpy().tobytes(), weights.numpy().tobytes()
    there = _rings.get(key, device, "this grid", lambda: (rings.to(device), weights.to(device)))
    return there[0], there[1]
