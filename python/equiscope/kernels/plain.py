"""The readable references as a backend for tensors of any device: where no kernels are compiled. Slow."""

from __future__ import annotations

import torch

from ..groups.representation import Representation
from . import reference
from .backend import Backend


class PlainBackend(Backend):
    """Nothing here but layouts; see `reference`."""

    name = "plain"
    device_type = "any"

    def wigner_D(self, rotations: torch.Tensor, lmax: int) -> torch.Tensor:
        return torch.cat([block.reshape(-1) for block in reference.wigner_D(rotations, lmax)])

    def wigner_D_torque(self, rotations: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
        n, start = rotations.shape[0], 0
        total = torch.zeros(n, 3, dtype=torch.float64, device=rotations.device)
        for l, D in enumerate(reference.wigner_D(rotations.to(torch.float64), lmax)):
            own = grad[start : start + D.numel()].reshape(D.shape).to(torch.float64)
            start += D.numel()
            total += torch.einsum("nij,nia,kaj->nk", own, D, reference.generators(l).to(D.device))
        return total.to(rotations.dtype)

    def spherical_harmonics(self, xyz: torch.Tensor, lmax: int) -> torch.Tensor:
        return reference.spherical_harmonics(xyz, lmax)

    def spherical_harmonics_torque(self, xyz: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
        total = torch.zeros(xyz.shape[0], 3, dtype=torch.float64, device=xyz.device)
        Y = reference.spherical_harmonics(xyz.to(torch.float64), lmax)
        for l in range(lmax + 1):
            where = slice(l * l, (l + 1) ** 2)
            X = reference.generators(l).to(xyz.device)
            total += torch.einsum("ni,kij,nj->nk", grad[:, where].to(torch.float64), X, Y[:, where])
        return total.to(xyz.dtype)

    def rotate(self, x: torch.Tensor, rotations: torch.Tensor, rep: Representation, inverse: bool) -> torch.Tensor:
        return reference.rotate(x, rotations[:, None], rep, inverse=inverse)

    def project(
        self,
        values: torch.Tensor,
        rings: torch.Tensor,
        weights: torch.Tensor,
        lmax: int,
        center: torch.Tensor | None,
        out: torch.Tensor,
    ) -> None:
        wide = values.to(torch.float64)
        if center is not None:
            wide = wide - center.to(torch.float64)
        D = reference.grid_matrix(rings.to(values.device), values.shape[1], weights.to(values.device), lmax)
        out += (D.T @ wide.flatten(0, 1)).to(out.dtype)

    def synthesize(
        self, coefficients: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int
    ) -> torch.Tensor:
        D = reference.grid_matrix(rings.to(coefficients.device), gammas, weights.to(coefficients.device), lmax)
        values = (D @ coefficients.to(torch.float64)).to(coefficients.dtype)
        return values.reshape(-1, gammas, values.shape[-1])
