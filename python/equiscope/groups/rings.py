"""The rules that grids on O(3) and SO(3) are made of: Lebedev on the sphere times equispaced turns about the last axis.

Arrays of NumPy, whatever library the grid is for: all of them so have the same bits.
"""

from __future__ import annotations

import functools
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError, fail

MAXIMUM_DEGREE = 131
LEBEDEV_DEGREES = (*range(3, 33, 2), *range(35, MAXIMUM_DEGREE + 1, 6))
NEGATIVE_WEIGHTS = (13, 25, 27)
"""Lebedev degrees with some negative weights: a variance computed with them can come out negative."""


class Rings(NamedTuple):
    """Rotations with gamma = 0, each of which stands for itself times all turns about z."""

    lebedev_degree: int
    rotations: np.ndarray
    """``(P, 3, 3)`` float64."""
    weights: np.ndarray
    """``(P,)`` float64, sum 1."""


def checked_degree(degree: Any) -> int:
    """`degree` as int, refused out of range."""
    whole = int(degree) if isinstance(degree, Integral) and not isinstance(degree, bool) else -1
    if not 0 <= whole <= MAXIMUM_DEGREE:
        fail(ArgumentError, "degree", f"an integer from 0 to {MAXIMUM_DEGREE}", repr(degree))
    return whole


@functools.lru_cache(maxsize=16)
def rings(degree: int, allow_negative: bool = False) -> Rings:
    """The Lebedev rule of the smallest degree that is no lower, as ``Rz(alpha) Ry(beta)`` of its points."""
    from scipy.integrate import lebedev_rule  # a third of a second, which an import need not take

    allowed = (d for d in LEBEDEV_DEGREES if d >= degree and (allow_negative or d not in NEGATIVE_WEIGHTS))
    lebedev_degree = next(allowed)
    (x, y, z), weights = lebedev_rule(lebedev_degree)
    # sin(beta) from x and y, not from z: at the poles 1 - z^2 has no digits left
    alpha, beta = np.arctan2(y, x), np.arctan2(np.hypot(x, y), z)
    (ca, sa), (cb, sb), zero = (np.cos(alpha), np.sin(alpha)), (np.cos(beta), np.sin(beta)), np.zeros_like(x)
    rows = [[ca * cb, -sa, ca * sb], [sa * cb, ca, sa * sb], [-sb, zero, cb]]
    return Rings(lebedev_degree, np.array(rows).transpose(2, 0, 1).copy(), weights / weights.sum())


def turns(gammas: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of the equispaced angles, ``(gammas,)`` float64."""
    angles = 2.0 * np.pi * np.arange(gammas) / gammas
    return np.cos(angles), np.sin(angles)
