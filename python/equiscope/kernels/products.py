"""Kernels as products of D and Y that a backend makes: what it has no faster way for.

`wigner_D` and `spherical_harmonics` are kernels of the backend; the rest is plain torch, on any device.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ..groups.cartesian import contracted
from ..groups.generators import each_generator, table
from ..groups.irreps import Irreps, matrix_count
from ..groups.representation import Representation
from ..groups.rotations import about_z, handedness
from .kept import Kept

Kernel = Callable[[torch.Tensor, int], torch.Tensor]

MATRIX_BYTES = 1 << 28
"""D of a grid or batch is held for about this many bytes at a time."""

# of two int64 per coefficient: 25 MB at lmax 131
_orders = Kept(16)


def _degrees(rotations: torch.Tensor, lmax: int, wigner_D: Kernel) -> list[torch.Tensor]:
    n = rotations.shape[0]
    parts = wigner_D(rotations, lmax).split([n * (2 * l + 1) ** 2 for l in range(lmax + 1)])
    return [part.view(n, 2 * l + 1, 2 * l + 1) for l, part in enumerate(parts)]


def _steps(count: int, lmax: int, element_size: int) -> range:
    return range(0, count, max(1, MATRIX_BYTES // (matrix_count(lmax) * element_size)))


def rotate(
    x: torch.Tensor, rotations: torch.Tensor, rep: Representation, inverse: bool, wigner_D: Kernel
) -> torch.Tensor:
    """x ``(batch or 1, rows, dim)``, rotations ``(batch, 3, 3)``, to ``(batch, rows, dim)``."""
    assert rep.irreps is not None
    batch, rows = rotations.shape[0], x.shape[1]
    out = x.new_empty(batch, rows, x.shape[2])
    lmax = max((term.l for term in rep.irreps), default=0)
    steps = _steps(batch, lmax, x.element_size())
    for start in steps:
        own = slice(start, start + steps.step)
        sign = handedness(rotations[own])[:, None, None]
        degrees = _degrees(rotations[own] * sign, lmax, wigner_D)
        source = x if x.shape[0] == 1 else x[own]
        for term, where in zip(rep.irreps, rep.irreps.slices(), strict=True):
            D = degrees[term.l].mT if inverse else degrees[term.l]
            D = D * sign if term.p < 0 else D
            n, size = D.shape[0], 2 * term.l + 1
            part = source[..., where].expand(n, rows, term.mul * size)
            if rep.layout == "mul_ir":
                turned = part.reshape(n, rows * term.mul, size) @ D.mT
            else:
                turned = D[:, None] @ part.reshape(n, rows, size, term.mul)
            out[own, :, where] = turned.reshape(n, rows, term.mul * size)
    return out


def rotate_tensors(x: torch.Tensor, rotations: torch.Tensor, rank: int, pseudo: bool, inverse: bool) -> torch.Tensor:
    """x ``(batch or 1, rows, 3^rank)``, rotations ``(batch, 3, 3)``, to ``(batch, rows, 3^rank)``."""
    turned = contracted(x, rotations.mT if inverse else rotations, rank)
    return turned * handedness(rotations)[:, None, None] if pseudo else turned


def wigner_D_torque(rotations: torch.Tensor, grad: torch.Tensor, lmax: int, wigner_D: Kernel) -> torch.Tensor:
    """``(n, 3)``: sum_l <grad^l, D^l X_k>."""
    n = rotations.shape[0]
    total = torch.zeros(n, 3, dtype=torch.float64, device=rotations.device)
    gradients = grad.split([n * (2 * l + 1) ** 2 for l in range(lmax + 1)])
    for l, (D, own) in enumerate(zip(_degrees(rotations, lmax, wigner_D), gradients, strict=True)):
        # the rows of D X_k are -X_k times the rows of D as columns
        moved = each_generator(D, *table(l, D))
        total -= (own.view(n, 2 * l + 1, 1, 2 * l + 1) * moved).sum((1, 3), dtype=torch.float64)
    return total.to(rotations.dtype)


def spherical_harmonics_torque(
    xyz: torch.Tensor, grad: torch.Tensor, lmax: int, spherical_harmonics: Kernel
) -> torch.Tensor:
    """``(n, 3)``: sum_l grad^l . X_k Y^l."""
    Y = spherical_harmonics(xyz, lmax)
    moved = each_generator(Y, *table(Representation.of(Irreps.harmonics(lmax)), Y))
    return (grad[:, None] * moved).sum(-1, dtype=torch.float64).to(xyz.dtype)


def elements(rings: torch.Tensor, weights: torch.Tensor, gammas: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations ``(points * gammas, 3, 3)`` and weights of all elements of rings ``(points, 3, 3)``."""
    if gammas == 1:
        return rings, weights
    turns = about_z(2 * math.pi / gammas * torch.arange(gammas, dtype=rings.dtype, device=rings.device))
    return (rings[:, None] @ turns).flatten(0, 1), weights.repeat_interleave(gammas) / gammas


