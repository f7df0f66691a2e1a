"""Refusals of arrays, whichever library they are of, before any memory is read: types, dtypes and shapes.

Each front end says by a `Kind` what its arrays are called; everything else is theirs in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple, NoReturn

from .errors import ArgumentError, DTypeError, ShapeError, fail
from .tolerance import MAXIMUM_LMAX, dtype_name


class Kind(NamedTuple):
    """The arrays of one library."""

    type: Any
    name: str
    """With its article, "a torch.Tensor"."""
    word: str
    """As users call it, "a tensor"."""
    from_scipy: str
    """How matrices are taken out of a scipy Rotation ``r``."""
    kernel_dtypes: tuple[Any, ...]
    """What D and Y are computed in: float32 and float64."""
    feature_dtypes: tuple[Any, ...]
    """What may be rotated and projected."""


def check_lmax(lmax: Any, argument: str = "lmax") -> int:
    """A degree as int."""
    if isinstance(lmax, bool) or not isinstance(lmax, Integral) or not 0 <= int(lmax) <= MAXIMUM_LMAX:
        fail(ArgumentError, argument, f"an integer from 0 to {MAXIMUM_LMAX}", repr(lmax))
    return int(lmax)


def check_array(argument: str, x: Any, dtypes: Sequence[Any], kind: Kind) -> None:
    """An array of one of `dtypes`."""
    if not isinstance(x, kind.type):
        fail(DTypeError, argument, f"{kind.name} of {_names(dtypes)}", type(x).__name__)
    if x.dtype not in dtypes:
        fail(DTypeError, argument, f"{kind.word} of {_names(dtypes)}", dtype_name(x.dtype))


def _names(dtypes: Sequence[Any]) -> str:
    return " or ".join(map(dtype_name, dtypes))


def check_matrices(rotations: Any, kind: Kind) -> None:
    """``(*batch, 3, 3)``."""
    if not isinstance(rotations, kind.type):
        expected = f"{kind.name} of matrices (*batch, 3, 3) (of a scipy Rotation: {kind.from_scipy})"
        fail(DTypeError, "rotations", expected, type(rotations).__name__)
    check_array("rotations", rotations, kind.kernel_dtypes, kind)
    if rotations.ndim < 2 or rotations.shape[-1] != 3 or rotations.shape[-2] != 3:
        fail(ShapeError, "rotations", "(*batch, 3, 3)", tuple(rotations.shape))


def check_points(xyz: Any, kind: Kind) -> None:
    """``(*batch, 3)``."""
    check_array("xyz", xyz, kind.kernel_dtypes, kind)
    if xyz.ndim < 1 or xyz.shape[-1] != 3:
        fail(ShapeError, "xyz", "(*batch, 3)", tuple(xyz.shape))


def check_working(argument: str, x: Any, working: Any, features: Any) -> None:
    """x of the dtype that features are worked on in."""
    if x.dtype != working:
        fail(DTypeError, argument, f"{working} for x of {features}, as random_rotations(dtype=) makes them", x.dtype)


def check_result(out: Any, shape: tuple[int, ...], dtype: Any, kind: Kind) -> None:
    """What is to hold a result of that shape and dtype."""
    if not isinstance(out, kind.type):
        fail(DTypeError, "out", f"{kind.name} or None", type(out).__name__)
    if out.dtype != dtype:
        fail(DTypeError, "out", f"the dtype of the result ({dtype})", out.dtype)
    if tuple(out.shape) != shape:
        fail(ShapeError, "out", str(shape), tuple(out.shape))


def refuse_point(row: int) -> None:
    """A point that is not finite; there is none where row is -1."""
    if row >= 0:
        fail(ArgumentError, "xyz", "finite coordinates", f"row {row} with non-finite values")


def refuse_values(element: int | None) -> NoReturn:
    """Values on a grid that are not finite at an element, or whose squares are not (None)."""
    got = "an overflow of their squares" if element is None else f"NaN or infinity at grid element {element}"
    fail(ArgumentError, "values", "finite values", got)


def check_elements(shape: Sequence[int], elements: int) -> None:
    """Values on a grid: one per element."""
    if len(shape) < 1 or shape[0] != elements:
        fail(ShapeError, "values", f"({elements}, *rest) for a grid of {elements} elements", tuple(shape))


def check_resolved(lmax: int, degree: int) -> None:
    """Whether a grid of that degree tells the irreps up to lmax apart: it averages products of two of them exactly."""
    if 2 * lmax > degree:
        fail(ArgumentError, "lmax", f"at most half the degree of the grid ({degree})", lmax)


def check_pair(quadrature: Any, kind: Kind, lmax: int, least: int) -> tuple[Any, Any]:
    """(rotations, weights) of any grid, ``(G, 3, 3)`` and ``(G,)``, of at least as many elements as lmax needs."""
    if not isinstance(quadrature, tuple | list) or len(quadrature) != 2:
        expected = "a Quadrature or a pair (rotations, weights)"
        fail(DTypeError, "quadrature", expected, type(quadrature).__name__)
    rotations, weights = quadrature
    check_matrices(rotations, kind)
    check_array("weights", weights, kind.kernel_dtypes, kind)
    if rotations.ndim != 3 or weights.shape != rotations.shape[:1]:
        shapes = f"{tuple(rotations.shape)} and {tuple(weights.shape)}"
        fail(ShapeError, "quadrature", "rotations (G, 3, 3) and weights (G,)", shapes)
    if rotations.shape[0] < least:
        fail(ArgumentError, "quadrature", f"{least} elements or more, which lmax = {lmax} needs", rotations.shape[0])
    return rotations, weights


def check_coset(elements: int, sign: float) -> None:
    """How many elements of a grid have that determinant: some."""
    if elements == 0:
        fail(ArgumentError, "quadrature", "elements of both cosets", f"none with determinant {sign:+.0f}")


def check_weights(total: float, finite: bool) -> None:
    """The sum of the weights of a coset, and whether all of them are finite."""
    if not finite or not total > 0:
        fail(ArgumentError, "quadrature", "finite weights with a positive sum in each coset", f"sum {total}")


def all_finite(values: Any) -> bool:
    """Whether no value is NaN or infinity in a tensor."""
    # one sum shows it, but where it overflows itself
    return math.isfinite(values.sum().item()) or bool(values.isfinite().all())
