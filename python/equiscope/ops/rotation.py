"""Rotation of irreps and Cartesian tensors under O(3) as a differentiable operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..arrays import check_working
from ..groups._arguments import checked_flag
from ..groups.action import Arrangement, Step, arranged, parsed, plan_of
from ..groups.cartesian import gathered
from ..groups.generators import each_generator, generator_along, table
from ..groups.irreps import Irreps
from ..groups.representation import Representation
from ..kernels.backend import Backend
from ..kernels.registry import backend
from ..tolerance import orthogonality
from ._basis import relabel_matrices
from ._check import (
    FEATURE_DTYPES,
    check_orthogonal,
    check_rotation_matrices,
    check_same_device,
    check_tensor,
    orthogonal_or_nan,
    savable,
)
from ._operator import Operator, derivative_wanted, without_autocast
from ._out import check_out, written
from ._product import product
from ._tensors import rotate_tensors, rotations_by_batch, rotations_derived
from .wigner import angular_velocity, on_group, tangent_gradient

MOST_KNOWN = 1024
_known: dict[tuple[Any, ...], Arrangement] = {}
"""Of `_arranged_once`."""


@without_autocast
def rotate(
    x: torch.Tensor,
    rotations: torch.Tensor,
    rep: str | Irreps | Representation,
    *,
    inverse: bool = False,
    basis: str = "standard",
    layout: str = "mul_ir",
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """rho(g) x, or rho(g)^-1 x, for elements g of O(3).

    An Irreps string without ``basis=`` is in the standard basis, where "1x1o" is (y, z, x); features of e3nn, where it
    is (x, y, z), need ``basis="e3nn"``. No value can tell the two apart, so a wrong one passes without a word.

    For g = s R (s = +-1, R a rotation) an irrep (l, parity p) is multiplied by ``s^[p odd] D^l(R)``; "vector" by g,
    "pseudovector" by R, "pseudoscalar" by s, "tensor" t by g t g^T, a tensor of higher rank by g at every index;
    "voigt" is the symmetric tensor (xx, yy, zz, yz, xz, xy). "azimuth" is the angle of g (cos, sin), for g that keep z.

    Args:
        x: ``(*batch, *components)``, float32 or float64, or float16 or bfloat16 which are rotated in float32.
            Components are no axis for "scalar", "invariant" and "pseudoscalar", (3,) for "vector" and "pseudovector",
            (3, 3) for "tensor", (6,) for "voigt", (dim,) for irreps and sums. They come last unless the
            representation says another axis.
        rotations: ``(*rbatch, 3, 3)`` with determinant +1 or -1, in the dtype in which x is rotated; rbatch broadcasts
            against batch. One rotation for many rows and many rotations for one x both run without copies of x.
        rep: one of these words, an Irreps string such as "8x0e+4x1o", a sum of these, or a `Representation`.
        inverse: apply rho(g)^-1.
        basis, layout: of an Irreps string: "standard" or "e3nn"; "mul_ir" (copies outermost) or "ir_mul". For "e3nn"
            the rotations are copied with their axes relabelled, x never.
        out: the buffer to fill, in eager mode and where no gradient is wanted: of the shape, dtype and device of the
            result, contiguous, apart from x and rotations. Irreps, vectors and tensors in float32 and float64 whose
            leading axes are in the order of the rotations' are written there at once, others copied.

    Returns:
        ``(*broadcast of batch and rbatch, *components)`` in the dtype of x.

    Error: of the size of x times that of `wigner_D` (`test_rotate_agrees_with_dense_matrices`); in float32, where D is
    rounded to float32 and irreps of many copies are summed in it, 6e-8 (2l+2) of the size of x more
    (`test_many_copies_in_float32_stay_within_their_bound`). On the CPU Cartesian tensors are summed in float64 in a
    fixed order and rounded once (`test_a_vector_is_three_sums_from_the_left_rounded_once`). Cost: D of each rotation is
    made once, in scratch, and never stored; then 2 (2l+1) flops per component, 5 times the rank of a tensor.
    Differentiable by x and by rotations, to any order in eager mode, in reverse and forward mode and by torch.func
    (grad, vjp, jvp, jacrev, jacfwd, hessian, vmap), once under ``torch.compile``; autocast changes nothing.
    Deterministic for any number of threads, thread safe.

    Raises:
        ShapeError: components that do not fit, batches that do not broadcast, rotations not ``(*rbatch, 3, 3)``.
        ArgumentError: a matrix not finite or not orthogonal (row named), unknown representation, basis or layout, `out`
            that is not contiguous, shares memory with an argument or stands beside a gradient.
        DTypeError, DeviceError: unsupported or mixed dtypes, mixed devices.

    >>> rotate(torch.tensor([1.0, 2.0, 3.0]), -torch.eye(3), "vector")
    tensor([-1., -2., -3.])
    """
    inverse = checked_flag("inverse", inverse)
    wanted = derivative_wanted(x, rotations)
    how = (_arranged if wanted is None else _arranged_once)(x, rotations, rep, basis, layout)
    if out is not None:
        check_out(out, how.result, x.dtype, x=x, rotations=rotations)
    working = _working(x.dtype)
    if how.alone is not None and working == x.dtype and wanted is False:
        own = backend(x.device)
        if own.fills:
            return _rotate_at_once(own, how, how.alone, x, rotations, inverse, out)
    x, rotations = savable(x, rotations), savable(rotations, x)
    matrices = on_group(rotations.reshape(how.n, 3, 3))
    checked = matrices if all([step.irreps for step in how.plan]) else checked_rotations(matrices)
    turned = _act(how.plan, _sorted(x, how, working), matrices, checked, inverse)
    turned = _sorted_back(turned if working == x.dtype else turned.to(x.dtype), how)
    return turned if out is None else out.copy_(turned)


def _working(dtype: torch.dtype) -> torch.dtype:
    """In what features of that dtype are rotated."""
    return dtype if dtype == torch.float64 else torch.float32


def _arranged(
    x: torch.Tensor, rotations: torch.Tensor, rep: str | Irreps | Representation, basis: str, layout: str
) -> Arrangement:
    """`arranged` of what is refused unless it fits, before any value is looked at."""
    check_tensor("x", x, FEATURE_DTYPES)
    check_rotation_matrices(rotations)
    check_same_device("rotations", rotations, "x", x)
    check_working("rotations", rotations, _working(x.dtype), x.dtype)
    return arranged(x.shape, rotations.shape[:-2], rep, basis, layout)


def _arranged_once(
    x: torch.Tensor, rotations: torch.Tensor, rep: str | Irreps | Representation, basis: str, layout: str
) -> Arrangement:
    """`_arranged`, kept for the next call with arguments of the same kind; of sizes that are numbers."""
    try:
        key = (*_kind(x), *_kind(rotations), rep, basis, layout)
        how = _known.get(key)
    except (AttributeError, TypeError):  # no tensor, or nothing that can be a key
        return _arranged(x, rotations, rep, basis, layout)
    if how is None:
        how = _arranged(x, rotations, rep, basis, layout)
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[key] = how
    return how


def _kind(x: torch.Tensor) -> tuple[Any, ...]:
    """All that a tensor is refused for before its values are looked at."""
    return type(x), x.shape, x.dtype, x.device, x.layout


def _rotate_at_once(
    own: Backend,
    how: Arrangement,
    step: Step,
    x: torch.Tensor,
    rotations: torch.Tensor,
    inverse: bool,
    out: torch.Tensor | None,
) -> torch.Tensor:
    """By one kernel, which checks the rotations too, where no derivative is wanted; into `out` where there is one."""
    flat = x if how.spread is None else _sorted(x, how, x.dtype)
    filled = own.empty(x, *how.result) if out is None else out
    limit = orthogonality(x.dtype)
    found = own.rotate_checked(flat, rotations, how.rows_of(step), step, inverse, limit, filled)
    found.refuse(rotations, limit, proper=False)
    if out is not None:
        written(out)
    return filled


@without_autocast
def rotate_copies(
    kind: Representation, x: torch.Tensor, rotations: torch.Tensor, *, inverse: bool = False
) -> torch.Tensor:
    """rho(g) x, or rho(g)^-1 x, for elements ``(n, 3, 3)`` of a grid, known to be orthogonal.

    `x` is ``(n or 1, rows, components)``, as `Representation.flatten` has the components; so is the result. Only irreps
    check the elements.
    """
    return _act(plan_of(kind), x, rotations, rotations, inverse)


def _sorted(x: torch.Tensor, how: Arrangement, working: torch.dtype) -> torch.Tensor:
    """``(own, rows, components)`` in the dtype that is worked in."""
    if how.axis != -1:
        x = _moved(x, how.first, how.axes, to_end=True)
    if working != x.dtype:
        x = x.to(working)
    if how.spread is not None or how.moved:
        x = x.reshape((*how.own_lead, how.components)).expand(*(how.spread or how.own_lead), how.components)
        x = x.permute(*how.order, len(how.lead))
    return x.reshape(how.own, how.rows, how.components)


def _sorted_back(x: torch.Tensor, how: Arrangement) -> torch.Tensor:
    """``(n, rows, components)`` as the result."""
    if how.moved:
        x = x.reshape((*how.sorted_lead, how.components)).permute(*how.back, len(how.lead))
    return _moved(x.reshape((*how.lead, *how.shape)), how.result_first, how.axes, to_end=False)


def _moved(x: torch.Tensor, first: int, axes: int, *, to_end: bool) -> torch.Tensor:
    """The component axes, `first` and those that follow it, as the last ones, or the last ones back there."""
    if first + axes == x.ndim:
        return x
    there, last = tuple(range(first, first + axes)), tuple(range(-axes, 0))
    return x.movedim(there, last) if to_end else x.movedim(last, there).contiguous()


def _act(
    plan: Sequence[Step], x: torch.Tensor, matrices: torch.Tensor, checked: torch.Tensor, inverse: bool
) -> torch.Tensor:
    """x ``(n or 1, rows, components)``, by matrices ``(n, 3, 3)``, which irreps check themselves."""
    n, components = matrices.shape[0], x.shape[-1]
    if len(plan) == 1 and plan[0].stop - plan[0].start == components:
        return _act_on(plan[0], x, matrices, checked, inverse)
    done, place = [], 0
    for step in plan:
        if step.start > place:
            done.append(x[..., place : step.start].expand(n, -1, -1))
        done.append(_act_on(step, x[..., step.start : step.stop], matrices, checked, inverse))
        place = step.stop
    if components > place or not done:
        done.append(x[..., place:].expand(n, -1, -1))
    return torch.cat(done, dim=-1)


def _act_on(step: Step, x: torch.Tensor, matrices: torch.Tensor, checked: torch.Tensor, inverse: bool) -> torch.Tensor:
    n, rows, size = matrices.shape[0], x.shape[1], x.shape[2]
    own = x if step.components == size else x.reshape(x.shape[0], rows * (size // step.components), step.components)
    if step.irreps:
        turned = _rotate(own, relabel_matrices(matrices, step.basis), step.irreps, step.layout, inverse)
    elif step.rank < 0:
        turned = _azimuth(own, checked.mT if inverse else checked)
    else:
        turned = _cartesian(step, own, checked, inverse)
    return turned if own is x else turned.reshape(n, rows, size)


def _cartesian(step: Step, x: torch.Tensor, rotations: torch.Tensor, inverse: bool) -> torch.Tensor:
    """x ``(n or 1, rows, components)``, rotations ``(n, 3, 3)``."""
    if step.rank == 0:
        return x.expand(rotations.shape[0], -1, -1).clone()
    turned = rotate_tensors(gathered(x, step.spread), rotations, step.rank, step.pseudo, inverse)
    return gathered(turned, step.chosen)


def _azimuth(phi: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Angles ``(n or 1, rows, 1)`` of what turns as (cos, sin), by matrices that keep the z axis."""
    points = torch.cat([torch.cos(phi), torch.sin(phi)], dim=-1)
    x, y = product(points, matrix[:, :2, :2].mT).unbind(-1)
    return torch.atan2(y, x).unsqueeze(-1)


