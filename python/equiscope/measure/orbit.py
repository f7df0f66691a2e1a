"""Moments and character projection of one quantity over the orbit of one input, in one pass.

Everything is centred on the value at the identity and accumulated in float64, so that neither a large constant nor
the dtype of the model costs digits: E[u^2] - E[u]^2 is never formed from large numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import mse_loss

from ..errors import ArgumentError
from ..groups.group import Grid, Label
from ..groups.irreps import matrix_count
from ..groups.quadrature import Quadrature
from ..groups.representation import Representation
from ..ops.projection import CharacterProjection, power_and_moments, power_at_once, sector_power
from ..ops.rotation import rotate_copies
from .finite import LARGEST, fault, in_range
from .measure import Moments
from .summary import Cosets, Farthest, NonFiniteValues, OrbitSummary, Parts
from .uncertainty import Found, cut, grid_errors

SLICE_BYTES = {"cpu": 1 << 19, "cuda": 1 << 25}
"""Moments are taken on slices of about this size: large enough to hide the cost of a call, small enough for L2."""

BLOCK_BYTES = {"cpu": 1 << 21, "cuda": 1 << 25}
"""Least size of a block of values that is projected at once."""

RINGS_TOGETHER = 8
"""Rings are projected in multiples of this many: the kernel holds as many points in its lanes."""

READ_AT_ONCE = ("cpu",)
"""Types of device whose values can be looked at without waiting for work in progress."""


def held(grid: Quadrature, lmax: int, first: torch.Tensor) -> tuple[int, int | None]:
    """How many values of one orbit are held until they are projected together, and bytes of coefficients, if any.

    Every projection reads and writes all coefficients once, so a block of values may be as large as they are: then
    neither dominates, and memory does not depend on the number of rotations. Where the whole orbit takes at most a
    quarter more than both, and can be projected at once, which is faster, no coefficients are held.
    """
    coefficients = 2 * matrix_count(lmax) * 8 * first.numel()
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


def rows_of_slice(first: torch.Tensor) -> int:
    """Copies whose moments are taken together, for the value `first` of one copy."""
    return max(1, SLICE_BYTES.get(first.device.type, 0) // max(1, 8 * first.numel()))


class OrbitMoments(Moments):
    """Accumulates the values of one orbit, handed over in grid order by any number of `update` calls.

    `first` is the value at the identity, ``(s, c, components)``; `representation` how it transforms, or None for a
    hidden layer, which gets a spectrum and no equivariance error. Values on a device stay there, and nothing waits for
    it before `finish`. With `reach` the power is resolved up to that degree, above `lmax`, for the sake of its errors.
    """

    def __init__(
        self,
        grid: Quadrature,
        lmax: int,
        first: torch.Tensor,
        representation: Representation | None,
        reach: int | None = None,
    ) -> None:
        self._grid = grid.to(first.device)
        self._rule = grid  # as given: on the host its structure can be looked at
        self._shown = grid.group.chart(lmax)
        self._lmax = lmax = max(lmax, reach or 0)
        self._chart = grid.group.chart(lmax)
        self._representation = representation
        decomposition = None if representation is None else grid.group.decompose(representation)
        self._parts = Parts(self._chart, decomposition, first.device)
        self._shape = tuple(first.shape)
        self._first = first.to(torch.float64)
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
        self._first_bad = torch.full(self._shape[1:2], -1, device=first.device)
        """By channel: the first element with a value that is not in range."""
        self._joined = False
        if representation is not None:
            self._weight_seen = first.new_zeros((), dtype=torch.float64)
            # of each coset
            self._shift = first.new_zeros((grid.cosets, *self._shape), dtype=torch.float64)
            sums = (grid.cosets, len(self._parts.parts), *self._shape[:2])
            self._square = first.new_zeros(sums, dtype=torch.float64)
            self._worst = Farthest(self._first)

    def update(self, values: torch.Tensor) -> None:
        """The values on the next elements of the grid, ``(n, s, c, components)``."""
        self.update_each([values])

    def update_each(self, values: Sequence[torch.Tensor]) -> None:
        start, n = 0, values[0].shape[0]
        self._joined = len(values) > 1
        while start < n:
            room = self._buffer.shape[0]
            if self._projection is not None:
                room = min(room, self._coset_size - self._done % self._coset_size)
            taken = min(room - self._filled, n - start)
            rows = self._buffer[self._filled : self._filled + taken]
            own = [value[start : start + taken] for value in values]
            if len(own) == 1:
                rows.copy_(own[0])
            else:
                torch.cat(own, dim=2, out=rows)
            self._filled += taken
            start += taken
            if self._filled == room:
                self._process()

    def _process(self) -> None:
        start, n = self._done, self._filled
        if self._projection is None:
            self._project_at_once()
        if self._projection is not None or self._representation is not None:
            row = 0
            while row < n:
                # no slice holds elements of both cosets
                left = self._coset_size - (start + row) % self._coset_size
                size = min(self._slice, n - row, left)
                self._add_moments(self._buffer[row : row + size], start + row)
                row += size
        self._look_for_non_finite(start, n)
        if self._projection is not None:
            self._project(self._projection, start, n)
        self._done += n
        self._filled = 0

    def _project_at_once(self) -> None:
        """Power, mean and spread of the whole orbit in one pass."""
        values, center = self._parts.sort(self._buffer), self._parts.sort(self._first)
        power, moments = power_and_moments(values.flatten(1), self._rule, self._lmax, center.reshape(-1))
        # as many as the irreps have, which the symmetry of a tensor makes fewer than its entries
        shape = values.shape[1:]
        drift, square = moments.reshape(2, *shape)
        self._power = power.reshape(*self._chart.shape, *shape)
        self._power[self._trivial] = drift.square()
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
        """Refuse at once where looking is free and nothing else would be lost; else note the place, or leave it to
        `finish`."""
        if self._buffer.device.type not in READ_AT_ONCE:
            # an orbit that is projected at once is still held then
            if self._projection is not None:
                self._note_non_finite(start, n)
        elif not self._is_in_range():
            self._note_non_finite(start, n)
            if not self._joined and (lost := self._noted([self._shape[1]])[0]) is not None:
                raise NonFiniteValues(lost.index, fault(self._buffer[lost.index - start]))

    def _is_in_range(self) -> bool:
        # differences in range have squares in the range of squares, with room for the sums over samples that follow
        return bool((self._spread <= LARGEST**2).all())

    def _note_non_finite(self, start: int, n: int) -> None:
        good = in_range(self._buffer[:n]).flatten(3).all(3).all(1)
        place = torch.where(good.all(0), -1, start + (~good).to(torch.int8).argmax(0))
        self._first_bad = torch.where(self._first_bad < 0, place, self._first_bad)

    def _lost(self, channels: Sequence[int]) -> list[NonFiniteValues | None]:
        """What is wrong with each of some quantities, of so many channels each, once the orbit is complete."""
        if self._projection is None:
            if self._is_in_range():
                return [None] * len(channels)
            self._note_non_finite(0, self._done)
        return self._noted(channels)

    def _noted(self, channels: Sequence[int]) -> list[NonFiniteValues | None]:
        places = [[bad for bad in own.tolist() if bad >= 0] for own in self._first_bad.cpu().split(list(channels))]
        return [NonFiniteValues(min(own)) if own else None for own in places]

    def _add_moments(self, values: torch.Tensor, start: int) -> None:
        wide = values.to(torch.float64)
        weights = self._grid.weights[start : start + values.shape[0]]
        if self._projection is not None:
            self._spread += _weighted(weights, self._squares(wide))
        if self._representation is not None:
            self._back_rotate(wide, weights, start)

    def _squares(self, wide: torch.Tensor) -> torch.Tensor:
        if self._parts.is_sorted:
            # the square of the difference, in one pass
            squares = mse_loss(wide, self._first.expand_as(wide), reduction="none")
        else:
            # in the basis of the power, which may have another norm: Voigt's is not orthonormal
            squares = self._parts.sort(wide - self._first).square()
        return squares.squeeze(-1) if squares.shape[-1] == 1 else squares.sum(-1)

    def _back_rotate(self, wide: torch.Tensor, weights: torch.Tensor, start: int) -> None:
        """Moments of z(g) = rho(g)^-1 u(g), relative to z(identity)."""
        kind = self._representation
        assert kind is not None
        n = wide.shape[0]
        if not kind.is_invariant:
            rotations = self._grid.select(start, start + n)
            rows = wide.reshape(n, -1, kind.components)
            wide = rotate_copies(kind, rows, rotations, inverse=True).reshape(wide.shape)
        centred = wide - self._first
        in_irreps = self._parts.sort(centred).square()
        coset = start // self._coset_size
        for i, square in enumerate(self._square[coset].unbind(0)):
            square.add_(_weighted(weights, self._parts.select(in_irreps, i).sum(-1)))
        self._shift[coset].add_(_weighted(weights, centred))
        self._weight_seen += weights.sum()
        # the mean so far ranks the rotations; the few kept are compared with the final mean in `finish`
        mean = self._shift.sum(0) / self._weight_seen
        flat = centred.reshape(n, -1)
        distance = flat.square().sum(-1) - 2.0 * (flat @ mean.reshape(-1)) + mean.square().sum()
        self._worst.add(distance, centred, start)

    def finish(self) -> OrbitSummary:
        """The result, once every element of the grid was handed over."""
        (found,) = self.finish_each([self._shape[1]])
        if isinstance(found, NonFiniteValues):
            raise found
        return found

    def finish_each(self, channels: Sequence[int]) -> list[OrbitSummary | NonFiniteValues]:
        if self._done != len(self._grid):
            raise RuntimeError(f"orbit has {self._done} of {len(self._grid)} values")
        lost = self._lost(channels)
        if all(lost):
            return [error for error in lost if error is not None]
        return [error or own for error, own in zip(lost, self._summaries(channels, any(lost)), strict=True)]

    def _summaries(self, channels: Sequence[int], some_lost: bool) -> list[OrbitSummary]:
        if self._projection is not None:
            coefficients = self._parts.sort(self._projection.coefficients.unflatten(-1, self._shape))
            cosets = self._grid.cosets
            by_entry = sector_power(coefficients[0], coefficients[1], self._lmax, cosets)
            self._power = by_entry.reshape(*self._chart.shape, *by_entry.shape[2:])
            self._mean = coefficients[:cosets, 0].mean(0) + self._parts.sort(self._first)
        assert self._power is not None
        if some_lost:
            # joined channels have no components
            bad = self._first_bad >= 0
            self._spread[:, bad], self._mean[:, bad], self._power[..., bad, :] = 0.0, 0.0, 0.0
        labels = tuple(range(len(self._chart.shape)))
        beyond = _clamped(self._spread - self._power.sum((*labels, -1)), self._spread)
        power: dict[Label, torch.Tensor] = {}
        for i, part in enumerate(self._parts.parts):
            own = self._parts.select(self._power, i).sum(-1)
            own[self._trivial] = self._parts.select(self._mean, i).square().sum(-1)
            power[part.label] = own
        shown = {label: cut(own, self._chart, self._shown) for label, own in power.items()}
        unresolved = beyond
        if self._shown.lmax < self._chart.lmax:
            unresolved = beyond + torch.stack([p.sum(labels) - shown[x].sum(labels) for x, p in power.items()]).sum(0)
        total = torch.stack([p.sum(labels) for p in shown.values()]).sum(0) + unresolved
        mean, variance, index, deviation, farthest = self._errors()
        components = self._parts.components
        sums = {} if components is None else {key: a * components[key] for key, a in variance.items()}
        symmetrised = self._symmetrised(mean)
        entries = 1 if self._representation is None else self._representation.entries
        found = Found(self._chart, power, beyond, self._spread, total, sums, symmetrised, components or {}, entries)
        errors, averages = grid_errors(self._grid, found, self._shown, channels)
        whole = OrbitSummary(
            self._representation,
            self._grid.degree,
            shown,
            total,
            unresolved,
            mean,
            variance,
            index,
            deviation,
            errors=errors[0],
            components=components,
            cosets=self._halves(),
            worst_value=farthest,
            averages=averages[0],
        )
        return [whole] if len(channels) == 1 else whole.apart(channels, errors, averages)

    @property
    def _trivial(self) -> tuple[int, ...]:
        return self._chart.place(self._chart.labels[0])

    def _symmetrised(self, mean: torch.Tensor | None) -> dict[Label, torch.Tensor]:
        """Power of what transforms as declared; of a layer, of its mean."""
        middle = self._mean if mean is None else self._parts.sort(mean)
        squares = self._parts.sums(middle.square())
        return {part.label: squares[..., i] for i, part in enumerate(self._parts.parts)}

    def _errors(
        self,
    ) -> tuple[torch.Tensor | None, dict[Label, torch.Tensor], int | None, float, torch.Tensor | None]:
        if self._representation is None:
            return None, {}, None, 0.0, None
        moved, squares = self._shift.sum(0), self._square.sum(0)
        shift = self._parts.sort(moved)
        # components mix on the way to the irreps, so that an empty one has the round-off of all
        scale = squares.sum(0) + shift.square().sum(-1)
        variance: dict[Label, torch.Tensor] = {}
        for i, part in enumerate(self._parts.parts):
            drift = self._parts.select(shift, i).square().sum(-1)
            variance[part.label] = non_negative(squares[i] - drift, scale, self._grid) / part.components
        index, deviation, farthest = self._worst.from_mean(moved)
        return self._first + moved, variance, index, deviation, self._first + farthest

    def _halves(self) -> Cosets | None:
        if self._representation is None or self._grid.cosets != 2:
            return None
        # the weights of a coset sum to 1/2
        proper, improper = self._parts.sort(2.0 * self._shift)
        squares = 2.0 * self._square[0].sum(0)
        drift = proper.square().sum(-1)
        variance = non_negative(squares - drift, squares, self._grid)
        return Cosets.of_means(variance, *(self._parts.sort(self._first) + half for half in (proper, improper)))


def non_negative(variance: torch.Tensor, scale: torch.Tensor, grid: Grid) -> torch.Tensor:
    """A variance, without its round-off below 0; refused where it is negative beyond that."""
    round_off = 64.0 * len(grid) * torch.finfo(torch.float64).eps
    if bool((variance < -round_off * scale).any()):
        raise ArgumentError(
            f"degree: expected a rule that resolves the output, got a negative variance "
            f"({float(variance.min()):.3g}) from the signed weights of degree {grid.degree}; "
            "ask for a higher degree"
        )
    return variance.clamp_min(0.0)


def _weighted(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """``sum_g w_g values[g]``."""
    return (weights @ values.reshape(values.shape[0], -1)).reshape(values.shape[1:])


def _clamped(remainder: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Zero where `remainder` is the round-off of a difference of terms of size `scale`."""
    return remainder.masked_fill(remainder.abs() <= 1e-13 * scale, 0.0)
