"""The compiled kernels on CPU tensors."""

from __future__ import annotations

import torch

from .. import _C
from ..groups.action import Step
from ..groups.representation import Representation
from .buffer import source, target
from .compiled import CompiledBackend
from .module import RotationFaults, rotate_checked

HUGE = 1 << 25
"""Bytes from which on the allocator takes memory from the system, and gives it back, for each result."""


class CpuBackend(CompiledBackend):
    """On as many threads as torch uses; results are the same bits for any number of them."""

    name = "cpu"
    device_type = "cpu"
    fills = True

    def _place(self, x: torch.Tensor, lmax: int, rep: Representation | None = None) -> int:
        return torch.get_num_threads()

    def empty(self, like: torch.Tensor, *shape: int) -> torch.Tensor:
        out = like.new_empty(shape)
        if out.numel() * out.element_size() >= HUGE:
            _C.prefer_huge_pages(target(out))
        return out

    def check_rotations(self, rotations: torch.Tensor, tolerance: float) -> RotationFaults:
        return RotationFaults(*_C.check_rotations(source(rotations), tolerance))

    def wigner_D_checked(
        self, rotations: torch.Tensor, lmax: int, cycled: bool, tolerance: float, out: torch.Tensor
    ) -> RotationFaults:
        where = target(out), tolerance, torch.get_num_threads()
        return RotationFaults(*_C.wigner_D_checked(source(rotations), lmax, cycled, *where))

    def spherical_harmonics_checked(self, xyz: torch.Tensor, lmax: int, cycled: bool, out: torch.Tensor) -> int:
        return _C.spherical_harmonics_checked(source(xyz), lmax, cycled, target(out), torch.get_num_threads())

    def rotate_tensors(
        self, x: torch.Tensor, rotations: torch.Tensor, rank: int, pseudo: bool, inverse: bool
    ) -> torch.Tensor:
        """The same bits on every processor too."""
        _, rows, size = x.shape
        out = self.empty(x, rotations.shape[0], rows, size)
        where = target(out), torch.get_num_threads()
        _C.rotate_tensors(source(x), source(rotations), rows, rank, pseudo, inverse, *where)
        return out

    def rotate_checked(
        self,
        x: torch.Tensor,
        rotations: torch.Tensor,
        rows: int,
        step: Step,
        inverse: bool,
        tolerance: float,
        out: torch.Tensor,
    ) -> RotationFaults:
        where = target(out), torch.get_num_threads()
        return rotate_checked(source(x), source(rotations), rows, step, inverse, tolerance, *where)

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
        grid = source(rings), source(weights), gammas
        middle = None if center is None else source(center.to(torch.float64))
        _C.project(source(values), grid, lmax, channels, middle, target(out), torch.get_num_threads())

    def synthesize(
        self, coefficients: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int
    ) -> torch.Tensor:
        channels = coefficients.shape[1]
        out = self.empty(coefficients, rings.shape[0], gammas, channels)
        grid = source(rings), source(weights), gammas
        _C.synthesize(source(coefficients), grid, lmax, channels, target(out), torch.get_num_threads())
        return out

    def power_at_once(
        self, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int, device: torch.device
    ) -> bool:
        return _C.power_at_once((source(rings), source(weights), gammas), lmax)

    def power_and_moments(
        self, values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int, center: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        moments = torch.empty(2, values.shape[-1], dtype=torch.float64)
        power = self.character_power(values, rings, weights, lmax, center, moments)
        assert power is not None, "power_at_once is to be asked first"
        return power, moments

    def character_power(
        self,
        values: torch.Tensor,
        rings: torch.Tensor,
        weights: torch.Tensor,
        lmax: int,
        center: torch.Tensor | None = None,
        moments: torch.Tensor | None = None,
    ) -> torch.Tensor | None:
        """Centred on the first value unless a `center` is given; in float64 beside `moments`."""
        values = values if values.dtype in (torch.float32, torch.float64) else values.to(torch.float32)
        cosets, _, gammas, channels = values.shape
        middle = (values[0, 0, 0] if center is None else center).to(torch.float64)
        out = values.new_empty(lmax + 1, cosets, channels, dtype=values.dtype if moments is None else torch.float64)
        done = _C.character_power(
            source(values),
            (source(rings), source(weights), gammas),
            lmax,
            cosets,
            channels,
            source(middle),
            target(out),
            None if moments is None else target(moments),
            torch.get_num_threads(),
        )
        return out if done else None
