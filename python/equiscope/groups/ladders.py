"""The generators X_k of one irrep of SO(3), from the ladder operators."""

from __future__ import annotations

import functools
from math import sqrt

import numpy as np

AXES = (2, 0, 0, 1, 1)
"""The axis k of each of the five terms."""


@functools.cache
def degree_table(l: int) -> tuple[np.ndarray, np.ndarray]:
    """index and coefficient, ``(5, 2l+1)``, of the standard basis m = -l..l.

    From the ladder operators, with the sign of m carried by sin and cos of the azimuth; a row without a second entry
    has coefficient 0. Arrays, not tensors: a tensor made while a compiler traces must not outlive the trace.
    """
    index = [[m + l for m in range(-l, l + 1)] for _ in AXES]
    coefficient = [[0.0] * (2 * l + 1) for _ in AXES]
    for m in range(-l, l + 1):
        row, k = m + l, abs(m)
        index[0][row], coefficient[0][row] = -m + l, float(-m)
        # up and down are half the ladder coefficients k -> k +- 1; sqrt 2 joins the m = 0 row to m = +-1
        up, down = sqrt((l - k) * (l + k + 1)) / 2, sqrt((l + k) * (l - k + 1)) / 2
        sign = 1 if m >= 0 else -1
        if k == 0:
            if l > 0:
                index[1][row], coefficient[1][row] = -1 + l, up * sqrt(2)
                index[3][row], coefficient[3][row] = 1 + l, -up * sqrt(2)
            continue
        if k < l:
            index[1][row], coefficient[1][row] = -sign * (k + 1) + l, sign * up
            index[3][row], coefficient[3][row] = sign * (k + 1) + l, -up
        # the neighbour k - 1 = 0 is a cosine only: half of the pair is missing, the other half carries sqrt 2
        lower = sqrt(2) if k == 1 else 1.0
        if k > 1 or sign < 0:
            index[2][row], coefficient[2][row] = -sign * (k - 1) + l, sign * down * lower
        if k > 1 or sign > 0:
            index[4][row], coefficient[4][row] = sign * (k - 1) + l, down * lower
    return np.array(index), np.array(coefficient, dtype=np.float64)


def generators(l: int) -> np.ndarray:
    """``(3, 2l+1, 2l+1)``: X_x, X_y, X_z of the standard basis as matrices."""
    index, coefficient = degree_table(l)
    dense = np.zeros((3, 2 * l + 1, 2 * l + 1))
    for axis, columns, values in zip(AXES, index, coefficient, strict=True):
        np.add.at(dense[axis], (np.arange(2 * l + 1), columns), values)
    return dense
