"""Moments and character projection of one quantity over random elements of O(3): unbiased, with their standard error.

For m independent pairs R, -R let u+, u- be the values at a pair and z+, z- those rotated back. With p = (z+ + z-)/2,

    A = mean (|z+|^2 + |z-|^2)/2 - [mean p]^2,      [mean p]^2 = (m |mean p|^2 - mean |p|^2) / (m - 1),

and with w = (u+ + sigma (-1)^l u-)/2, since every D^l has sum_mn D_mn^2 = 2l+1,

    B_(l, sigma) = (2l+1) (m sum_mn |mean D_mn w|^2 - (2l+1) mean |w|^2) / (m - 1):

both are means over pairs of different elements, so right in expectation for every m. A is never negative; an estimate
of B may be, where it is smaller than its error. That A is also 1/2 the mean of |z - z'|^2 over independent g, g' gives
no cheaper way to it: that mean over all pairs is the same number.
"""

from __future__ import annotations

import torch

from ..ops._dispatch import kernels
from ..ops._native import packed_size
from ..ops.projection import sector_power
from ..so3.representation import Representation
from ..so3.sampling import RandomElements
from .orbit import NonFiniteValues, OrbitSummary, Sector, _Farthest

STEP = 8
"""Elements are taken up in multiples of this many: four pairs, the smallest block whose mean says how A scatters."""

MOST_BLOCKS = 64
"""Twice as many blocks are joined two by two, so that memory does not grow with the number of elements."""


def sampled_bytes(lmax: int, first: torch.Tensor) -> int:
    """Memory that the moments of one orbit take, in bytes."""
    return first.numel() * 8 * (2 * packed_size(lmax) + MOST_BLOCKS)


