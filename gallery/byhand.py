"""Every number of the gallery a second time, by a few random elements and nothing of the package but the model.

Elements are orthogonal factors of Gaussian matrices, harmonics are those of scipy, errors come from a jackknife.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from scipy.special import sph_harm_y

Array: TypeAlias = np.ndarray
Turned: TypeAlias = Callable[[Array], Mapping[str, Sequence[Any]]]
"""Of an element ``(3, 3)``: by output, the values that belong to each system brought to it."""

PAIRS = 12
"""Elements of either determinant."""

SEED = 1

HALF_WIDTH = 2.2
"""95 % of a jackknife over `PAIRS` (Student's t), over its standard error."""

TERM = re.compile(r"(\d+)x(\d+)([eo])")


class ByHand(NamedTuple):
    """An error by a few elements."""

    rmse: float
    error: float
    """Half width of 95 %."""
    rotations: float
    """Under proper rotations alone."""


def measured(turned: Turned, kinds: Mapping[str, str], group: str = "O3", basis: str = "standard") -> dict[str, ByHand]:
    """By output, of the representations `kinds`, which are those of an audit."""
    back: dict[str, list[list[Array]]] = {name: [] for name in kinds}
    drawn = elements(group)
    for g in drawn:
        values = turned(g)
        for name, kind in kinds.items():
            back[name].append([turned_back(_array(value), kind, g, basis) for value in values[name]])
    return {name: _error([np.concatenate(each) for each in values], drawn) for name, values in back.items()}


def elements(group: str) -> list[Array]:
    """`PAIRS` uniform rotations, about z for SO(2); for O(3) as many improper elements after them."""
    generator = np.random.default_rng(SEED)
    if group == "SO2":
        angles = generator.uniform(0, 2 * math.pi, PAIRS)
        return [np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]]) for a in angles]
    count = 2 * PAIRS if group == "O3" else PAIRS
    q, r = np.linalg.qr(generator.standard_normal((count, 3, 3)))
    q = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[:, None]
    proper = q * np.linalg.det(q)[:, None, None]
    return [*proper[:PAIRS], *-proper[PAIRS:]]


def turned_back(value: Array, kind: str, g: Array, basis: str) -> Array:
    """``(samples, components)`` of values that belong to a turned system."""
    if kind in ("scalar", "invariant", "pseudoscalar"):
        return value.reshape(-1, 1) * (np.linalg.det(g) if kind == "pseudoscalar" else 1.0)
    if kind == "vector":
        return value.reshape(-1, 3) @ g
    if kind in ("tensor", "voigt"):
        return (g.T @ value.reshape(-1, 3, 3) @ g).reshape(-1, 9)
    return _irreps_back(value, kind, g, basis)


def _irreps_back(value: Array, irreps: str, g: Array, basis: str) -> Array:
    """Of a string such as "8x0e+4x1o", laid out ``for n: for m``."""
    rows, at, parts = value.reshape(-1, value.shape[-1]), 0, []
    for mul, l, parity in TERM.findall(irreps):
        mul, l = int(mul), int(l)
        own = rows[:, at : at + mul * (2 * l + 1)].reshape(len(rows), mul, 2 * l + 1)
        sign = np.linalg.det(g) if (parity == "e") != (l % 2 == 0) else 1.0
        parts.append((sign * own @ harmonic_matrix(l, g, basis)).reshape(len(rows), -1))
        at += mul * (2 * l + 1)
    return np.concatenate(parts, -1)


def harmonic_matrix(l: int, g: Array, basis: str) -> Array:
    """D with ``Y(g r) = D Y(r)``, fitted to directions."""
    points = np.random.default_rng(0).standard_normal((4 * l + 4, 3))
    return np.linalg.lstsq(harmonics(l, points, basis), harmonics(l, points @ g.T, basis), rcond=None)[0].T


def harmonics(l: int, points: Array, basis: str) -> Array:
    """``(n, 2l + 1)`` real ones, m = -l..l; those of e3nn are the standard ones of (z, x, y)."""
    x, y, z = (points[:, [2, 0, 1]] if basis == "e3nn" else points).T
    theta, phi = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    own = [sph_harm_y(l, abs(m), theta, phi) * (-1) ** m for m in range(-l, l + 1)]
    return np.stack([c.real if m == 0 else math.sqrt(2) * (c.imag if m < 0 else c.real)
                     for m, c in zip(range(-l, l + 1), own, strict=True)], -1)  # fmt: skip


def _error(values: Sequence[Array], drawn: Sequence[Array]) -> ByHand:
    """Of ``values[element]`` ``(samples, components)``, centred so that large energies lose no digits."""
    shape = {value.shape for value in values}
    if len(shape) != 1:
        raise ValueError(f"by hand: expected values of one shape at every element, got {sorted(shape)}")
    z = np.stack(values)
    z = z - z[0]
    z = z.reshape(len(drawn) // PAIRS, PAIRS, *z.shape[1:])
    pairs = range(PAIRS)
    square = _variance(z)
    without = np.array([_variance(z[:, [k for k in pairs if k != left]]) for left in pairs])
    error = math.sqrt((PAIRS - 1) / PAIRS * float(np.square(without - without.mean()).sum()))
    rmse = math.sqrt(max(square, 0.0))
    return ByHand(rmse, HALF_WIDTH * error / (2 * rmse) if rmse else 0.0, math.sqrt(max(_variance(z[:1]), 0.0)))


def _variance(z: Array) -> float:
    """Per component, pooled over samples, without bias: within the cosets, and between their means."""
    within = z.var(1, ddof=1).mean()
    if len(z) == 1:
        return float(within)
    between = np.square(z.mean(1) - z.mean((0, 1))).mean()
    return float(within + between - within / (len(z) * z.shape[1]))


def _array(value: Any) -> Array:
    """In double precision, of a tensor, an array or a number."""
    return np.asarray(value.detach() if hasattr(value, "detach") else value, dtype=np.float64)


def calculated(calculator: Any, structures: Iterable[Any], names: Sequence[str]) -> Turned:
    """Of what a calculator of ASE says of structures, told to forget before each. Stress comes as a matrix."""
    atoms = list(structures)

    def turned(g: Array) -> Mapping[str, Sequence[Any]]:
        found: dict[str, list[Any]] = {name: [] for name in names}
        for each in atoms:
            copy = each.copy()
            copy.set_cell(each.cell.array @ g.T)
            copy.positions = each.positions @ g.T
            copy.calc = calculator
            calculator.reset()
            for name in names:
                stress = name == "stress"
                found[name].append(copy.get_stress(voigt=False) if stress else copy.calc.get_property(name, copy))
        return found

    return turned
