"""The functions of `_native` on tensors of any device, through the readable references. Slow."""

from __future__ import annotations

import torch

from ..groups.representation import Representation
from . import reference

DEFERS_CHECKS = False


def check_rotations(rotations: torch.Tensor, tolerance: float) -> tuple[int, float, float]:
    """Row (-1: none), |R R^T - 1| and determinant of the first matrix that is not finite and orthogonal."""
    wide = rotations.to(torch.float64)
    one = torch.eye(3, dtype=torch.float64, device=rotations.device)
    deviation = (wide @ wide.mT - one).abs().amax((-1, -2))
    bad = ~(deviation <= tolerance)
    if not bool(bad.any()):
        return -1, 0.0, 0.0
    row = int(bad.to(torch.int8).argmax())
    return row, float(deviation[row]), float(torch.linalg.det(wide[row]))


def first_improper(rotations: torch.Tensor) -> int:
    """The first matrix with a negative determinant, -1 if there is none."""
    first, second, third = rotations.unbind(-2)
    improper = (torch.linalg.cross(first, second) * third).sum(-1) < 0
    return int(improper.to(torch.int8).argmax()) if bool(improper.any()) else -1


def wigner_D(rotations: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(n, 3, 3)`` to packed ``(n * E(lmax),)``."""
    return torch.cat([block.reshape(-1) for block in reference.wigner_D(rotations, lmax)])


def wigner_D_torque(rotations: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(n, 3)``: sum_l <grad^l, D^l X_k>."""
    n, start = rotations.shape[0], 0
    total = torch.zeros(n, 3, dtype=torch.float64, device=rotations.device)
    for l, D in enumerate(reference.wigner_D(rotations.to(torch.float64), lmax)):
        own = grad[start : start + D.numel()].reshape(D.shape).to(torch.float64)
        start += D.numel()
        total += torch.einsum("nij,nia,kaj->nk", own, D, reference.generators(l).to(D.device))
    return total.to(rotations.dtype)


def spherical_harmonics(xyz: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(n, 3)`` to ``(n, (lmax+1)**2)``."""
    return reference.spherical_harmonics(xyz, lmax)


def spherical_harmonics_torque(xyz: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(n, 3)``: sum_l grad^l . X_k Y^l."""
    total = torch.zeros(xyz.shape[0], 3, dtype=torch.float64, device=xyz.device)
    Y = reference.spherical_harmonics(xyz.to(torch.float64), lmax)
    for l in range(lmax + 1):
        where = slice(l * l, (l + 1) ** 2)
        X = reference.generators(l).to(xyz.device)
        total += torch.einsum("ni,kij,nj->nk", grad[:, where].to(torch.float64), X, Y[:, where])
    return total.to(xyz.dtype)


def rotate(x: torch.Tensor, rotations: torch.Tensor, rep: Representation, inverse: bool) -> torch.Tensor:
    """x ``(batch or 1, rows, dim)``, rotations ``(batch, 3, 3)``, to ``(batch, rows, dim)``."""
    return reference.rotate(x, rotations[:, None], rep, inverse=inverse)


def project(
    values: torch.Tensor,
    rings: torch.Tensor,
    weights: torch.Tensor,
    lmax: int,
    center: torch.Tensor | None,
    out: torch.Tensor,
) -> None:
    """Add to out ``(E(lmax), channels)`` what values ``(points, gammas, channels)`` contribute."""
    wide = values.to(torch.float64)
    if center is not None:
        wide = wide - center.to(torch.float64)
    D = reference.grid_matrix(rings.to(values.device), values.shape[1], weights.to(values.device), lmax)
    out += (D.T @ wide.flatten(0, 1)).to(out.dtype)


def synthesize(
    coefficients: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int
) -> torch.Tensor:
    """Coefficients ``(E(lmax), channels)`` to ``(points, gammas, channels)``: the adjoint of `project`."""
    D = reference.grid_matrix(rings.to(coefficients.device), gammas, weights.to(coefficients.device), lmax)
    return (D @ coefficients.to(torch.float64)).to(coefficients.dtype).unflatten(0, (-1, gammas))
