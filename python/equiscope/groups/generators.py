"""Generators of the real representations: dD^l(exp(t L_k))/dt at t = 0, as the few entries that are not zero.

In every row m, X_z has one entry and X_x, X_y at most two. A table holds five terms, for each of which

    (X_k v)[i] = sum over the terms s of axis k: coefficient[s, i] * v[index[s, i]]

so that products with generators are gathers, differentiable to any order, and need no memory beyond their result.
"""

from __future__ import annotations

import functools
from math import sqrt

import numpy as np
import torch

from ._kept import kept
from .irreps import Irrep, Irreps, parity
from .representation import CYCLE, Representation
from .rotations import handedness

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


@functools.lru_cache(maxsize=256)
def _table(rep: Representation) -> tuple[np.ndarray, np.ndarray]:
    """index and coefficient, ``(5, dim)``, along the component axis of an irreps representation."""
    assert rep.irreps is not None
    index = np.tile(np.arange(rep.irreps.dim), (len(AXES), 1))
    coefficient = np.zeros(index.shape)
    for term, where in zip(rep.irreps, rep.irreps.slices(), strict=True):
        columns, values = degree_table(term.l)
        position = np.arange(where.start, where.stop)
        by_copy = position.reshape(term.mul, -1) if rep.layout == "mul_ir" else position.reshape(-1, term.mul).T
        for s in range(len(AXES)):
            index[s][by_copy] = by_copy[:, columns[s]]
            coefficient[s][by_copy] = values[s]
    return index, coefficient


def table(rep: Representation | int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """index and coefficient of a representation, or of one degree l, on the device and in the dtype of `like`."""
    # what stands for a tensor while a compiler traces has a type of its own
    make = _kept if type(like) is torch.Tensor else _tensors
    return make(rep, like.device, like.dtype)


def _tensors(rep: Representation | int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    index, coefficient = degree_table(rep) if isinstance(rep, int) else _table(rep)
    return torch.tensor(index, device=device), torch.tensor(coefficient, device=device, dtype=dtype)


_kept = functools.lru_cache(maxsize=256)(kept(_tensors))


def each_generator(x: torch.Tensor, index: torch.Tensor, coefficient: torch.Tensor) -> torch.Tensor:
    """``X_k x`` for k = x, y, z: ``(..., dim)`` to ``(..., 3, dim)``."""
    return torch.stack(_turned(x, index, coefficient), -2)


def generator_along(
    x: torch.Tensor, omega: torch.Tensor, index: torch.Tensor, coefficient: torch.Tensor
) -> torch.Tensor:
    """``sum_k omega_k X_k x``: ``(..., dim)`` and ``(..., 3)``."""
    about_x, about_y, about_z = _turned(x, index, coefficient)
    return omega[..., 0:1] * about_x + omega[..., 1:2] * about_y + omega[..., 2:3] * about_z


def _turned(x: torch.Tensor, index: torch.Tensor, coefficient: torch.Tensor) -> tuple[torch.Tensor, ...]:
    terms = (x[..., index] * coefficient).unbind(-2)
    return terms[1] + terms[2], terms[3] + terms[4], terms[0]


def matrices(rep: Representation, elements: torch.Tensor) -> torch.Tensor:
    """``(n, components, components)`` float64: rho in the basis of the irreps, of elements ``(n, 3, 3)`` of O(3).

    Orthogonal. By exponentials of the generators of the whole representation: slow, and without any recursion in l.
    """
    from scipy.spatial.transform import Rotation  # takes its time to import

    if rep.irreps is None:
        terms = tuple(Irrep(1, block.lam, parity(block.lam, block.sigma)) for block in rep.blocks)
        # a vector is (x, y, z), which is l = 1 in e3nn's basis; tensors are split in the standard one
        rep = Representation("irreps", Irreps(terms), "e3nn" if len(terms) == 1 else "standard")
    assert rep.irreps is not None
    sign = handedness(elements).cpu()
    proper = elements.cpu() * sign[:, None, None]
    if rep.basis == "e3nn":
        proper = proper[..., CYCLE, :][..., CYCLE]
    index, coefficient = _table(rep)
    generators = torch.zeros(3, rep.components, rep.components, dtype=torch.float64)
    for axis, columns, values in zip(AXES, index, coefficient, strict=True):
        generators[axis, torch.arange(rep.components), torch.from_numpy(columns)] += torch.from_numpy(values)
    turns = torch.from_numpy(Rotation.from_matrix(proper.numpy()).as_rotvec())
    dense = torch.linalg.matrix_exp(torch.einsum("nk,kij->nij", turns, generators))
    odd = torch.zeros(rep.components, dtype=torch.bool)
    for term, where in zip(rep.irreps, rep.irreps.slices(), strict=True):
        odd[where] = term.p < 0
    return torch.where(odd, sign[:, None, None] * dense, dense).to(elements.device)
