"""Moments of an orbit whose values are all held: the readable definition, for any group.

It serves groups that no operator projects. Beside the streaming accumulators it is what they are compared with.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..groups.group import Grid, Label
from ..groups.representation import Representation
from ..groups.rotations import handedness
from ..ops.rotation import rotate_copies
from .finite import fault, in_range
from .measure import Moments
from .orbit import non_negative
from .summary import Cosets, Farthest, NonFiniteValues, OrbitSummary, Parts
from .uncertainty import Found, cut, grid_errors


class StoredMoments(Moments):
    """Holds the values of one orbit on `grid` and reduces them in `finish`. Memory grows with the grid."""

    def __init__(
        self,
        grid: Grid,
        lmax: int,
        first: torch.Tensor,
        representation: Representation | None,
        reach: int | None = None,
    ) -> None:
        self._grid = grid
        self._shown = grid.group.chart(lmax)
        self._lmax = lmax = max(lmax, reach or 0)
        self._chart = grid.group.chart(lmax)
        self._first = first.to(torch.float64)
        self._representation = representation
        decomposition = None if representation is None else grid.group.decompose(representation)
        self._parts = Parts(self._chart, decomposition, first.device)
        self._values: list[torch.Tensor] = []

    @staticmethod
    def nbytes(grid: Grid, first: torch.Tensor) -> int:
        """Memory that the values of one orbit take, in bytes."""
        return 8 * len(grid) * first.numel()

    def update(self, values: torch.Tensor) -> None:
        good = in_range(values.flatten(1)).all(dim=1)
        if not bool(good.all()):
            seen, bad = sum(map(len, self._values)), int((~good).to(torch.int8).argmax())
            raise NonFiniteValues(seen + bad, fault(values[bad]))
        self._values.append(values.to(torch.float64) - self._first)

    def finish(self) -> OrbitSummary:
        centred, weights = torch.cat(self._values), self._grid.weights.to(self._first.device)
        drift = torch.einsum("g,gsck->sck", weights, centred)
        sorted_values, sorted_first = self._parts.sort(centred), self._parts.sort(self._first)
        around = sorted_values - self._parts.sort(drift)
        spread = self._parts.sums(torch.einsum("g,gsck->sck", weights, around.square()))
        power: dict[Label, torch.Tensor] = {}
        trivial = self._chart.place(self._chart.labels[0])
        for i, part in enumerate(self._parts.parts):
            # without its mean, whose power is known and may be large
            own = self._parts.select(around, i)
            by_label = self._grid.group.power(own.flatten(1), self._grid, self._lmax)
            held = by_label.reshape(*self._chart.shape, *own.shape[1:]).sum(-1)
            mean = self._parts.select(sorted_first + self._parts.sort(drift), i)
            held[trivial] = mean.square().sum(-1)
            power[part.label] = held
        labels = tuple(range(len(self._chart.shape)))
        resolved = torch.stack([p.sum(labels) for p in power.values()]).sum(0)
        total = spread.sum(-1) + (sorted_first + self._parts.sort(drift)).square().sum(-1)
        unresolved = total - resolved
        unresolved = torch.where(unresolved.abs() <= 1e-13 * total, 0.0, unresolved)
        kind, beyond = self._representation, unresolved
        shown = {label: cut(own, self._chart, self._shown) for label, own in power.items()}
        if self._shown.lmax < self._chart.lmax:
            hidden = [own.sum(labels) - shown[label].sum(labels) for label, own in power.items()]
            unresolved = beyond + torch.stack(hidden).sum(0)
        summary = OrbitSummary(kind, self._grid.degree, shown, total, unresolved, None, {}, None, 0.0)
        if kind is not None:
            summary = self._with_errors(kind, summary)
        middle = self._first + drift if summary.mean is None else summary.mean
        squares = self._parts.sums(self._parts.sort(middle).square())
        symmetrised = {part.label: squares[..., i] for i, part in enumerate(self._parts.parts)}
        counts = summary.components or {}
        sums = {label: a * counts[label] for label, a in summary.variance.items()}
        entries = 1 if kind is None else kind.entries
        found = Found(self._chart, power, beyond, spread.sum(-1), total, sums, symmetrised, counts, entries)
        (errors,), (averages,) = grid_errors(self._grid, found, self._shown, [summary.channels])
        return replace(summary, errors=errors, averages=averages)

    def _with_errors(self, kind: Representation, found: OrbitSummary) -> OrbitSummary:
        """Moments of z(g) = rho(g)^-1 u(g), relative to z(identity)."""
        weights = self._grid.weights.to(self._first.device)
        elements = self._grid.select(0, len(self._grid)).to(self._first.device)
        values = torch.cat(self._values) + self._first
        rows = values.reshape(len(values), -1, kind.components)
        centred = rotate_copies(kind, rows, elements, inverse=True).reshape(values.shape) - self._first
        shift = torch.einsum("g,gsck->sck", weights, centred)
        square = self._parts.sums(torch.einsum("g,gsck->sck", weights, self._parts.sort(centred - shift).square()))
        variance: dict[Label, torch.Tensor] = {
            part.label: non_negative(square[..., i], square.sum(-1), self._grid) / part.components
            for i, part in enumerate(self._parts.parts)
        }
        farthest = Farthest(self._first)
        farthest.add((centred - shift).flatten(1).square().sum(1), centred, 0)
        index, deviation, value = farthest.from_mean(shift)
        return replace(
            found,
            mean=self._first + shift,
            variance=variance,
            worst_index=index,
            worst_deviation=deviation,
            worst_value=self._first + value,
            components=self._parts.components,
            cosets=self._halves(elements, weights, self._parts.sort(centred)),
        )

    def _halves(self, elements: torch.Tensor, weights: torch.Tensor, centred: torch.Tensor) -> Cosets | None:
        """From z(g) - z(identity), sorted by irreps."""
        proper = handedness(elements) > 0
        if bool(proper.all()):
            return None
        half = weights * proper
        half, other = half / half.sum(), weights * ~proper / (weights * ~proper).sum()
        means = [torch.einsum("g,gsck->sck", side, centred) for side in (half, other)]
        variance = torch.einsum("g,gsck->sc", half, (centred - means[0]).square()).clamp_min(0.0)
        first = self._parts.sort(self._first)
        found = Cosets.of_means(variance, first + means[0], first + means[1])
        inverts = bool(((elements + elements[:1]).abs().amax((1, 2)) < 1e-6).any())
        return found if inverts or self._grid.group.cosets == 2 else replace(found, overlap=None)