@Operator
def checked_rotations(rotations: torch.Tensor) -> torch.Tensor:
    """A copy of ``(n, 3, 3)``, refused unless orthogonal: in the path of the data, so no compiler drops the check."""
    found = orthogonal_or_nan(rotations)
    return found.clone() if found is rotations else found


@Operator
def _rotate(x: torch.Tensor, rotations: torch.Tensor, irreps: str, layout: str, inverse: bool) -> torch.Tensor:
    check_orthogonal(rotations, proper=False)
    return backend(x.device).rotate(x, rotations, parsed(irreps, "standard", layout), inverse)


@checked_rotations.register_fake
def _(rotations: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(rotations)


@_rotate.register_fake
def _(x: torch.Tensor, rotations: torch.Tensor, irreps: str, layout: str, inverse: bool) -> torch.Tensor:
    return x.new_empty(rotations.shape[0], x.shape[1], x.shape[2])


def _rotate_gradient(
    u: torch.Tensor, v: torch.Tensor, rotations: torch.Tensor, irreps: str, layout: str
) -> torch.Tensor:
    moved = each_generator(v, *table(parsed(irreps, "standard", layout), v))
    torque = (u[:, :, None, :] * moved).sum((1, 3))
    return tangent_gradient(rotations, torque)


def _rotate_turning(
    x: torch.Tensor, rotations: torch.Tensor, change: torch.Tensor, irreps: str, layout: str
) -> torch.Tensor:
    omega = angular_velocity(rotations, change)[:, None, :]
    return generator_along(x, omega, *table(parsed(irreps, "standard", layout), x))


def _save_rotations(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _checked_backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
    # the part along the group, as for irreps: also under vmap, where `on_group` cannot see that a gradient is wanted
    return _along_group(ctx.saved_tensors[0], grad)


def _checked_tangent(arguments: tuple[Any, ...], tangents: tuple[Any, ...]) -> torch.Tensor:
    return _along_group(arguments[0], tangents[0])


def _along_group(rotations: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    return 2 * tangent_gradient(rotations, angular_velocity(rotations, change))


checked_rotations.register_derivatives(_checked_backward, _checked_tangent, setup_context=_save_rotations)
rotations_derived(_rotate, _rotate_gradient, _rotate_turning)


@checked_rotations.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], rotations: torch.Tensor) -> tuple[torch.Tensor, int]:
    moved = rotations.movedim(in_dims[0], 0)
    return checked_rotations(moved.flatten(0, 1)).unflatten(0, moved.shape[:2]), 0


_rotate.register_vmap(rotations_by_batch(_rotate))