def project(
    values: torch.Tensor,
    rotations: torch.Tensor,
    weights: torch.Tensor,
    lmax: int,
    center: torch.Tensor | None,
    out: torch.Tensor,
    wigner_D: Kernel,
) -> None:
    """Add to out ``(E(lmax), channels)`` what values ``(elements, channels)`` on any grid contribute."""
    steps = _steps(rotations.shape[0], lmax, out.element_size())
    for start in steps:
        own = slice(start, start + steps.step)
        D = torch.cat([part.flatten(1) for part in _degrees(rotations[own], lmax, wigner_D)], dim=1)
        u = values[own].to(torch.float64)
        if center is not None:
            u = u - center
        u = u * weights[own, None]
        out += D.to(out.dtype).T @ u.to(out.dtype)


def _order_tables(lmax: int, gammas: int, like: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """cos and sin of n gamma, ``(gammas, 2 lmax + 2)``, and the rows of coefficients with n and with -n.

    The rows are two tensors for each n = 0..lmax: where (l, m, n) and (l, m, -n) lie, for all l >= n and m.
    """

    def make() -> tuple[torch.Tensor, ...]:
        steps = torch.arange(gammas)[:, None] * torch.arange(lmax + 1) % gammas
        angles = 2 * math.pi / gammas * steps.to(torch.float64)
        tables = [torch.cat([torch.cos(angles), torch.sin(angles)], dim=1).to(like)]
        for n in range(lmax + 1):
            centers = torch.cat(
                [matrix_count(l - 1) + torch.arange(2 * l + 1) * (2 * l + 1) + l for l in range(n, lmax + 1)]
            ).to(like.device)
            tables += [centers + n, centers - n]
        return tuple(tables)

    key = lmax, gammas, like.dtype
    turns, *columns = _orders.get(key, like.device, f"lmax = {lmax} and {gammas} angles", make)
    return turns, columns


def synthesize(
    coefficients: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int, wigner_D: Kernel
) -> torch.Tensor:
    """Coefficients ``(E(lmax), channels)`` to ``(points, gammas, channels)``: first the Fourier sums of every ring."""
    points, channels = rings.shape[0], coefficients.shape[1]
    out = coefficients.new_empty(points, gammas, channels)
    turns, columns = _order_tables(lmax, gammas, coefficients)
    steps = _steps(points, lmax, coefficients.element_size())
    for start in steps:
        own = slice(start, start + steps.step)
        D = torch.cat([part.flatten(1) for part in _degrees(rings[own], lmax, wigner_D)], dim=1).to(coefficients.dtype)
        D = D * (weights[own, None] / gammas).to(D.dtype)
        cosines, sines = [], []
        for n, (plus, minus) in enumerate(zip(columns[::2], columns[1::2], strict=True)):
            up, down = coefficients[plus], coefficients[minus]
            cosines.append(D[:, plus] @ up + (D[:, minus] @ down if n else 0.0))
            sines.append(D[:, minus] @ up - D[:, plus] @ down)
        # n = 0 has no sine
        sines[0] = torch.zeros_like(sines[0])
        fourier = torch.stack([*cosines, *sines], dim=1)
        out[own] = turns @ fourier
    return out
