"""Real spherical harmonics as a differentiable operator.

Y depends on the direction only and Y(exp(t L_k) r) = exp(t X_k) Y(r), so with the torque tau_k = g . X_k Y(r) the
gradient is (tau x r) / |r|^2, and every further derivative is again Y and sparse generators.
"""

from __future__ import annotations

from typing import Any

import torch

from ..arrays import all_finite, check_lmax, refuse_point
from ..groups._arguments import check_choice
from ..groups.generators import generator_along, table
from ..groups.irreps import Irreps
from ..groups.representation import Representation
from ..kernels.registry import backend
from ._basis import BASES, relabel_points
from ._check import check_directions
from ._operator import Operator, accumulated, derivative_wanted, save_with_lmax, without_autocast
from ._out import check_out, written


@without_autocast
def spherical_harmonics(
    xyz: torch.Tensor, lmax: int, *, basis: str = "standard", out: torch.Tensor | None = None
) -> torch.Tensor:
    """Real spherical harmonics ``(*batch, (lmax+1)**2)`` of the directions of xyz.

    In the standard basis, where l = 1 is proportional to (y, z, x), unless ``basis="e3nn"`` says (x, y, z).

    ``Y_lm = N_lm P_l^|m|(cos theta) * (sqrt2 sin |m| phi, 1, sqrt2 cos m phi)`` for m < 0, = 0, > 0, without
    Condon-Shortley phase, normalised so that the integral of Y^2 over the sphere is 1.

    Args:
        xyz: ``(*batch, 3)`` float32 or float64, any unit; only the direction counts. A zero vector has no direction:
            Y_00 as always and 0 for l >= 1, the only equivariant value, with gradient 0.
        lmax: highest l, 0..131.
        basis: "standard", or "e3nn" where l = 1 is proportional to (x, y, z): xyz is copied with its axes relabelled
            (3 values a point), Y never.
        out: the buffer to fill, in eager mode and where no gradient is wanted: of the shape, dtype and device of the
            result, contiguous.

    Returns:
        In the dtype of xyz; last axis ``for l: for m in -l..l``.

    Error, times sqrt((2l+1)/4pi): float64 below (l+1) max(16, l) eps, and below 16 (l+1) eps away from the poles;
    float32 below max(6e-7, 1.2e-7 (l+1)) (`test_harmonics_agree_with_50_digits`, `test_bound_near_a_pole`). Cost:
    about 2 multiply-adds per value; limited by writing. Differentiable to any order in eager mode, in reverse and
    forward mode and by torch.func (grad, vjp, jvp, jacrev, jacfwd, hessian, vmap), once under ``torch.compile``.
    Deterministic, thread safe.

    Raises:
        ArgumentError: lmax out of range, a point not finite (row named), unknown basis, `out` that is not contiguous,
            shares memory with xyz or stands beside a gradient.
        ShapeError, DTypeError, DeviceError: not ``(*batch, 3)``, not float32 or float64, `out` that does not fit.

    >>> spherical_harmonics(torch.tensor([0.0, 0.0, 2.0]), 1)
    tensor([0.2821, 0.0000, 0.4886, 0.0000])
    """
    check_directions(xyz)
    lmax = check_lmax(lmax)
    check_choice("basis", basis, BASES)
    shape = (*xyz.shape[:-1], (lmax + 1) ** 2)
    if out is not None:
        check_out(out, shape, xyz.dtype, xyz=xyz)
    if derivative_wanted(xyz) is False and (own := backend(xyz.device)).fills:
        # before all points are looked at, as they would be for nothing where the result cannot be held
        filled = own.empty(xyz, *shape) if out is None else out
        refuse_point(own.spherical_harmonics_checked(xyz, lmax, basis == "e3nn", filled))
        if out is not None:
            written(out)
        return filled
    Y = _spherical_harmonics(relabel_points(xyz, basis).reshape(-1, 3), lmax).reshape(shape)
    return Y if out is None else out.copy_(Y)


def _gradient(xyz: torch.Tensor, torque: torch.Tensor) -> torch.Tensor:
    """(tau x r) / |r|^2, 0 at r = 0."""
    r, square, scale = _scaled(xyz)
    gradient: torch.Tensor = torch.linalg.cross(torque, r) / square / scale
    return gradient


