"""Rotation of irreps and Cartesian tensors, of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import check_working
from ..groups._arguments import checked_flag
from ..groups.action import Step, arranged_once, parsed
from ..groups.cartesian import Share
from ..groups.irreps import Irreps
from ..groups.representation import Representation
from ..kernels import arrays
from ._check import FEATURE_DTYPES, check_out, checked_array, checked_matrices, relabelled_matrices


def rotate(
    x: np.ndarray,
    rotations: np.ndarray,
    rep: str | Irreps | Representation,
    *,
    inverse: bool = False,
    basis: str = "standard",
    layout: str = "mul_ir",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """rho(g) x, or rho(g)^-1 x, for elements g of O(3), as `equiscope.rotate`.

    An Irreps string without ``basis=`` is in the standard basis, where "1x1o" is (y, z, x); features of e3nn, where it
    is (x, y, z), need ``basis="e3nn"``. No value can tell the two apart, so a wrong one passes without a word.

    The bits are those of torch, for any number of threads; an azimuth alone agrees to round-off.

    Args:
        x: ``(*batch, *components)``, float32 or float64, or float16 which is rotated in float32.
        rotations: ``(*rbatch, 3, 3)`` with determinant +1 or -1, in the dtype in which x is rotated; rbatch broadcasts
            against batch.
        rep: "vector", "tensor" and so on, an Irreps string such as "8x0e+4x1o", a sum of these, or a `Representation`.
        inverse: apply rho(g)^-1.
        basis, layout: of an Irreps string: "standard" or "e3nn"; "mul_ir" (copies outermost) or "ir_mul".
        out: the buffer to fill: of the shape and dtype of the result, contiguous, apart from x and rotations.

    Returns:
        ``(*broadcast of batch and rbatch, *components)`` in the dtype of x.

    Raises:
        ShapeError: components that do not fit, batches that do not broadcast, rotations not ``(*rbatch, 3, 3)``.
        ArgumentError: a matrix not finite or not orthogonal (row named), unknown representation, basis or layout, `out`
            that is not contiguous or shares memory with an argument.
        DTypeError: unsupported or mixed dtypes.

    >>> rotate(np.array([1.0, 2.0, 3.0]), -np.eye(3), "vector")
    array([-1., -2., -3.])
    """
    x = checked_array("x", x, FEATURE_DTYPES)
    rotations = checked_matrices(rotations)
    inverse = checked_flag("inverse", inverse)
    working = np.dtype("float64" if x.dtype == np.float64 else "float32")
    check_working("rotations", rotations, working, x.dtype)
    how = arranged_once(x.shape, rotations.shape[:-2], rep, basis, layout)
    if out is not None:
        check_out(out, how.result, x.dtype, x=x, rotations=rotations)
    components = range(how.first, how.first + how.axes)
    last = range(-how.axes, 0)
    flat = np.moveaxis(x, tuple(components), tuple(last)).reshape((*how.own_lead, how.components)).astype(working)
    if how.spread is not None:
        flat = np.broadcast_to(flat, (*how.spread, how.components))
    flat = flat.transpose(*how.order, len(how.lead)).reshape(how.own, how.rows, how.components)
    matrices = rotations.reshape(how.n, 3, 3)
    arrays.check_rotations(matrices, proper=False)
    turned = _act(how.plan, flat, matrices, inverse).astype(x.dtype, copy=False)
    turned = turned.reshape(*how.sorted_lead, how.components).transpose(*how.back, len(how.lead))
    turned = turned.reshape((*how.lead, *how.shape))
    there = range(how.result_first, how.result_first + how.axes)
    turned = np.ascontiguousarray(np.moveaxis(turned, tuple(last), tuple(there)))
    if out is None:
        # ascontiguousarray makes an axis where there was none
        return turned.reshape(how.result)
    out[...] = turned.reshape(how.result)
    return out


def _act(plan: Sequence[Step], x: np.ndarray, matrices: np.ndarray, inverse: bool) -> np.ndarray:
    """x ``(n or 1, rows, components)``, by matrices ``(n, 3, 3)``; what no step is about stays as it is."""
    n, rows, components = len(matrices), x.shape[1], x.shape[2]
    if len(plan) == 1 and plan[0].stop - plan[0].start == components:
        return _act_on(plan[0], x, matrices, inverse).reshape(n, rows, components)
    out = np.empty((n, rows, components), x.dtype)
    out[...] = x
    for step in plan:
        where = slice(step.start, step.stop)
        out[..., where] = _act_on(step, x[..., where], matrices, inverse).reshape(n, rows, step.stop - step.start)
    return out


def _act_on(step: Step, x: np.ndarray, matrices: np.ndarray, inverse: bool) -> np.ndarray:
    """x ``(n or 1, rows, components)`` of one copy or several, to ``(n, rows times copies, components of one)``."""
    own, rows, size = x.shape
    if size != step.components:
        x = x.reshape(own, rows * (size // step.components), step.components)
    if step.rank < 0:
        return _azimuth(x, matrices.swapaxes(-1, -2) if inverse else matrices)
    if step.irreps:
        out = np.empty((len(matrices), *x.shape[1:]), x.dtype)
        kind = parsed(step.irreps, "standard", step.layout)
        arrays.rotate(x, relabelled_matrices(matrices, step.basis), kind, inverse, out)
        return out
    if step.rank == 0:
        return np.broadcast_to(x, (len(matrices), *x.shape[1:])).copy()
    whole = _gathered(x, step.spread)
    out = np.empty((len(matrices), *whole.shape[1:]), x.dtype)
    arrays.rotate_tensors(whole, matrices, step.rank, step.pseudo, inverse, out)
    return _gathered(out, step.chosen)


def _gathered(x: np.ndarray, shares: tuple[Share, ...]) -> np.ndarray:
    """With, of every share (i, f), ``f x[..., i]`` as an entry of the last axis; none: x itself."""
    if not shares:
        return x
    index, factors = zip(*shares, strict=True)
    found: np.ndarray = x[..., list(index)] * np.array(factors, x.dtype)
    return found


def _azimuth(phi: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Angles ``(n or 1, rows, 1)`` of what turns as (cos, sin), by matrices that keep the z axis."""
    points = np.concatenate([np.cos(phi), np.sin(phi)], axis=-1) @ matrix[:, :2, :2].swapaxes(-1, -2)
    turned: np.ndarray = np.arctan2(points[..., 1:], points[..., :1])
    return turned
