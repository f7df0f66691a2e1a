"""Writes data/tables.npz: elements of D and values of Y to 50 digits, from Wigner's sum in mpmath. Takes a minute.

Run by hand: python tests/make_tables.py. The rotations are float64 matrices as they are, whose polar factor is taken in
extended precision, so the table is exact for the very bits that a kernel is given.
"""

from __future__ import annotations

import itertools
import pathlib

import mpmath as mp
import numpy as np

# Wigner's sum loses up to 2^(2l) to cancellation: 50 digits remain of 150 at l = 128
mp.mp.dps = 150

DEGREES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 131)
SAMPLES = 14


def about(axis: int, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    R = np.eye(3)
    R[i, i], R[j, j], R[i, j], R[j, i] = c, c, -s, s
    return R


def rotations(rng: np.random.Generator) -> np.ndarray:
    """Generic ones, quarter and half turns, and both poles at distances 10^-k and exactly."""
    found = [np.eye(3)]
    for _ in range(5):
        q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        found.append(q * np.linalg.det(q))
    for axis in range(3):
        found += [about(axis, np.pi / 2), np.round(about(axis, np.pi)), about(axis, 1.0)]
    for k in (1, 2, 4, 6, 7, 8, 9, 12, 15, 18):
        for pole in (0.0, np.pi):
            a, c = rng.uniform(0, 2 * np.pi, 2)
            found.append(about(2, a) @ about(1, pole + 10.0**-k) @ about(2, c))
    return np.stack(found)


def polar(R: np.ndarray) -> mp.matrix:
    X = mp.matrix(R.tolist())
    for _ in range(8):
        X = (X + mp.inverse(X).T) / 2
    return X


def euler(X: mp.matrix) -> tuple[mp.mpf, mp.mpf, mp.mpf]:
    alpha, beta = mp.atan2(X[1, 2], X[0, 2]), mp.atan2(mp.hypot(X[0, 2], X[1, 2]), X[2, 2])
    ca, sa, cb, sb = mp.cos(alpha), mp.sin(alpha), mp.cos(beta), mp.sin(beta)
    gamma = mp.atan2(-sa * X[0, 0] + ca * X[1, 0], cb * ca * X[0, 0] + cb * sa * X[1, 0] - sb * X[2, 0])
    return alpha, beta, gamma


def small_d(l: int, a: int, b: int, beta: mp.mpf) -> mp.mpf:
    """d^l_ab(beta) as Wigner's sum."""
    c, s = mp.cos(beta / 2), mp.sin(beta / 2)
    root = mp.sqrt(mp.factorial(l + a) * mp.factorial(l - a) * mp.factorial(l + b) * mp.factorial(l - b))
    total = mp.mpf(0)
    for k in range(max(0, b - a), min(l + b, l - a) + 1):
        below = mp.factorial(l + b - k) * mp.factorial(k) * mp.factorial(a - b + k) * mp.factorial(l - a - k)
        total += (-1) ** (a - b + k) * root / below * c ** (2 * l + b - a - 2 * k) * s ** (a - b + 2 * k)
    return total


def about_y(l: int, a: int, b: int, beta: mp.mpf) -> mp.mpf:
    """D^l_ab(Ry(beta)) in the real basis: sines and cosines do not mix."""
    if (a < 0) != (b < 0):
        return mp.mpf(0)
    A, B = abs(a), abs(b)
    if a == 0 or b == 0:
        return (-1) ** (A + B) * small_d(l, A, B, beta) * (mp.sqrt(2) if A + B else 1)
    sign = 1 if a > 0 else -1
    return (-1) ** (A + B) * small_d(l, A, B, beta) + sign * (-1) ** A * small_d(l, A, -B, beta)


def about_z(a: int, b: int, angle: mp.mpf) -> mp.mpf:
    if a == b:
        return mp.cos(abs(a) * angle)
    return -mp.sin(a * angle) if a == -b else mp.mpf(0)


def element(l: int, a: int, b: int, angles: tuple[mp.mpf, mp.mpf, mp.mpf]) -> mp.mpf:
    """D^l_ab(R), R = Rz(alpha) Ry(beta) Rz(gamma)."""
    alpha, beta, gamma = angles
    total = mp.mpf(0)
    for i, j in itertools.product({a, -a}, {b, -b}):
        total += about_z(a, i, alpha) * about_y(l, i, j, beta) * about_z(j, b, gamma)
    return total


def check() -> None:
    """l = 1 must be the matrix itself in the order (y, z, x)."""
    R = about(2, 0.3) @ about(1, 1.1) @ about(2, -2.0)
    angles, order = euler(polar(R)), (1, 2, 0)
    for a, b in itertools.product(range(3), range(3)):
        assert abs(element(1, a - 1, b - 1, angles) - R[order[a], order[b]]) < 1e-15


def main() -> None:
    check()
    rng = np.random.default_rng(2026)
    R = rotations(rng)
    rows, points = [], []
    for index, matrix in enumerate(R):
        X = polar(matrix)
        angles = euler(X)
        for l in DEGREES:
            pairs = set(itertools.product(range(-l, l + 1), repeat=2)) if l <= 1 else set()
            corners = [(l, l), (-l, l), (0, 0), (l, 0)] if l > 1 else []
            while l > 1 and len(pairs) < SAMPLES - len(corners):
                pairs.add(tuple(int(m) for m in rng.integers(-l, l + 1, 2)))
            for a, b in sorted(pairs | set(corners)):
                rows.append((index, l, a, b, float(element(l, a, b, angles))))
    for index in range(12):
        # a float64 point, its own direction in extended precision
        xyz = rng.standard_normal(3) if index < 6 else np.array([1.0, 0.7, 0.0]) * 10.0 ** (5 - index)
        if index >= 6:
            xyz[2] = (-1.0) ** index
        x, y, z = (mp.mpf(float(v)) for v in xyz)
        angles = (mp.atan2(y, x), mp.atan2(mp.hypot(x, y), z), mp.mpf(0))
        for l in DEGREES:
            for m in sorted({-l, -(l // 2), -1 if l else 0, 0, l // 3, l}):
                value = mp.sqrt((2 * l + 1) / (4 * mp.pi)) * element(l, m, 0, angles)
                points.append((*xyz, l, m, float(value)))
    where = pathlib.Path(__file__).parent / "data" / "tables.npz"
    np.savez_compressed(where, rotations=R, D=np.array(rows), Y=np.array(points))
    print(f"{len(rows)} elements of D, {len(points)} of Y, {where.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
