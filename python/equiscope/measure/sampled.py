"""Moments and character projection of one quantity over independent random elements of O(3), without bias.

With z(g) = rho(g)^-1 u(g) (rho = 1 for a hidden layer) and z0 the value at the identity, only
``v(g) = u(g) - rho(g) z0 = rho(g) (z(g) - z0)`` is sampled: what rho(g) z0 holds is known, and lies in rho's own
irreps. So an equivariant quantity has no sampling error at all, and a small error of symmetry has a small one.
With S_mn = sum_i chi(g_i) D_mn(R_i) v_i and sum_mn D_mn^2 = 2l+1, the sum over pairs i != j of
``(2l+1) chi_i chi_j tr(D(R_i)^T D(R_j)) v_i v_j`` is ``(2l+1) [sum_mn |S_mn|^2 - (2l+1) sum_i |v_i|^2]``. Over n (n-1)
it is an unbiased B_(l, sigma) of v, which can come out negative and is kept so. In rho's own irrep
``|P u|^2 = |P v|^2 + 2 <z0, mean(z) - z0> + |z0|^2``.

The variance with n - 1 is the mean of |z(g) - z(g')|^2 / 2 over all pairs of elements: pairs need no other estimator.
"""

from __future__ import annotations

import torch

from ..groups.irreps import matrix_count as packed_size
from ..groups.representation import Representation
from ..ops.projection import add_projection, sector_power
from ..ops.rotation import rotate_copies
from .orbit import UNDECLARED, NonFiniteValues, OrbitSummary, Sector, basis_change, rows_of_slice
from .random import RandomRotations

GROUPS = 32
"""Groups of the jackknife: with K of them a standard error is itself known to 1 / sqrt(2 (K - 1)), here 13 %."""


def sampled_bytes(lmax: int, first: torch.Tensor) -> int:
    """Memory that the moments of one orbit take, in bytes."""
    return first.numel() * 8 * (2 * packed_size(lmax) + GROUPS)


