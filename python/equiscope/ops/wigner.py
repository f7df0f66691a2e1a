"""Wigner-D matrices as a differentiable operator.

With R = Q exp(sum t_k L_k), dD/dt_k = D X_k: the derivative is D times sparse generators, so the operator and its
torque are closed under differentiation and save nothing but R.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ..arrays import check_lmax
from ..groups._arguments import check_choice
from ..groups.generators import generator_along, table
from ..groups.irreps import matrix_count
from ..groups.rotations import polar
from ..kernels.registry import backend
from ..tolerance import DIFFERENTIATED, orthogonality
from ._basis import BASES, relabel_matrices
from ._check import check_orthogonal, check_rotation_matrices, orthogonal_or_nan
from ._operator import Operator, accumulated, derivative_wanted, save_with_lmax, transformed, without_autocast
from ._out import check_out, written
from ._product import product


@without_autocast
def wigner_D(
    rotations: torch.Tensor, lmax: int, *, basis: str = "standard", out: torch.Tensor | None = None
) -> tuple[torch.Tensor, ...]:
    """Real Wigner-D matrices ``(*batch, 2l+1, 2l+1)`` for l = 0..lmax.

    In the standard basis, where l = 1 is (y, z, x), unless ``basis="e3nn"`` says (x, y, z): D[1] is not R.

    Defined by ``Y_l(R r) = D^l(R) Y_l(r)`` for the real spherical harmonics of `spherical_harmonics` (m = -l..l, no
    Condon-Shortley phase), so that D(R1 R2) = D(R1) D(R2) and D(R^-1) = D(R)^T. D(1) is the identity exactly.

    Args:
        rotations: ``(*batch, 3, 3)`` float32 or float64, active rotations with determinant +1. A matrix that is
            orthogonal only to tolerance (1e-4 in float32, 1e-8 in float64, 1e-4 where a derivative is wanted) is
            replaced by its polar factor.
        lmax: highest l, 0..131.
        basis: "standard", or "e3nn" where l = 1 is (x, y, z): the rotations are copied with their axes relabelled (9
            values each), D never.
        out: the buffer to fill, in eager mode and where no gradient is wanted: ``(n E(lmax),)`` for n rotations with
            E(l) = (l+1)(2l+1)(2l+3)/3, contiguous, of the dtype and on the device of `rotations`.

    Returns:
        Views of one buffer ``for l: for rotation: for mp in -l..l: for m in -l..l``, in the dtype of `rotations`.

    Error: float64 below 16 (l+1) eps up to l = 64 and 2e-12 up to 131; float32 below 6e-8 for the
    matrix given, to which the rounding of its entries adds up to 5e-8 (l+1) (`test_wigner_D_agrees_with_50_digits`).
    Cost: about 3 multiply-adds per value; limited by writing (lmax+1)(2 lmax+1)(2 lmax+3)/3 values per rotation.
    Differentiable to any order in eager mode, in reverse and forward mode and by torch.func (grad, vjp, jvp, jacrev,
    jacfwd, hessian, vmap), once under ``torch.compile``; the derivative with respect to a matrix is that of D of its
    polar factor. Deterministic for any number of threads; thread safe.

    Raises:
        ArgumentError: lmax out of range, a matrix not finite, not orthogonal or with determinant -1 (row named),
            unknown basis, `out` that is not contiguous, shares memory with `rotations` or stands beside a gradient.
        ShapeError, DTypeError, DeviceError: not ``(*batch, 3, 3)``, not float32 or float64, `out` that does not fit.

    >>> [tuple(D.shape) for D in wigner_D(torch.eye(3).expand(7, 3, 3), 2)]
    [(7, 1, 1), (7, 3, 3), (7, 5, 5)]
    """
    check_rotation_matrices(rotations)
    lmax = check_lmax(lmax)
    check_choice("basis", basis, BASES)
    batch = rotations.shape[:-2]
    n = batch.numel()
    if out is not None:
        check_out(out, (n * matrix_count(lmax),), rotations.dtype, rotations=rotations)
    if derivative_wanted(rotations) is False and (own := backend(rotations.device)).fills:
        packed = own.empty(rotations, n * matrix_count(lmax)) if out is None else out
        limit = orthogonality(rotations.dtype)
        own.wigner_D_checked(rotations, lmax, basis == "e3nn", limit, packed).refuse(rotations, limit, proper=True)
        if out is not None:
            written(out)
    else:
        packed = _wigner_D(on_group(relabel_matrices(rotations, basis).reshape(n, 3, 3)), lmax)
        packed = packed if out is None else out.copy_(packed)
    return tuple(unpack(packed, batch, lmax))


def on_group(rotations: torch.Tensor) -> torch.Tensor:
    """The polar factor of ``(n, 3, 3)`` where a derivative is wanted: those below then hold for any change of entries.

    It would make a rotation of what is none, so that is refused here.
    """
    wanted = transformed() or (rotations.requires_grad and torch.is_grad_enabled())
    return _polar_rotations(rotations) if wanted else rotations


def tangent_gradient(rotations: torch.Tensor, torque: torch.Tensor) -> torch.Tensor:
    """The gradient by R whose body-frame components are `torque`: R sum_k g_k L_k / 2, as <L_j, L_k> = 2."""
    gradient: torch.Tensor = torch.linalg.cross(rotations, 0.5 * torque[..., None, :])
    return gradient


def angular_velocity(rotations: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
    """omega of ``dR = R hat(omega)``, ``(n, 3)``: the adjoint of `tangent_gradient`."""
    omega: torch.Tensor = 0.5 * torch.linalg.cross(tangent, rotations).sum(-2)
    return omega


def unpack(packed: torch.Tensor, batch: Sequence[int], lmax: int) -> list[torch.Tensor]:
    """Packed D as views ``(*batch, 2l+1, 2l+1)``; one split, so that backward joins them in one pass."""
    n = math.prod(batch)
    parts = torch.split_with_sizes(packed, [n * (2 * l + 1) ** 2 for l in range(lmax + 1)])
    return [part.view(*batch, 2 * l + 1, 2 * l + 1) for l, part in enumerate(parts)]


def _times_generator(packed: torch.Tensor, omega: torch.Tensor, lmax: int) -> torch.Tensor:
    """Packed ``A^l sum_k omega_k X_k`` of packed A: rows times X, which is minus X times columns."""
    n, out = omega.shape[0], []
    for l, part in enumerate(unpack(packed, [n], lmax)):
        out.append(-generator_along(part, omega[:, None, :], *table(l, packed)).reshape(-1))
    return torch.cat(out)


@Operator
def _polar_rotations(rotations: torch.Tensor) -> torch.Tensor:
    """The polar factor of ``(n, 3, 3)``, refused unless orthogonal."""
    return polar(orthogonal_or_nan(rotations, DIFFERENTIATED))


@Operator
def _wigner_D(rotations: torch.Tensor, lmax: int) -> torch.Tensor:
    check_orthogonal(rotations, proper=True)
    return backend(rotations.device).wigner_D(rotations, lmax)


@Operator
def _wigner_D_torque(rotations: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
    return backend(rotations.device).wigner_D_torque(rotations, grad, lmax)


@_polar_rotations.register_fake
def _(rotations: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(rotations)


@_wigner_D.register_fake
def _(rotations: torch.Tensor, lmax: int) -> torch.Tensor:
    return rotations.new_empty(rotations.shape[0] * matrix_count(lmax))


@_wigner_D_torque.register_fake
def _(rotations: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
    return rotations.new_empty(rotations.shape[0], 3)


def _wigner_D_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
    (rotations,) = ctx.saved_tensors
    return tangent_gradient(rotations, _wigner_D_torque(rotations, grad, ctx.lmax)), None


def _torque_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
    # T_k = <G, D X_k>: by G it is D X_h, by the rotation <G, D X_j X_h> = <-G X_h, D X_j>, with X_h = sum_k h_k X_k
    rotations, outer = ctx.saved_tensors
    by_rotations = by_outer = None
    if ctx.needs_input_grad[0]:
        turned = -_times_generator(outer, grad, ctx.lmax)
        by_rotations = tangent_gradient(rotations, _wigner_D_torque(rotations, turned, ctx.lmax))
    if ctx.needs_input_grad[1]:
        by_outer = _times_generator(_wigner_D(rotations, ctx.lmax), grad, ctx.lmax)
    return by_rotations, by_outer, None


def _wigner_D_tangent(arguments: tuple[Any, ...], tangents: tuple[Any, ...]) -> torch.Tensor:
    rotations, lmax = arguments
    return _times_generator(_wigner_D(rotations, lmax), angular_velocity(rotations, tangents[0]), lmax)


def _torque_tangent(arguments: tuple[Any, ...], tangents: tuple[Any, ...]) -> torch.Tensor:
    # dT_k = <G, D X_w X_k> = <-G X_w, D X_k> + T . (w x e_k), since X_w X_k = X_k X_w + [X_w, X_k]
    rotations, outer, lmax = arguments
    turned = by_rotations = None
    if tangents[0] is not None:
        omega = angular_velocity(rotations, tangents[0])
        turned = -_times_generator(outer, omega, lmax)
        by_rotations = torch.linalg.cross(_wigner_D_torque(rotations, outer, lmax), omega)
    return accumulated(by_rotations, _wigner_D_torque(rotations, accumulated(tangents[1], turned), lmax))


def _save_rotations(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _polar_backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
    rotations = ctx.saved_tensors[0]
    return _step_along(rotations, _step_along(_step(rotations), grad))


def _polar_tangent(arguments: tuple[Any, ...], tangents: tuple[Any, ...]) -> torch.Tensor:
    rotations = arguments[0]
    return _step_along(_step(rotations), _step_along(rotations, tangents[0]))


def _step(rotations: torch.Tensor) -> torch.Tensor:
    """One of the two steps of `polar`."""
    return 1.5 * rotations - 0.5 * product(rotations, product(rotations.mT, rotations))


def _step_along(rotations: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """What a change of R changes the step by: a map of changes that is its own adjoint."""
    turn = product(rotations.mT, change)
    cubed = product(change, product(rotations.mT, rotations)) + product(rotations, turn + turn.mT)
    return torch.sub(1.5 * change, cubed, alpha=0.5)


_polar_rotations.register_derivatives(_polar_backward, _polar_tangent, setup_context=_save_rotations)
_wigner_D.register_derivatives(_wigner_D_backward, _wigner_D_tangent, setup_context=save_with_lmax)
_wigner_D_torque.register_derivatives(_torque_backward, _torque_tangent, setup_context=save_with_lmax)


def _join(packed: torch.Tensor, vmapped: int, lmax: int) -> torch.Tensor:
    """``(vmapped, n * E)`` as the packed buffer of vmapped * n rotations."""
    n = packed.shape[1] // matrix_count(lmax)
    return torch.cat([p.reshape(-1) for p in packed.split([n * (2 * l + 1) ** 2 for l in range(lmax + 1)], dim=1)])


def _part(packed: torch.Tensor, vmapped: int, n: int, lmax: int) -> torch.Tensor:
    """The inverse of `_join`."""
    return torch.cat([D.reshape(vmapped, -1) for D in unpack(packed, [vmapped * n], lmax)], dim=1)


@_polar_rotations.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], rotations: torch.Tensor) -> tuple[torch.Tensor, int]:
    moved = rotations.movedim(in_dims[0], 0)
    return _polar_rotations(moved.flatten(0, 1)).unflatten(0, moved.shape[:2]), 0


@_wigner_D.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], rotations: torch.Tensor, lmax: int) -> tuple[torch.Tensor, int]:
    moved = rotations.movedim(in_dims[0], 0)
    packed = _wigner_D(moved.flatten(0, 1), lmax)
    return _part(packed, info.batch_size, moved.shape[1], lmax), 0


@_wigner_D_torque.register_vmap
def _(
    info: Any, in_dims: tuple[Any, ...], rotations: torch.Tensor, grad: torch.Tensor, lmax: int
) -> tuple[torch.Tensor, int]:
    size = info.batch_size
    rotations, grad = (
        x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip((rotations, grad), in_dims[:2], strict=True)
    )
    out = _wigner_D_torque(rotations.flatten(0, 1), _join(grad, size, lmax), lmax)
    return out.unflatten(0, (size, -1)), 0
