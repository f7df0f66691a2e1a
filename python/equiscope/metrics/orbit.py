"""Moments and character projection of one quantity over the orbit of one input, in one pass.

Everything is centred on the value at the identity and accumulated in float64, so that neither a large constant nor
the dtype of the model costs digits: E[u^2] - E[u]^2 is never formed from large numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.nn.functional import mse_loss

from ..errors import ArgumentError
from ..ops.projection import CharacterProjection, sector_power
from ..so3.quadrature import Quadrature
from ..so3.representation import Block, Representation

SLICE_BYTES = 1 << 19
"""Moments are taken on slices of about this size: large enough to hide the cost of a call, small enough for L2."""

BLOCK_BYTES = 1 << 21
"""Least size of a block of values that is projected at once."""

RINGS_TOGETHER = 8
"""Rings are projected in multiples of this many: the kernel holds as many points in its lanes."""

CANDIDATES = 8
"""Rotations kept as candidates for the worst one until the mean is known."""

Sector = tuple[int, int]


class NonFiniteValues(ArithmeticError):
    """The value at grid element `index` is NaN or infinite."""

    def __init__(self, index: int) -> None:
        super().__init__(f"non-finite value at grid element {index}")
        self.index = index


@dataclass(frozen=True)
class OrbitSummary:
    """What one orbit gave. `s` samples, `c` channels; sums run over components."""

    representation: Representation | None
    degree: int | None
    power: dict[Sector, torch.Tensor]
    """Per target irrep ``(lmax + 1, 2, s, c)``; a single entry (0, +1) where no representation is declared."""
    total: torch.Tensor
    """``(s, c)``: int |u|^2."""
    unresolved: torch.Tensor
    """``(s, c)``: total minus all of power."""
    mean: torch.Tensor | None
    """``(s, c, components)``: the symmetrised value."""
    variance: dict[Sector, torch.Tensor]
    """Per target irrep ``(s, c)``, divided by its number of components; empty without a representation."""
    worst_index: int | None
    worst_deviation: float
    errors: dict[str, torch.Tensor] | None = None
    """Standard errors where rotations are sampled: ``variance`` () and ``irreps`` (blocks,) of A averaged over samples
    and channels (absent without a representation), ``power`` (lmax + 1,) of a sector of degree l without content."""

    @property
    def samples(self) -> int:
        return self.total.shape[0]

    @property
    def channels(self) -> int:
        return self.total.shape[1]

    @property
    def total_power(self) -> torch.Tensor:
        """``(lmax + 1, 2, s, c)``, all target irreps together."""
        return torch.stack(list(self.power.values())).sum(0)

    def restricted(self, irrep: Sector) -> OrbitSummary:
        """The power of one target irrep alone; total and unresolved stay those of the whole."""
        return replace(self, power={irrep: self.power[irrep]})

    @property
    def total_variance(self) -> torch.Tensor:
        """``(s, c)``: A of all components together, divided by their number."""
        assert self.representation is not None
        sizes = {(b.lam, b.sigma): b.components for b in self.representation.blocks}
        weighted = [a * sizes[sector] for sector, a in self.variance.items()]
        return torch.stack(weighted).sum(0) / sum(sizes.values())


class OrbitMoments:
    """Accumulates the values of one orbit, handed over in grid order by any number of `update` calls.

    `first` is the value at the identity, ``(s, c, components)``; `representation` how it transforms, or None for a
    hidden layer, which gets a spectrum and no equivariance error.
    """

    def __init__(
        self, grid: Quadrature, lmax: int, first: torch.Tensor, representation: Representation | None
    ) -> None:
        self._grid = grid
        self._lmax = lmax
        self._representation = representation
        self._shape = tuple(first.shape)
        self._width = first.numel()
        self._first = first.to(torch.float64)
        self._center = self._first.reshape(-1)
        self._projection = CharacterProjection(grid, lmax, self._width, device=first.device)
        points = grid.rings.shape[0]
        # Every projection reads and writes all coefficients once, so a block of values may be as large as they are:
        # then neither dominates, and memory does not depend on the number of rotations.
        coefficients = self._projection.coefficients
        ring_bytes = max(1, grid.gammas * self._width * first.element_size())
        rings = max(BLOCK_BYTES, coefficients.numel() * coefficients.element_size()) // ring_bytes
        rings = max(rings // RINGS_TOGETHER, 1) * RINGS_TOGETHER
        self._buffer = first.new_empty((min(points, rings) * grid.gammas, *self._shape))
        self._slice = max(1, SLICE_BYTES // max(1, 8 * self._width))
        self._filled = 0
        self._done = 0
        self._coset_size = points * grid.gammas
        self._weights = grid.weights.to(first.device)
        self._spread = first.new_zeros(self._shape[:2], dtype=torch.float64)
        self._candidates: list[tuple[float, int, torch.Tensor]] = []
        if representation is not None:
            self._weight_seen = 0.0
            self._shift = torch.zeros_like(self._first)
            self._square = first.new_zeros((len(representation.blocks), *self._shape[:2]), dtype=torch.float64)

    def update(self, values: torch.Tensor) -> None:
        """The values on the next elements of the grid, ``(n, s, c, components)``."""
        while values.shape[0]:
            in_coset = self._coset_size - self._done % self._coset_size
            room = min(self._buffer.shape[0], in_coset) - self._filled
            taken = min(room, values.shape[0])
            self._buffer[self._filled : self._filled + taken] = values[:taken]
            self._filled += taken
            values = values[taken:]
            if taken == room:
                self._process()

    def _process(self) -> None:
        start, n = self._done, self._filled
        for row in range(0, n, self._slice):
            self._add_moments(self._buffer[row : min(row + self._slice, n)], start + row)
        if not bool(torch.isfinite(self._spread).all()):
            bad = ~torch.isfinite(self._buffer[:n].reshape(n, -1)).all(dim=1)
            raise NonFiniteValues(start + int(bad.to(torch.int8).argmax()))
        coset, offset = divmod(start, self._coset_size)
        gammas = self._grid.gammas
        first_ring = offset // gammas
        self._projection.update(
            self._buffer[:n].reshape(n // gammas, gammas, self._width),
            slice(first_ring, first_ring + n // gammas),
            coset,
            center=self._center,
        )
        self._done += n
        self._filled = 0

    def _add_moments(self, values: torch.Tensor, start: int) -> None:
        n = values.shape[0]
        wide = values.to(torch.float64)
        weights = self._weights[start : start + n]
        # the square of the difference, in one pass
        squares = mse_loss(wide, self._first.expand_as(wide), reduction="none")
        if self._representation is not None and self._representation.name == "voigt":
            # the power is that of the tensor, which holds what stands beside its diagonal twice
            squares = ((wide - self._first) @ self._representation.matrix.to(wide.device).T).square()
        squares = squares.squeeze(-1) if squares.shape[-1] == 1 else squares.sum(-1)
        self._spread += _weighted(weights, squares)
        if self._representation is not None:
            self._back_rotate(wide, squares, weights, start)

    def _back_rotate(self, wide: torch.Tensor, squares: torch.Tensor, weights: torch.Tensor, start: int) -> None:
        """Moments of z(g) = rho(g)^-1 u(g), relative to z(identity)."""
        kind = self._representation
        assert kind is not None
        n = wide.shape[0]
        if not kind.is_invariant:
            rotations = self._grid.select(start, start + n).to(wide.device)
            rows = wide.reshape(n, -1, *kind.component_shape)
            wide = kind.rotate_copies(rows, rotations, inverse=True).reshape(wide.shape)
        centred = wide - self._first
        if not kind.is_invariant:
            squares = centred.square().sum(-1)
        if len(kind.blocks) == 1:
            self._square[0] += _weighted(weights, squares)
        else:
            in_irreps = (centred @ kind.matrix.to(centred.device).T).square()
            for i, block in enumerate(kind.blocks):
                self._square[i] += _weighted(weights, in_irreps[..., block.rows].sum(-1))
        self._shift += _weighted(weights, centred)
        self._weight_seen += float(weights.sum())
        self._remember_worst(centred, squares, start)

    def _remember_worst(self, centred: torch.Tensor, squares: torch.Tensor, start: int) -> None:
        # the mean so far ranks the rotations; the few kept are compared with the final mean in `finish`
        mean = self._shift / self._weight_seen
        flat = centred.reshape(centred.shape[0], -1)
        distance = squares.reshape(flat.shape[0], -1).sum(-1) - 2.0 * (flat @ mean.reshape(-1))
        distance = distance + mean.square().sum()
        top = torch.topk(distance, min(CANDIDATES, distance.shape[0]))
        floor = self._candidates[-1][0] if len(self._candidates) == CANDIDATES else -1.0
        for value, index in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            if value > floor:
                self._candidates.append((value, start + index, centred[index].clone()))
        self._candidates = sorted(self._candidates, key=lambda entry: -entry[0])[:CANDIDATES]

    def finish(self) -> OrbitSummary:
        """The result, once every element of the grid was handed over."""
        if self._done != len(self._grid):
            raise RuntimeError(f"orbit has {self._done} of {len(self._grid)} values")
        kind = self._representation
        blocks = kind.blocks if kind is not None else (None,)
        coefficients = self._projection.coefficients.reshape(2, -1, *self._shape)
        center = self._first
        if len(blocks) > 1:
            assert kind is not None
            matrix = kind.matrix.to(center.device)
            coefficients, center = coefficients @ matrix.T, center @ matrix.T
        centred_power, power = {}, {}
        for block in blocks:
            rows = block.rows if block is not None and len(blocks) > 1 else slice(None)
            sector = (block.lam, block.sigma) if block is not None else (0, 1)
            own = coefficients[..., rows]
            centred_power[sector] = sector_power(*own, self._lmax).sum(-1)
            power[sector] = centred_power[sector].clone()
            mean = own[:, 0].mean(0) + center[..., rows]
            power[sector][0, 0] = mean.square().sum(-1)
        resolved = torch.stack([p.sum((0, 1)) for p in centred_power.values()]).sum(0)
        unresolved = _clamped(self._spread - resolved, self._spread)
        total = torch.stack([p.sum((0, 1)) for p in power.values()]).sum(0) + unresolved
        mean, variance, index, deviation = self._errors()
        return OrbitSummary(
            kind, self._grid.degree, power, total, unresolved, mean, variance, index, deviation
        )

    def _errors(self) -> tuple[torch.Tensor | None, dict[Sector, torch.Tensor], int | None, float]:
        kind = self._representation
        if kind is None:
            return None, {}, None, 0.0
        shift = self._shift if len(kind.blocks) == 1 else self._shift @ kind.matrix.to(self._shift.device).T
        variance = {}
        for block, square in zip(kind.blocks, self._square, strict=True):
            rows = block.rows if len(kind.blocks) > 1 else slice(None)
            drift = shift[..., rows].square().sum(-1)
            variance[(block.lam, block.sigma)] = self._non_negative(square - drift, square + drift, block)
        index, deviation = None, -1.0
        for _, candidate, value in self._candidates:
            distance = float((value - self._shift).square().mean().sqrt()) if value.numel() else 0.0
            if distance > deviation:
                index, deviation = candidate, distance
        return self._first + self._shift, variance, index, max(deviation, 0.0)

    def _non_negative(self, variance: torch.Tensor, scale: torch.Tensor, block: Block) -> torch.Tensor:
        n = len(self._grid)
        round_off = 64.0 * n * torch.finfo(torch.float64).eps * scale
        if bool((variance < -round_off).any()):
            raise ArgumentError(
                f"degree: expected a rule that resolves the output, got a negative variance "
                f"({float(variance.min()):.3g}) from the signed weights of degree {self._grid.degree}; "
                "ask for a higher degree"
            )
        return variance.clamp_min(0.0) / block.components


def _weighted(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """``sum_g w_g values[g]``."""
    return (weights @ values.reshape(values.shape[0], -1)).reshape(values.shape[1:])


def _clamped(remainder: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Zero where `remainder` is the round-off of a difference of terms of size `scale`."""
    return torch.where(remainder.abs() <= 1e-13 * scale, torch.zeros_like(remainder), remainder)