class SampledMoments:
    """Accumulates the values of one orbit in the order of `grid`; `finish` may be called at any time, and goes on.

    `first` and `representation` as for `OrbitMoments`. The sums behind the variance are kept in `GROUPS` parts,
    element i in part i mod GROUPS: leaving out one at a time (jackknife) gives standard errors.
    """

    def __init__(
        self, grid: RandomRotations, lmax: int, first: torch.Tensor, representation: Representation | None
    ) -> None:
        self.grid = grid
        self._lmax = lmax
        self._kind = representation
        self._blocks = representation.blocks if representation is not None else (UNDECLARED,)
        self._matrix = basis_change(representation, first.device)
        self._first = first.to(torch.float64)
        self._slice = rows_of_slice(first)
        self._done = 0
        groups = GROUPS if representation is not None else 1
        self._sums = self._first.new_zeros((groups, *first.shape))
        self._squares = self._first.new_zeros((groups, *first.shape[:2], len(self._blocks)))
        self._coefficients = self._first.new_zeros((2, packed_size(lmax), first.numel()))
        self._worst: tuple[float, int, torch.Tensor] = (-1.0, 0, self._first)

    def update(self, values: torch.Tensor) -> None:
        """The values on the next elements of the grid, ``(n, s, c, components)``."""
        for part in values.split(self._slice):
            self._add(part)

    def _add(self, values: torch.Tensor) -> None:
        n, kind = values.shape[0], self._kind
        if not bool(torch.isfinite(values).all()):
            bad = ~torch.isfinite(values.reshape(n, -1)).all(dim=1)
            raise NonFiniteValues(self._done + int(bad.to(torch.int8).argmax()))
        elements = self.grid.select(self._done, self._done + n)
        wide = values.to(torch.float64)
        if kind is None or kind.is_invariant:
            turned_back = rest = wide - self._first
        else:
            rows, rotations = (n, -1, *kind.component_shape), elements.to(values.device)
            turned_back = rotate_copies(kind, wide.reshape(rows), rotations, inverse=True).reshape(wide.shape)
            turned_back = turned_back - self._first
            rest = rotate_copies(kind, turned_back.reshape(rows), rotations).reshape(wide.shape)
        group = torch.arange(self._done, self._done + n, device=values.device) % self._sums.shape[0]
        self._sums.index_add_(0, group, turned_back)
        squares = self._by_block(self._in_irreps(turned_back).square())
        self._squares.index_add_(0, group, squares)
        signs = torch.linalg.det(elements).sign()
        for coset, sign in enumerate((1.0, -1.0)):
            chosen = torch.nonzero(signs == sign)[:, 0]
            if chosen.numel():
                own = rest.reshape(n, -1)[chosen.to(rest.device)]
                add_projection(own, sign * elements[chosen], self._lmax, self._coefficients[coset])
        self._done += n
        if kind is not None:
            self._remember_worst(turned_back)

    def _remember_worst(self, turned_back: torch.Tensor) -> None:
        # judged by the mean so far; its deviation is taken from the final mean
        mean = self._sums.sum(0) / self._done
        distance = (turned_back - mean).square().flatten(1).sum(1)
        worst = int(distance.argmax())
        if float(distance[worst]) > self._worst[0]:
            index = self._done - turned_back.shape[0] + worst
            self._worst = (float(distance[worst]), index, turned_back[worst].clone())

    def _in_irreps(self, x: torch.Tensor) -> torch.Tensor:
        return x if self._matrix is None else x @ self._matrix.T

    def _by_block(self, x: torch.Tensor) -> torch.Tensor:
        """Sum over the components of each target irrep, ``(..., components)`` to ``(..., blocks)``."""
        if len(self._blocks) == 1:
            return x.sum(-1, keepdim=True)
        return torch.stack([x[..., block.rows].sum(-1) for block in self._blocks], dim=-1)

    def finish(self) -> OrbitSummary:
        """The result of all elements handed over so far, at least two."""
        n, kind = self._done, self._kind
        shift = self._sums.sum(0) / n
        squares = self._squares.sum(0) / n
        first = self._in_irreps(self._first)
        known = self._by_block(first * (first + 2.0 * self._in_irreps(shift)))
        coefficients = self._in_irreps(self._coefficients.reshape(2, -1, *self._first.shape)) * (2.0 / n)
        sizes = 2.0 * torch.arange(self._lmax + 1, dtype=torch.float64, device=squares.device) + 1.0
        power: dict[Sector, torch.Tensor] = {}
        unresolved = squares.sum(-1)
        for i, block in enumerate(self._blocks):
            own = coefficients[..., block.rows] if len(self._blocks) > 1 else coefficients
            biased = sector_power(*own, self._lmax).sum(-1)
            own_power = (n * biased - sizes.square()[:, None, None, None] * squares[..., i]) / (n - 1)
            unresolved = unresolved - own_power.sum((0, 1))
            if block.lam <= self._lmax:
                own_power[block.lam, (1 - block.sigma) // 2] += known[..., i]
            else:
                unresolved = unresolved + known[..., i]
            power[(block.lam, block.sigma)] = own_power
        # of a sector without content: n^-1 sqrt(2) (2l+1) int |v|^2
        errors = {"power": 2.0**0.5 * sizes * float(squares.sum(-1).mean()) / n}
        total = squares.sum(-1) + known.sum(-1)
        if kind is None:
            return OrbitSummary(kind, None, power, total, unresolved, None, {}, None, 0.0, errors)
        spread = self._spread(n, self._sums.sum(0), self._squares.sum(0))
        variance = {
            (block.lam, block.sigma): spread[..., i].clamp_min(0.0) / block.components
            for i, block in enumerate(self._blocks)
        }
        errors["variance"], errors["irreps"] = self._jackknife(n)
        _, index, value = self._worst
        deviation = float((value - shift).square().mean().sqrt())
        mean = self._first + shift
        return OrbitSummary(kind, None, power, total, unresolved, mean, variance, index, deviation, errors)

    def _spread(self, n: torch.Tensor | int, sums: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
        """``(..., s, c, blocks)``: the unbiased variance of n values, summed over the components of each irrep."""
        return (squares - self._by_block(self._in_irreps(sums).square()) / n) / (n - 1)

    def _jackknife(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Standard errors of the mean variance over samples and channels: of all components, and ``(blocks,)``."""
        counts = (n - torch.arange(GROUPS, device=self._sums.device) + GROUPS - 1) // GROUPS
        left = (n - counts).to(torch.float64)[:, None, None, None]
        without = self._spread(left, self._sums.sum(0) - self._sums, self._squares.sum(0) - self._squares)
        by_block = without.mean((1, 2))
        components = torch.tensor([float(block.components) for block in self._blocks], device=by_block.device)
        every = torch.cat([by_block.sum(1, keepdim=True) / components.sum(), by_block / components], dim=1)
        error = ((GROUPS - 1) / GROUPS * (every - every.mean(0)).square().sum(0)).sqrt()
        return error[0], error[1:]