class SampledMoments:
    """Accumulates values on elements of a `RandomElements` in order, and may end after any multiple of `STEP`.

    `first` is the value at the identity, ``(s, c, components)``, on which everything is centred.
    """

    def __init__(
        self, grid: RandomElements, lmax: int, first: torch.Tensor, representation: Representation | None
    ) -> None:
        self._grid = grid.to(first.device)
        self._proper = grid.to("cpu").proper
        self._lmax = lmax
        self._kind = representation
        self._first = first.to(torch.float64)
        self._coefficients = self._first.new_zeros(2, packed_size(lmax), first.numel())
        self._sectors: list[tuple[Sector, slice | list[int]]] = [((0, 1), slice(None))]
        self._matrix = None
        if representation is not None:
            self._matrix = representation.matrix.to(first.device) if len(representation.blocks) > 1 else None
            self._sectors = [
                ((b.lam, b.sigma), list(b.rows) if self._matrix is not None else slice(None))
                for b in representation.blocks
            ]
        shape = (len(self._sectors), *first.shape[:2])
        self._joint, self._square = (self._first.new_zeros(shape) for _ in range(2))
        self._mean_square, self._back_square = (self._first.new_zeros(shape) for _ in range(2))
        self._sum, self._back_sum = torch.zeros_like(self._first), torch.zeros_like(self._first)
        self._worst = _Farthest(self._first)
        self._block_pairs = STEP // 2
        self._blocks: list[tuple[torch.Tensor, torch.Tensor, int]] = []
        """Per block: sums over its pairs of the mean square of z and of p, and the number of pairs."""
        self._rest = first[:0].new_empty(0, *first.shape)
        self.done = 0
        """Elements taken up."""

    def update(self, values: torch.Tensor) -> None:
        """The values on the next elements, ``(n, s, c, components)``."""
        values = torch.cat([self._rest, values])
        whole = values.shape[0] // STEP * STEP
        self._rest = values[whole:].clone()
        if whole:
            self._take(values[:whole])

    def _take(self, values: torch.Tensor) -> None:
        start, n = self.done, values.shape[0]
        if not bool(torch.isfinite(values).all()):
            bad = ~torch.isfinite(values.flatten(1)).all(dim=1)
            raise NonFiniteValues(start + int(bad.to(torch.int8).argmax()))
        wide = values.to(torch.float64)
        rings = self._proper[start // 2 : (start + n) // 2]
        ones = torch.ones(len(rings), dtype=torch.float64)
        center = self._first.reshape(-1)
        for coset in (0, 1):
            own = wide[coset::2].reshape(len(rings), 1, -1)
            kernels(own.device).project(own, rings, ones, self._lmax, center, self._coefficients[coset])
        centred = wide - self._first
        self._sum += centred.sum(0)
        pairs = centred.unflatten(0, (-1, 2))
        self._square += self._by_sector(centred)
        self._joint += self._by_sector(pairs.mean(1))
        if self._kind is not None:
            self._take_back_rotated(wide, start)
        self.done += n

    def _by_sector(self, values: torch.Tensor) -> torch.Tensor:
        """``(sectors, s, c)``: squares summed over the first axis and the components of each target irrep."""
        squares = (values @ self._matrix.T if self._matrix is not None else values).square().sum(0)
        return torch.stack([squares[..., rows].sum(-1) for _, rows in self._sectors])

    def _take_back_rotated(self, wide: torch.Tensor, start: int) -> None:
        kind, n = self._kind, wide.shape[0]
        assert kind is not None
        if not kind.is_invariant:
            rows = wide.reshape(n, -1, *kind.component_shape)
            rotations = self._grid.select(start, start + n)
            wide = kind.rotate_copies(rows, rotations, inverse=True).reshape(wide.shape)
        centred = wide - self._first
        joint = centred.unflatten(0, (-1, 2)).mean(1)
        self._back_square += self._by_sector(centred)
        self._mean_square += self._by_sector(joint)
        self._back_sum += joint.sum(0)
        squares = centred.square().flatten(1).mean(1).reshape(-1, STEP).sum(1) / 2
        sums = joint.unflatten(0, (-1, STEP // 2)).sum(1)
        for square, own in zip(squares, sums, strict=True):
            self._add_block(square, own)
        mean = self._back_sum / (0.5 * (start + n))
        self._worst.add((centred - mean).square().flatten(1).sum(1), centred, start)

    def _add_block(self, square: torch.Tensor, own: torch.Tensor) -> None:
        """Four more pairs: to the last block while that is not full, else to a new one."""
        if self._blocks and self._blocks[-1][2] < self._block_pairs:
            last = self._blocks.pop()
            self._blocks.append((last[0] + square, last[1] + own, last[2] + STEP // 2))
        else:
            self._blocks.append((square, own, STEP // 2))
        if len(self._blocks) == 2 * MOST_BLOCKS and self._blocks[-1][2] == self._block_pairs:
            pairs = zip(self._blocks[::2], self._blocks[1::2], strict=True)
            self._blocks = [(a[0] + b[0], a[1] + b[1], a[2] + b[2]) for a, b in pairs]
            self._block_pairs *= 2

    def variance_by_block(self) -> torch.Tensor:
        """``(blocks,)``: A, averaged over samples, channels and components, as each full block of pairs alone sees it.

        They scatter about A as their number of pairs says, because the mean of all pairs is hardly theirs.
        """
        mean = self._back_sum / (0.5 * self.done)
        own = [
            square / pairs - 2.0 * (sums / pairs * mean).mean() + mean.square().mean()
            for square, sums, pairs in self._blocks
            if pairs == self._block_pairs
        ]
        return torch.stack(own) if own else self._first.new_empty(0)

    def finish(self) -> OrbitSummary:
        """The result of what was taken up."""
        pairs, lmax = self.done / 2, self._lmax
        coefficients = self._coefficients.reshape(2, -1, *self._first.shape) / pairs
        first, mean = self._first, self._sum / self.done
        if self._matrix is not None:
            coefficients, first, mean = (x @ self._matrix.T for x in (coefficients, first, mean))
        square, joint = self._square / self.done, self._joint / pairs
        power: dict[Sector, torch.Tensor] = {}
        total = torch.zeros_like(square[0])
        for i, (sector, rows) in enumerate(self._sectors):
            found = sector_power(*coefficients[..., rows], lmax).sum(-1)
            for l in range(lmax + 1):
                # sigma (-1)^l = +1 joins the cosets by their sum, -1 by their difference
                both = torch.stack([joint[i], square[i] - joint[i]])
                bias = (2 * l + 1) ** 2 * (both.flip(0) if l % 2 else both)
                found[l] = (pairs * found[l] - bias) / (pairs - 1.0)
            shift = (2.0 * first[..., rows] * mean[..., rows] + first[..., rows].square()).sum(-1)
            found[0, 0] += shift
            power[sector] = found
            total += square[i] + shift
        unresolved = total - torch.stack([p.sum((0, 1)) for p in power.values()]).sum(0)
        if self._kind is None:
            return OrbitSummary(None, None, power, total, unresolved, None, {}, None, 0.0)
        return OrbitSummary(
            self._kind,
            None,
            power,
            total,
            unresolved,
            self._first + self._back_sum / pairs,
            self._variance(pairs),
            *self._worst.from_mean(self._back_sum / pairs),
            self.variance_by_block(),
        )

    def _variance(self, pairs: float) -> dict[Sector, torch.Tensor]:
        mean = self._by_sector((self._back_sum / pairs).unsqueeze(0))
        of_mean = (pairs * mean - self._mean_square / pairs) / (pairs - 1.0)
        variance = (self._back_square / (2.0 * pairs) - of_mean).clamp_min(0.0)
        assert self._kind is not None
        return {(b.lam, b.sigma): variance[i] / b.components for i, b in enumerate(self._kind.blocks)}


def standard_error(blocks: torch.Tensor) -> float:
    """Of the mean of independent blocks; NaN of fewer than two."""
    return float(blocks.std() / len(blocks) ** 0.5) if len(blocks) > 1 else float("nan")
