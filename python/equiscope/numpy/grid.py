"""Grids on O(3) and SO(3) and random elements of them, of arrays."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, MemoryLimitError, fail
from ..groups._arguments import MOST_ELEMENTS, checked_count, checked_flag
from ..groups.rings import checked_degree, rings, turns
from ._check import KERNEL_DTYPES

COSETS = {"O3": 2, "SO3": 1}
"""Of SO(3), by the names of the groups."""


@dataclass(frozen=True, eq=False, repr=False)
class Quadrature:
    """A grid of rotations that integrates products of matrix elements D^l D^l' exactly for l + l' <= degree.

    Order of the elements: for coset (+R, then -R): for point: for gamma. Element (s, p, k) is
    ``s * rings[p] @ Rz(2 pi k / gammas)``. Grids are kept and shared, so their arrays are read-only.
    """

    group: str
    degree: int
    lebedev_degree: int
    rings: np.ndarray
    """``(P, 3, 3)`` float64, the rotations with gamma = 0."""
    ring_weights: np.ndarray
    """``(P,)`` float64, sum 1."""
    gammas: int
    """Number K of equispaced angles."""

    @property
    def cosets(self) -> int:
        """2 with both +R and -R, 1 with +R alone."""
        return COSETS[self.group]

    def __repr__(self) -> str:
        return f"<Quadrature of {self.group}: degree {self.degree}, {len(self)} elements>"

    def __len__(self) -> int:
        return self.cosets * len(self.rings) * self.gammas

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """``(G,)`` float64, sum 1."""
        per_element = self.ring_weights / (self.gammas * self.cosets)
        return _frozen(np.tile(np.repeat(per_element, self.gammas), self.cosets))

    @functools.cached_property
    def rotations(self) -> np.ndarray:
        """``(G, 3, 3)`` float64."""
        cosine, sine = (x[:, None] for x in turns(self.gammas))
        first, second, third = np.moveaxis(self.rings[:, None], -1, 0)
        # ring @ Rz(gamma), in products and sums that have the same bits in every library
        third = np.broadcast_to(third, (len(self.rings), self.gammas, 3))
        turned = np.stack([first * cosine + second * sine, second * cosine - first * sine, third], axis=-1)
        proper = turned.reshape(-1, 3, 3)
        return _frozen(proper if self.cosets == 1 else np.concatenate([proper, -proper]))


def _frozen(x: np.ndarray) -> np.ndarray:
    x.setflags(write=False)
    return x


def quadrature(degree: int, *, group: str = "O3", allow_negative: bool = False) -> Quadrature:
    """Grid on O(3) or SO(3) that integrates products of matrix elements exactly up to total degree `degree`.

    The elements and weights of `equiscope.quadrature`, bit for bit. The 16 latest grids are kept.

    Args:
        degree: 0..131.
        group: "O3" (both cosets, -R after R) or "SO3".
        allow_negative: accept the Lebedev rules of degree 13, 25 and 27, which have negative weights.

    Raises:
        ArgumentError: degree is no integer or out of range; unknown group.
        DTypeError: allow_negative is neither True nor False.

    >>> len(quadrature(16))
    3740
    """
    _check_group(group)
    return _kept(checked_degree(degree), group, checked_flag("allow_negative", allow_negative))


@functools.lru_cache(maxsize=16)
def _kept(degree: int, group: str, allow_negative: bool) -> Quadrature:
    rule = rings(degree, allow_negative)
    rotations, weights = _frozen(rule.rotations.copy()), _frozen(rule.weights.copy())
    return Quadrature(group, degree, rule.lebedev_degree, rotations, weights, degree + 1)


def _check_group(group: Any) -> None:
    if not isinstance(group, str) or group not in COSETS:
        fail(ArgumentError, "group", " or ".join(f'"{name}"' for name in COSETS), repr(group))


def random_rotations(
    n: int, *, group: str = "SO3", dtype: Any = np.float64, generator: np.random.Generator | None = None
) -> np.ndarray:
    """``(n, 3, 3)`` matrices, uniform on SO(3) or O(3) (Haar measure).

    Args:
        n: how many, >= 0.
        group: "SO3", or "O3": then each matrix is negated with probability 1/2.
        dtype: float32 or float64.
        generator: for repeatable draws, ``numpy.random.default_rng(seed)``.

    Raises:
        ArgumentError: negative or non-integer n, unknown group.
        DTypeError: another dtype, a generator of another kind.
        MemoryLimitError: more than memory holds.

    >>> random_rotations(2).shape
    (2, 3, 3)
    """
    count = checked_count("n", n, MOST_ELEMENTS)
    if not isinstance(dtype, type | np.dtype | str) or dtype not in KERNEL_DTYPES:
        fail(DTypeError, "dtype", "float32 or float64", repr(dtype))
    if generator is not None and not isinstance(generator, np.random.Generator):
        fail(DTypeError, "generator", "a numpy.random.Generator or None", type(generator).__name__)
    _check_group(group)
    drawn = np.random.default_rng() if generator is None else generator
    try:
        return _drawn(count, drawn, COSETS[group]).astype(dtype)
    except MemoryError:
        fail(MemoryLimitError, "n", "matrices that fit into memory", count)


def _drawn(n: int, generator: np.random.Generator, cosets: int) -> np.ndarray:
    """A unit quaternion from four normal deviates is uniform on the sphere S^3, which covers SO(3) twice."""
    quaternions = generator.standard_normal((n, 4))
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    found = np.array(rows).transpose(2, 0, 1)
    if cosets == 2:
        found = found * np.where(generator.random(n) < 0.5, -1.0, 1.0)[:, None, None]
    return np.ascontiguousarray(found)
