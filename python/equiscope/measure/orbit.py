"""Moments and character projection of one quantity over the orbit of one input, in one pass.

Everything is centred on the value at the identity and accumulated in float64, so that neither a large constant nor
the dtype of the model costs digits: E[u^2] - E[u]^2 is never formed from large numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.nn.functional import mse_loss

from ..errors import ArgumentError
from ..groups.irreps import matrix_count as packed_size
from ..groups.quadrature import Quadrature
from ..groups.representation import Block, Representation
from ..ops.projection import CharacterProjection, power_and_moments, power_at_once, sector_power
from ..ops.rotation import rotate_copies

SLICE_BYTES = {"cpu": 1 << 19, "cuda": 1 << 25}
"""Moments are taken on slices of about this size: large enough to hide the cost of a call, small enough for L2."""

BLOCK_BYTES = {"cpu": 1 << 21, "cuda": 1 << 25}
"""Least size of a block of values that is projected at once."""

RINGS_TOGETHER = 8
"""Rings are projected in multiples of this many: the kernel holds as many points in its lanes."""

READ_AT_ONCE = ("cpu",)
"""Types of device whose values can be looked at without waiting for work in progress."""

CANDIDATES = 8
"""Rotations kept as candidates for the worst one until the mean is known."""

UNDECLARED = Block(0, 1, (0,))
"""What values without a representation are taken for: one sector, and nothing to turn back."""

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


def held(grid: Quadrature, lmax: int, first: torch.Tensor) -> tuple[int, int | None]:
    """How many values of one orbit are held until they are projected together, and bytes of coefficients, if any.

    Every projection reads and writes all coefficients once, so a block of values may be as large as they are: then
    neither dominates, and memory does not depend on the number of rotations. Where the whole orbit takes at most a
    quarter more than both, and can be projected at once, which is faster, no coefficients are held.
    """
    coefficients = 2 * packed_size(lmax) * 8 * first.numel()
    block = max(BLOCK_BYTES.get(first.device.type, 0), coefficients)
    one = max(1, first.numel() * first.element_size())
    if len(grid) * one <= 1.25 * (coefficients + block) and power_at_once(grid, lmax, first.device):
        return len(grid), None
    rings = max(block // (grid.gammas * one) // RINGS_TOGETHER, 1) * RINGS_TOGETHER
    return min(grid.rings.shape[0], rings) * grid.gammas, coefficients


def orbit_bytes(grid: Quadrature, lmax: int, first: torch.Tensor) -> int:
    """Memory that the moments of one orbit take, in bytes: coefficients, and values not yet projected."""
    values, coefficients = held(grid, lmax, first)
    return first.nbytes * values + (coefficients or 0)


def basis_change(kind: Representation | None, device: torch.device) -> torch.Tensor | None:
    """From the components of a value to those of the irreps; None where these are the same."""
    if kind is None or kind.irreps is not None or len(kind.blocks) == 1:
        return None
    return kind.matrix.to(device)


def rows_of_slice(first: torch.Tensor) -> int:
    """Copies whose moments are taken together, for the value `first` of one copy."""
    return max(1, SLICE_BYTES.get(first.device.type, 0) // max(1, 8 * first.numel()))


class OrbitMoments:
    """Accumulates the values of one orbit, handed over in grid order by any number of `update` calls.

    `first` is the value at the identity, ``(s, c, components)``; `representation` how it transforms, or None for a
    hidden layer, which gets a spectrum and no equivariance error. Values on a device stay there, and nothing waits for
    it before `finish`.
    """

    def __init__(self, grid: Quadrature, lmax: int, first: torch.Tensor, representation: Representation | None) -> None:
        self._grid = grid.to(first.device)
        self._lmax = lmax
        self._representation = representation
        self._blocks = representation.blocks if representation is not None else (UNDECLARED,)
        self._shape = tuple(first.shape)
        self._first = first.to(torch.float64)
        self._matrix = basis_change(representation, first.device)
        values, coefficients = held(grid, lmax, first)
        self._buffer = first.new_empty((values, *self._shape))
        self._projection: CharacterProjection | None = None
        if coefficients is not None:
            self._projection = CharacterProjection(grid, lmax, first.numel(), device=first.device)
        self._power: torch.Tensor | None = None
        self._slice = rows_of_slice(first)
        self._filled = 0
        self._done = 0
        self._coset_size = grid.rings.shape[0] * grid.gammas
        self._spread = first.new_zeros(self._shape[:2], dtype=torch.float64)
        self._first_bad = torch.full((), -1, device=first.device)
        if representation is not None:
            self._weight_seen = first.new_zeros((), dtype=torch.float64)
            self._shift = torch.zeros_like(self._first)
            self._square = first.new_zeros((len(self._blocks), *self._shape[:2]), dtype=torch.float64)
            self._worst = _Farthest(self._first)

    def update(self, values: torch.Tensor) -> None:
        """The values on the next elements of the grid, ``(n, s, c, components)``."""
        while values.shape[0]:
            room = self._buffer.shape[0]
            if self._projection is not None:
                room = min(room, self._coset_size - self._done % self._coset_size)
            taken = min(room - self._filled, values.shape[0])
            self._buffer[self._filled : self._filled + taken] = values[:taken]
            self._filled += taken
            values = values[taken:]
            if self._filled == room:
                self._process()

    def _process(self) -> None:
        start, n = self._done, self._filled
        if self._projection is None:
            self._project_at_once()
        if self._projection is not None or self._representation is not None:
            for row in range(0, n, self._slice):
                self._add_moments(self._buffer[row : min(row + self._slice, n)], start + row)
        self._look_for_non_finite(start, n)
        if self._projection is not None:
            self._project(self._projection, start, n)
        self._done += n
        self._filled = 0

    def _project_at_once(self) -> None:
        """Power, mean and spread of the whole orbit in one pass."""
        values, center = self._in_irreps(self._buffer), self._in_irreps(self._first)
        power, moments = power_and_moments(values.flatten(1), self._grid, self._lmax, center.reshape(-1))
        drift, square = moments.reshape(2, *self._shape)
        self._power = power.reshape(*power.shape[:2], *self._shape)
        self._power[0, 0] = drift.square()
        self._mean = center + drift
        self._spread = square.sum(-1)

    def _project(self, projection: CharacterProjection, start: int, n: int) -> None:
        coset, offset = divmod(start, self._coset_size)
        gammas = self._grid.gammas
        first_ring = offset // gammas
        projection.update(
            self._buffer[:n].flatten(1).unflatten(0, (-1, gammas)),
            slice(first_ring, first_ring + n // gammas),
            coset,
            center=self._first.reshape(-1),
        )

    def _look_for_non_finite(self, start: int, n: int) -> None:
        """Refuse at once where looking is free; elsewhere note the place, which `finish` refuses."""
        free = self._buffer.device.type in READ_AT_ONCE
        if free and bool(torch.isfinite(self._spread).all()):
            return
        good = torch.isfinite(self._buffer[:n].reshape(n, -1)).all(dim=1)
        place = torch.where(good.all(), -1, start + (~good).to(torch.int8).argmax())
        self._first_bad = torch.where(self._first_bad < 0, place, self._first_bad)
        if free:
            raise NonFiniteValues(int(self._first_bad))

    def _add_moments(self, values: torch.Tensor, start: int) -> None:
        wide = values.to(torch.float64)
        weights = self._grid.weights[start : start + values.shape[0]]
        if self._projection is not None:
            self._spread += _weighted(weights, self._squares(wide))
        if self._representation is not None:
            self._back_rotate(wide, weights, start)

    def _squares(self, wide: torch.Tensor) -> torch.Tensor:
        if self._matrix is None:
            # the square of the difference, in one pass
            squares = mse_loss(wide, self._first.expand_as(wide), reduction="none")
        else:
            # in the basis of the power, which may have another norm: Voigt's is not orthonormal
            squares = self._in_irreps(wide - self._first).square()
        return squares.squeeze(-1) if squares.shape[-1] == 1 else squares.sum(-1)

    def _back_rotate(self, wide: torch.Tensor, weights: torch.Tensor, start: int) -> None:
        """Moments of z(g) = rho(g)^-1 u(g), relative to z(identity)."""
        kind = self._representation
        assert kind is not None
        n = wide.shape[0]
        if not kind.is_invariant:
            rotations = self._grid.select(start, start + n)
            rows = wide.reshape(n, -1, *kind.component_shape)
            wide = rotate_copies(kind, rows, rotations, inverse=True).reshape(wide.shape)
        centred = wide - self._first
        in_irreps = self._in_irreps(centred).square()
        for i, block in enumerate(self._blocks):
            self._square[i] += _weighted(weights, self._rows(in_irreps, block).sum(-1))
        self._shift += _weighted(weights, centred)
        self._weight_seen += weights.sum()
        # the mean so far ranks the rotations; the few kept are compared with the final mean in `finish`
        mean = self._shift / self._weight_seen
        flat = centred.reshape(n, -1)
        distance = flat.square().sum(-1) - 2.0 * (flat @ mean.reshape(-1)) + mean.square().sum()
        self._worst.add(distance, centred, start)

    def _in_irreps(self, x: torch.Tensor) -> torch.Tensor:
        """The components of `x` in the basis of the irreps, where they are in another."""
        return x if self._matrix is None else x.to(torch.float64) @ self._matrix.T

    def _rows(self, x: torch.Tensor, block: Block) -> torch.Tensor:
        """The components of one irrep."""
        return x if len(self._blocks) == 1 else x[..., block.rows]

    def finish(self) -> OrbitSummary:
        """The result, once every element of the grid was handed over."""
        if self._done != len(self._grid):
            raise RuntimeError(f"orbit has {self._done} of {len(self._grid)} values")
        if (bad := int(self._first_bad)) >= 0:
            raise NonFiniteValues(bad)
        if self._projection is not None:
            coefficients = self._in_irreps(self._projection.coefficients.unflatten(-1, self._shape))
            self._power = sector_power(*coefficients, self._lmax)
            self._mean = coefficients[:, 0].mean(0) + self._in_irreps(self._first)
        assert self._power is not None
        unresolved = _clamped(self._spread - self._power.sum((0, 1, -1)), self._spread)
        power = {}
        for block in self._blocks:
            own = self._rows(self._power, block).sum(-1)
            own[0, 0] = self._rows(self._mean, block).square().sum(-1)
            power[block.lam, block.sigma] = own
        total = torch.stack([p.sum((0, 1)) for p in power.values()]).sum(0) + unresolved
        mean, variance, index, deviation = self._errors()
        return OrbitSummary(
            self._representation, self._grid.degree, power, total, unresolved, mean, variance, index, deviation
        )

    def _errors(self) -> tuple[torch.Tensor | None, dict[Sector, torch.Tensor], int | None, float]:
        kind = self._representation
        if kind is None:
            return None, {}, None, 0.0
        shift = self._in_irreps(self._shift)
        # components mix on the way to the irreps, so that an empty one has the round-off of all
        scale = self._square.sum(0) + shift.square().sum(-1)
        variance = {}
        for block, square in zip(self._blocks, self._square, strict=True):
            drift = self._rows(shift, block).square().sum(-1)
            variance[block.lam, block.sigma] = self._non_negative(square - drift, scale, block)
        return self._first + self._shift, variance, *self._worst.from_mean(self._shift)

    def _non_negative(self, variance: torch.Tensor, scale: torch.Tensor, block: Block) -> torch.Tensor:
        round_off = 64.0 * len(self._grid) * torch.finfo(torch.float64).eps * scale
        if bool((variance < -round_off).any()):
            raise ArgumentError(
                f"degree: expected a rule that resolves the output, got a negative variance "
                f"({float(variance.min()):.3g}) from the signed weights of degree {self._grid.degree}; "
                "ask for a higher degree"
            )
        return variance.clamp_min(0.0) / block.components


class _Farthest:
    """The few values of an orbit that lie farthest from the mean so far; they stay on their device."""

    def __init__(self, like: torch.Tensor) -> None:
        self._distances = like.new_empty(0)
        self._places = torch.empty(0, dtype=torch.int64, device=like.device)
        self._values = like.new_empty(0, *like.shape)

    def add(self, distances: torch.Tensor, values: torch.Tensor, start: int) -> None:
        """`values` ``(n, ...)`` on the elements of the grid from `start` on, and how far they are."""
        top = torch.topk(distances, min(CANDIDATES, distances.shape[0]))
        distances = torch.cat([self._distances, top.values])
        self._distances, best = torch.topk(distances, min(CANDIDATES, distances.shape[0]))
        self._places = torch.cat([self._places, start + top.indices])[best]
        self._values = torch.cat([self._values, values[top.indices]])[best]

    def from_mean(self, mean: torch.Tensor) -> tuple[int, float]:
        """Which element lies farthest from `mean`, and its root mean square distance."""
        # the mean of no component at all is NaN
        distances = (self._values - mean).flatten(1).square().mean(1).sqrt().nan_to_num(0.0)
        worst = torch.argmax(distances)
        return int(self._places[worst]), float(distances[worst])


def _weighted(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """``sum_g w_g values[g]``."""
    return (weights @ values.reshape(values.shape[0], -1)).reshape(values.shape[1:])


def _clamped(remainder: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Zero where `remainder` is the round-off of a difference of terms of size `scale`."""
    return torch.where(remainder.abs() <= 1e-13 * scale, torch.zeros_like(remainder), remainder)
