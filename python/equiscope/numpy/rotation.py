"""Rotation of irreps and Cartesian tensors, of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import check_working
from ..groups._arguments import checked_flag
from ..groups.action import Arrangement, Step, arranged_once, parsed
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
    matrices = rotations.reshape(how.n, 3, 3)
    flat = _sorted(x.astype(working, copy=False), how)
    if how.alone is not None and working == x.dtype:
        turned = np.empty(how.result, x.dtype) if out is None else out
        arrays.rotate_checked(flat, matrices, how.rows_of(how.alone), how.alone, inverse, turned)
        return turned
    arrays.check_rotations(matrices, proper=False)
    turned = _sorted_back(_act(how.plan, flat, matrices, inverse).astype(x.dtype, copy=False), how)
    if out is None:
        return turned
    out[...] = turned
    return out


def _sorted(x: np.ndarray, how: Arrangement) -> np.ndarray:
    """``(own, rows, components)``."""
    if how.axis != -1:
        x = np.moveaxis(x, tuple(range(how.first, how.first + how.axes)), tuple(range(-how.axes, 0)))
    if how.spread is not None or how.moved:
        x = np.broadcast_to(x.reshape((*how.own_lead, how.components)), (*(how.spread or how.own_lead), how.components))
        x = x.transpose(*how.order, len(how.lead))
    return x.reshape(how.own, how.rows, how.components)


def _sorted_back(x: np.ndarray, how: Arrangement) -> np.ndarray:
    """``(n, rows, components)`` as the result."""
    if how.moved:
        x = x.reshape(*how.sorted_lead, how.components).transpose(*how.back, len(how.lead))
    x = x.reshape((*how.lead, *how.shape))
    if how.axis != -1:
        x = np.moveaxis(x, tuple(range(-how.axes, 0)), tuple(range(how.result_first, how.result_first + how.axes)))
    return np.asarray(x, order="C")


def _act(plan: Sequence[Step], x: np.ndarray, matrices: np.ndarray, inverse: bool) -> np.ndarray:
    """x ``(n or 1, rows, components)``, by matrices ``(n, 3, 3)``; what no step is about stays as it is."""
    n, rows = len(matrices), x.shape[1]
    out = np.empty((n, *x.shape[1:]), x.dtype)
    out[...] = x
    for step in plan:
        where = slice(step.start, step.stop)
        turned = np.empty((n, rows, step.stop - step.start), x.dtype)
        _act_on(step, x[..., where], matrices, inverse, turned)
        out[..., where] = turned
    return out


def _act_on(step: Step, x: np.ndarray, matrices: np.ndarray, inverse: bool, out: np.ndarray) -> None:
    """x ``(n or 1, rows, components)`` of one copy or several, into `out`, which is dense."""
    own, rows, size = x.shape
    if size != step.components:
        rows *= size // step.components
        x = x.reshape(own, rows, step.components)
    if step.irreps:
        kind = parsed(step.irreps, "standard", step.layout)
        arrays.rotate(x, relabelled_matrices(matrices, step.basis), kind, inverse, out)
    elif step.rank > 0 and not step.spread:
        arrays.rotate_tensors(x, matrices, step.rank, step.pseudo, inverse, out)
    elif step.rank > 0:
        whole = np.empty((len(matrices), rows, 3**step.rank), x.dtype)
        arrays.rotate_tensors(_gathered(x, step.spread), matrices, step.rank, step.pseudo, inverse, whole)
        out[...] = _gathered(whole, step.chosen).reshape(out.shape)
    elif step.rank < 0:
        out[...] = _azimuth(x, matrices.swapaxes(-1, -2) if inverse else matrices).reshape(out.shape)
    else:
        out[...] = x.reshape(own, *out.shape[1:])


def _gathered(x: np.ndarray, shares: tuple[Share, ...]) -> np.ndarray:
    """With, of every share (i, f), ``f x[..., i]`` as an entry of the last axis."""
    index, factors = zip(*shares, strict=True)
    found: np.ndarray = x[..., list(index)] * np.array(factors, x.dtype)
    return found


def _azimuth(phi: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Angles ``(n or 1, rows, 1)`` of what turns as (cos, sin), by matrices that keep the z axis."""
    points = np.concatenate([np.cos(phi), np.sin(phi)], axis=-1) @ matrix[:, :2, :2].swapaxes(-1, -2)
    turned: np.ndarray = np.arctan2(points[..., 1:], points[..., :1])
    return turned
