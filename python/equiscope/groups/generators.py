"""Generators of the real representations: dD^l(exp(t L_k))/dt at t = 0, as the few entries that are not zero.

In every row m, X_z has one entry and X_x, X_y at most two. A table holds five terms, for each of which

    (X_k v)[i] = sum over the terms s of axis k: coefficient[s, i] * v[index[s, i]]

so that products with generators are gathers, differentiable to any order, and need no memory beyond their result.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

from ._kept import kept
from .azimuth import Azimuth
from .cartesian import Cartesian
from .ladders import AXES, degree_table
from .representation import Representation
from .rotations import handedness
from .spherical import CYCLE, Spherical


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
    """``(n, rows, rows)`` float64: rho of elements ``(n, 3, 3)`` of O(3), in the basis of `Representation.matrix`.

    Orthogonal. Of irreps by exponentials of their generators: slow, and without any recursion in l.
    """
    stored = torch.zeros(len(elements), rep.components, rep.components, dtype=torch.float64, device=elements.device)
    for part in rep.parts:
        term = part.term
        assert not isinstance(term, Azimuth)
        own = term.matrices(elements) if isinstance(term, Cartesian) else _exponentials(term, elements)
        for start in range(part.where.start, part.where.stop, max(term.components, 1)):
            stop = start + term.components
            stored[:, start:stop, start:stop] = own
    matrix = rep.matrix.to(elements.device)
    dense: torch.Tensor = matrix @ stored @ torch.linalg.pinv(matrix)
    return dense


def _exponentials(term: Spherical, elements: torch.Tensor) -> torch.Tensor:
    """``(n, components, components)``."""
    from scipy.spatial.transform import Rotation  # takes its time to import

    sign = handedness(elements).cpu()
    proper = elements.cpu() * sign[:, None, None]
    if term.basis == "e3nn":
        proper = proper[..., CYCLE, :][..., CYCLE]
    index, coefficient = _table(Representation.of(term.irreps, layout=term.layout))
    generators = torch.zeros(3, term.components, term.components, dtype=torch.float64)
    for axis, columns, values in zip(AXES, index, coefficient, strict=True):
        generators[axis, torch.arange(term.components), torch.from_numpy(columns)] += torch.from_numpy(values)
    turns = torch.from_numpy(Rotation.from_matrix(proper.numpy()).as_rotvec())
    dense = torch.linalg.matrix_exp(torch.einsum("nk,kij->nij", turns, generators))
    odd = torch.zeros(term.components, dtype=torch.bool)
    for irrep, where in zip(term.irreps, term.irreps.slices(), strict=True):
        odd[where] = irrep.p < 0
    return torch.where(odd, sign[:, None, None] * dense, dense).to(elements.device)
