"""The contract of a backend: the kernels on the tensors of one type of device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from ..groups.action import Step
from ..groups.representation import Representation
from ..groups.rotations import deviation, handedness
from . import products
from .module import RotationFaults


class Backend(ABC):
    """The kernels on tensors of one type of device.

    `wigner_D` and `spherical_harmonics` are all that one must give; everything else has a default made of these two and
    of plain torch, to be replaced where there is a faster way. `register` puts a backend in place, `using` for a while.

    Conventions are those of `equiscope.wigner_D` and `equiscope.spherical_harmonics` in the basis "standard". With
    E(lmax) = (lmax+1)(2 lmax+1)(2 lmax+3)/3, which is `packed_size`, D of n rotations are n E(lmax) elements,

        for l in 0..lmax: for rotation in 0..n-1: for mp in -l..l: for m in -l..l

    coefficients of a projection are E(lmax) rows of one value per channel,

        for l in 0..lmax: for m in -l..l: for n in -l..l: for channel

    and Y of one point are (lmax+1)^2 values, ``for l in 0..lmax: for m in -l..l``.

    What was checked before a kernel is called, and may be taken for granted: shapes, dtypes and lmax (0..131); one
    device for all tensors, but for rings and weights, which may lie on the host; values finite and rotations orthogonal
    to the tolerance of `equiscope.tolerance.orthogonality`, unless `defers_checks`. Every size may be 0, strides are
    arbitrary, and a tensor may be an expanded or a negative view (see `buffer.dense`). Kernels are called below
    autograd. Rotations are to be brought to the nearest orthogonal matrix by the kernel.

    What a kernel must keep to: a result is a new tensor on the device and in the dtype of the arguments, which are not
    written to. Many threads of Python call one backend at once, so it holds no state that changes a result; equal
    arguments give equal bits. It raises only where it cannot compute (memory, a device out of order).
    """

    name: ClassVar[str]
    """In messages."""

    device_type: ClassVar[str]
    """The type of device whose tensors it takes, as torch names it."""

    defers_checks: ClassVar[bool] = False
    """True where looking at values would wait for the device: nothing is then refused for its values, and the kernels
    give NaN for a matrix that is not orthogonal or, for D, not proper."""

    fills: ClassVar[bool] = False
    """True where there are `wigner_D_checked`, `spherical_harmonics_checked` and `rotate_checked`: they check what they
    are given and write to ``out``, a contiguous tensor of any alignment and as many elements as the result."""

    # ---- to be given -------------------------------------------------------------------------------------------------

    @abstractmethod
    def wigner_D(self, rotations: torch.Tensor, lmax: int) -> torch.Tensor:
        """D of proper rotations ``(n, 3, 3)``, float32 or float64, packed: ``(n E(lmax),)``."""

    @abstractmethod
    def spherical_harmonics(self, xyz: torch.Tensor, lmax: int) -> torch.Tensor:
        """Y of the directions of xyz ``(n, 3)``, float32 or float64: ``(n, (lmax+1)^2)``; at 0 Y_00 only."""

    # ---- with a default ----------------------------------------------------------------------------------------------

    def empty(self, like: torch.Tensor, *shape: int) -> torch.Tensor:
        """Memory for a result of that shape, of the dtype and on the device of `like`."""
        return like.new_empty(shape)

    def check_rotations(self, rotations: torch.Tensor, tolerance: float) -> RotationFaults:
        """Which of ``(n, 3, 3)`` are not finite, further than `tolerance` from orthogonal, or improper."""
        size = deviation(rotations.to(torch.float64))
        bad = _first(~(size <= tolerance))
        return RotationFaults(bad, float(size[bad]) if bad >= 0 else 0.0, _first(handedness(rotations) < 0))

    def wigner_D_checked(
        self, rotations: torch.Tensor, lmax: int, cycled: bool, tolerance: float, out: torch.Tensor
    ) -> RotationFaults:
        """`check_rotations` of ``(*batch, 3, 3)`` and, where all are proper rotations, their packed D in `out`.

        They are in the axes of the basis of e3nn where `cycled`. Called only where this `fills`.
        """
        raise NotImplementedError(f"{self.name}: fills says no")

    def spherical_harmonics_checked(self, xyz: torch.Tensor, lmax: int, cycled: bool, out: torch.Tensor) -> int:
        """The first row of xyz ``(*batch, 3)`` that is not finite, or -1 and Y in `out`; the rest as for D."""
        raise NotImplementedError(f"{self.name}: fills says no")

    def wigner_D_torque(self, rotations: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
        """``(n, 3)``: sum over l of <grad^l, D^l X_k>, X_k as in `groups.generators`; grad is packed like D."""
        return products.wigner_D_torque(rotations, grad, lmax, self.wigner_D)

    def spherical_harmonics_torque(self, xyz: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
        """``(n, 3)``: sum over l and m of grad^l X_k Y^l; grad ``(n, (lmax+1)^2)``."""
        return products.spherical_harmonics_torque(xyz, grad, lmax, self.spherical_harmonics)

    def rotate(self, x: torch.Tensor, rotations: torch.Tensor, rep: Representation, inverse: bool) -> torch.Tensor:
        """rho(g) x or rho(g)^-1 x, ``(batch, rows, rep.components)``.

        x is ``(batch, rows, components)``, or ``(1, rows, components)`` for one x under all rotations; rotations
        ``(batch, 3, 3)`` have determinant +1 or -1; `rep` has irreps, in the basis "standard" and in either layout.
        """
        return products.rotate(x, rotations, rep, inverse, self.wigner_D)

    def rotate_tensors(
        self, x: torch.Tensor, rotations: torch.Tensor, rank: int, pseudo: bool, inverse: bool
    ) -> torch.Tensor:
        """Cartesian tensors of a rank of 1 or more, every index turned by g or g^T: ``(batch, rows, 3^rank)``.

        x is ``(batch, rows, 3^rank)``, or ``(1, rows, 3^rank)`` for one x under all rotations; rotations
        ``(batch, 3, 3)`` are taken as they are, and the sign of their determinants is a factor where `pseudo`.
        """
        return products.rotate_tensors(x, rotations, rank, pseudo, inverse)

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
        """`check_rotations` and, where none is bad, what one of these two gives written to `out`, in one call.

        Leading axes of x and rotations may be any that lie in memory like those above; rotations are in the axes of the
        basis of the step. Called only where this `fills`.
        """
        raise NotImplementedError(f"{self.name}: fills says no")

    def project(
        self,
        values: torch.Tensor,
        rings: torch.Tensor,
        weights: torch.Tensor,
        lmax: int,
        center: torch.Tensor | None,
        out: torch.Tensor,
    ) -> None:
        """Add to out ``(E(lmax), channels)``, contiguous, the coefficients of values ``(points, gammas, channels)``:

        sum_p weights[p] / gammas sum_k D^l_mn(rings[p] Rz(2 pi k / gammas)) (values[p, k] - center)

        with rings ``(points, 3, 3)`` proper and weights ``(points,)``, both float64; center ``(channels,)`` in any
        dtype. values and out are both float32, both float64, or float32 and float64; differences are made in float64,
        sums in the dtype of out.
        """
        grid = products.elements(rings.to(values.device), weights.to(values.device), values.shape[1])
        products.project(values.flatten(0, 1), *grid, lmax, center, out, self.wigner_D)

    def synthesize(
        self, coefficients: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int
    ) -> torch.Tensor:
        """``(points, gammas, channels)`` of coefficients ``(E(lmax), channels)``: the adjoint of `project`."""
        rings, weights = rings.to(coefficients.device), weights.to(coefficients.device)
        return products.synthesize(coefficients, rings, weights, gammas, lmax, self.wigner_D)

    def character_power(
        self, values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int
    ) -> torch.Tensor | None:
        """B ``(lmax + 1, cosets, channels)`` of values ``(cosets, points, gammas, channels)`` at once, as
        `equiscope.character_power`; None where that is no faster than `project` and the squares of what it gives.

        rings and weights are those of the first coset; the second, if there is one, has -R. B of float64 values is
        float64, that of float32, float16 and bfloat16 float32. A number near the values of each channel is taken off
        first and given back to l = 0, so that a large constant costs no digits.
        """
        return None

    def power_at_once(
        self, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int, device: torch.device
    ) -> bool:
        """Whether `power_and_moments` has a way on this grid for values on `device`."""
        return False

    def power_and_moments(
        self, values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int, center: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`character_power` in float64 and the means ``(2, channels)`` of ``values - center`` and of its square.

        Called only where `power_at_once` said yes.
        """
        raise NotImplementedError(f"{self.name}: power_at_once says no")


def _first(flags: torch.Tensor) -> int:
    return int(flags.to(torch.int8).argmax()) if bool(flags.any()) else -1