def _angular_velocity(xyz: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
    """(r x dr) / |r|^2, 0 at r = 0: the adjoint of `_gradient`."""
    r, square, scale = _scaled(xyz)
    omega: torch.Tensor = torch.linalg.cross(r, tangent / scale) / square
    return omega


def _scaled(xyz: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """r / scale, its square and the scale, so that the square neither overflows nor underflows; 1 where r = 0."""
    scale = xyz.detach().abs().amax(-1, keepdim=True)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    r = xyz / scale
    square = r.square().sum(-1, keepdim=True)
    return r, torch.where(square > 0, square, torch.ones_like(square)), scale


def _along(values: torch.Tensor, omega: torch.Tensor, lmax: int) -> torch.Tensor:
    """sum_k omega_k X_k applied to ``(n, (lmax+1)**2)``."""
    return generator_along(values, omega, *table(Representation.of(Irreps.harmonics(lmax)), values))


def _check_finite(xyz: torch.Tensor) -> None:
    if not (backend(xyz.device).defers_checks or all_finite(xyz)):
        refuse_point(int((~torch.isfinite(xyz).all(-1)).to(torch.int8).argmax()))


@Operator
def _spherical_harmonics(xyz: torch.Tensor, lmax: int) -> torch.Tensor:
    _check_finite(xyz)
    return backend(xyz.device).spherical_harmonics(xyz, lmax)


@Operator
def _spherical_harmonics_torque(xyz: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
    return backend(xyz.device).spherical_harmonics_torque(xyz, grad, lmax)


@_spherical_harmonics.register_fake
def _(xyz: torch.Tensor, lmax: int) -> torch.Tensor:
    return xyz.new_empty(xyz.shape[0], (lmax + 1) ** 2)


@_spherical_harmonics_torque.register_fake
def _(xyz: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
    return xyz.new_empty(xyz.shape[0], 3)


def _harmonics_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
    (xyz,) = ctx.saved_tensors
    return _gradient(xyz, _spherical_harmonics_torque(xyz, grad, ctx.lmax)), None


def _torque_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
    # tau_k = G . X_k Y: by G it is X_h Y, by the direction G . X_h X_j Y = (-X_h G) . X_j Y
    xyz, outer = ctx.saved_tensors
    by_xyz = by_outer = None
    if ctx.needs_input_grad[0]:
        by_xyz = _gradient(xyz, _spherical_harmonics_torque(xyz, -_along(outer, grad, ctx.lmax), ctx.lmax))
    if ctx.needs_input_grad[1]:
        by_outer = _along(_spherical_harmonics(xyz, ctx.lmax), grad, ctx.lmax)
    return by_xyz, by_outer, None


def _harmonics_tangent(arguments: tuple[Any, ...], tangents: tuple[Any, ...]) -> torch.Tensor:
    xyz, lmax = arguments
    return _along(_spherical_harmonics(xyz, lmax), _angular_velocity(xyz, tangents[0]), lmax)


def _torque_tangent(arguments: tuple[Any, ...], tangents: tuple[Any, ...]) -> torch.Tensor:
    # d tau_k = G . X_k X_w Y = (-X_w G) . X_k Y + tau . (e_k x w), since X_k X_w = X_w X_k + [X_k, X_w]
    xyz, outer, lmax = arguments
    turned = by_xyz = None
    if tangents[0] is not None:
        omega = _angular_velocity(xyz, tangents[0])
        turned = -_along(outer, omega, lmax)
        by_xyz = torch.linalg.cross(omega, _spherical_harmonics_torque(xyz, outer, lmax))
    return accumulated(by_xyz, _spherical_harmonics_torque(xyz, accumulated(tangents[1], turned), lmax))


_spherical_harmonics.register_derivatives(_harmonics_backward, _harmonics_tangent, setup_context=save_with_lmax)
_spherical_harmonics_torque.register_derivatives(_torque_backward, _torque_tangent, setup_context=save_with_lmax)


@_spherical_harmonics.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], xyz: torch.Tensor, lmax: int) -> tuple[torch.Tensor, int]:
    moved = xyz.movedim(in_dims[0], 0)
    return _spherical_harmonics(moved.flatten(0, 1), lmax).unflatten(0, moved.shape[:2]), 0


@_spherical_harmonics_torque.register_vmap
def _(
    info: Any, in_dims: tuple[Any, ...], xyz: torch.Tensor, grad: torch.Tensor, lmax: int
) -> tuple[torch.Tensor, int]:
    size = info.batch_size
    xyz, grad = (
        x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip((xyz, grad), in_dims[:2], strict=True)
    )
    return _spherical_harmonics_torque(xyz.flatten(0, 1), grad.flatten(0, 1), lmax).unflatten(0, (size, -1)), 0
