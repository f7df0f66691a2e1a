"""Projection of arrays on a grid of O(3) onto its irreps."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import (
    check_coset,
    check_elements,
    check_lmax,
    check_pair,
    check_resolved,
    check_weights,
    refuse_values,
)
from ..errors import DTypeError, fail
from ..groups.irreps import matrix_count
from ..kernels import arrays
from ._check import ARRAYS, FEATURE_DTYPES, checked_array, plain
from .grid import Quadrature


def character_power(
    values: np.ndarray, quadrature: Quadrature | tuple[np.ndarray, np.ndarray], lmax: int
) -> np.ndarray:
    """Power ``(lmax + 1, 2, *rest)`` of a function on O(3) in every irrep (l, sigma), as `equiscope.character_power`.

    Second axis sigma = +1, -1; of length 1 on a grid of SO(3) alone. On a `Quadrature` whose tables fit into a quarter
    of the last cache (all up to degree 16) the same bits as those of torch; elsewhere the squares are summed
    in another order.

    Args:
        values: ``(G, *rest)``, one per element of the grid; float32, float64, or float16, which gives float32.
        quadrature: a `Quadrature` of `equiscope.numpy.quadrature`, or ``(rotations, weights)`` of any grid, ``(G, 3,
            3)`` with elements of both cosets in any order, and ``(G,)``.
        lmax: highest l, 0..131 and at most half the degree of the quadrature, below which no content leaks from one l
            into another. The degree of a pair is for the caller to know.

    Raises:
        ShapeError: values that do not fit the grid.
        ArgumentError: non-finite values (element named), matrices not orthogonal, too few elements for lmax, a coset
            without any, lmax out of range or above half the degree.
        DTypeError: unsupported dtypes, a quadrature of another library.

    >>> grid = quadrature(4)
    >>> character_power(grid.rotations[:, 2, 2], grid, 1).round(4)   # z of a turned vector: all in (1, +1)
    array([[0.    , 0.    ],
           [0.3333, 0.    ]])
    """
    values = checked_array("values", values, FEATURE_DTYPES)
    lmax = check_lmax(lmax)
    working = values.astype(np.float64 if values.dtype == np.float64 else np.float32, copy=False)
    if isinstance(quadrature, Quadrature):
        check_resolved(lmax, quadrature.degree)
        check_elements(values.shape, len(quadrature))
        samples = working.reshape(quadrature.cosets, len(quadrature.rings), quadrature.gammas, -1)
        power = _of_samples(samples, quadrature, lmax)
    else:
        if type(quadrature).__name__ == "Quadrature":
            fail(DTypeError, "quadrature", "one of equiscope.numpy.quadrature", f"one of {type(quadrature).__module__}")
        # matrix elements that are orthogonal on a grid are independent there: it has as many elements at least
        pair = check_pair(quadrature, ARRAYS, lmax, 2 * matrix_count(lmax))
        rotations, weights = (plain(name, x) for name, x in zip(("rotations", "weights"), pair, strict=True))
        check_elements(values.shape, len(rotations))
        power = _of_pair(working.reshape(len(rotations), -1), rotations, weights, lmax)
    if not np.isfinite(power).all():
        bad = ~np.isfinite(working.reshape(len(working), -1)).all(-1)
        refuse_values(int(bad.argmax()) if bad.any() else None)
    return power.reshape(*power.shape[:2], *values.shape[1:])


def _of_samples(values: np.ndarray, grid: Quadrature, lmax: int) -> np.ndarray:
    """``(lmax + 1, cosets, channels)`` of ``(cosets, points, gammas, channels)``."""
    cosets, channels = values.shape[0], values.shape[3]
    out = np.empty((lmax + 1, cosets, channels), values.dtype)
    if arrays.character_power(values, grid.rings, grid.ring_weights, lmax, out):
        return out
    center = values[0, 0, 0]
    coefficients = np.zeros((cosets, matrix_count(lmax), channels), values.dtype)
    for own, sums in zip(values, coefficients, strict=True):
        arrays.project(own, grid.rings, grid.ring_weights, lmax, center, sums)
    return _power(coefficients, lmax, center)


def _of_pair(values: np.ndarray, rotations: np.ndarray, weights: np.ndarray, lmax: int) -> np.ndarray:
    """``(lmax + 1, 2, channels)`` of ``(G, channels)``."""
    arrays.check_rotations(rotations, proper=False)
    signs, own = np.sign(np.linalg.det(rotations)), weights.astype(np.float64)
    center = values[0] if len(values) else np.zeros(values.shape[1:], values.dtype)
    coefficients = np.zeros((2, matrix_count(lmax), values.shape[1]), values.dtype)
    for sign, sums in zip((1.0, -1.0), coefficients, strict=True):
        chosen = signs == sign
        check_coset(int(chosen.sum()), sign)
        total = float(own[chosen].sum())
        check_weights(total, bool(np.isfinite(own[chosen]).all()))
        proper = sign * rotations[chosen].astype(np.float64)
        arrays.project(values[chosen, None], proper, own[chosen] / total, lmax, center, sums)
    return _power(coefficients, lmax, center)


def _power(coefficients: np.ndarray, lmax: int, center: np.ndarray) -> np.ndarray:
    """B of coefficients ``(cosets, E(lmax), channels)`` of centred values: a constant is all in l = 0."""
    coefficients[:, 0] += center
    cosets, start, power = len(coefficients), 0, []
    for l in range(lmax + 1):
        own = coefficients[:, start : start + (2 * l + 1) ** 2]
        start += (2 * l + 1) ** 2
        if cosets == 1:
            power.append((2 * l + 1) * np.square(own).sum(1))
            continue
        proper, improper = own[0], -own[1] if l % 2 else own[1]
        both = [np.square(proper + sigma * improper).sum(0) for sigma in (1, -1)]
        power.append((2 * l + 1) / 4 * np.stack(both))
    found: Any = np.stack(power)
    return np.asarray(found, coefficients.dtype)
