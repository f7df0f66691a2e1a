"""What one orbit gave, whatever it was averaged by."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import NonFiniteValues as NonFiniteValues
from ..groups.group import Chart, Decomposition, Isotypic, Label
from ..groups.representation import Representation

CANDIDATES = 8
"""Elements kept as candidates for the worst one until the mean is known."""


@dataclass(frozen=True)
class Cosets:
    """The two halves of an orbit; with z(g) = rho(g)^-1 u(g), all ``(s, c)`` and summed over components."""

    variance: torch.Tensor
    """Of z over the proper elements alone."""
    overlap: torch.Tensor | None
    """<P, I> of the means of z over proper and over improper elements; None where the group has no inversion."""
    size: torch.Tensor
    """(|P|^2 + |I|^2) / 2."""

    @classmethod
    def of_means(cls, variance: torch.Tensor, proper: torch.Tensor, improper: torch.Tensor) -> Cosets:
        """From both means ``(s, c, components)``, in the basis of the irreps."""
        size = 0.5 * (proper.square() + improper.square()).sum(-1)
        return cls(variance, (proper * improper).sum(-1), size)


@dataclass(frozen=True)
class Averages:
    """Of one orbit over samples and channels, on the host; 0 of no sample at all."""

    power: torch.Tensor
    """``(*chart.shape,)``, all irreps of the representation together."""
    total: float
    unresolved: float


@dataclass(frozen=True)
class OrbitSummary:
    """What one orbit gave. `s` samples, `c` channels; sums run over components."""

    representation: Representation | None
    degree: int | None
    power: dict[Label, torch.Tensor]
    """Per irrep of the representation ``(*chart.shape, s, c)``, for O(3) ``(lmax + 1, 2, s, c)``; a single entry, of
    the trivial irrep, where no representation is declared."""
    total: torch.Tensor
    """``(s, c)``: int |u|^2."""
    unresolved: torch.Tensor
    """``(s, c)``: total minus all of power."""
    mean: torch.Tensor | None
    """``(s, c, components)``: the symmetrised value."""
    variance: dict[Label, torch.Tensor]
    """Per irrep of the representation ``(s, c)``, divided by its number of components; empty without one."""
    worst_index: int | None
    worst_deviation: float
    errors: dict[str, torch.Tensor] | None = None
    """Half widths that hold the truth in 95 of 100 cases, of averages over samples and channels, on the host, each
    ``(2, ...)``: what is random, so that squares add up over systems, and what has a sign, so that it adds up itself.
    ``power`` (2, *chart.shape), ``unresolved`` (2,), and of A, where a representation is declared, ``variance`` (2,)
    and ``irreps`` (2, parts). None: not known."""
    components: dict[Label, int] | None = None
    """Of each irrep of the representation."""
    cosets: Cosets | None = None
    """Proper and improper elements apart, where the group has both and a representation is declared."""
    target: torch.Tensor | None = None
    """``(s, c, components)``: what the value ought to be, of labelled data."""
    worst_value: torch.Tensor | None = None
    """``(s, c, components)``: z at the element `worst_index`; None: it was not kept."""
    scatter: float = 0.0
    """Variance of `mean` in units of that of one value: 1 / n of n random elements, 0 on a grid."""
    averages: Averages | None = None
    """Where they were calculated already."""

    def known_averages(self) -> Averages:
        """`averages`, from what they are of where there are none."""
        if self.averages is not None:
            return self.averages
        shape = next(iter(self.power.values())).shape[:-2]
        if not self.total.numel():
            return Averages(torch.zeros(shape, dtype=torch.float64), 0.0, 0.0)
        every = [self.total_power.mean((-2, -1)).reshape(-1), self.total.mean()[None], self.unresolved.mean()[None]]
        *power, total, unresolved = torch.cat(every).tolist()
        return Averages(torch.tensor(power, dtype=torch.float64).reshape(shape), total, unresolved)

    def known_errors(self) -> dict[str, torch.Tensor]:
        """`errors`; where these are not known, all that is unresolved may be missing, or counted, anywhere."""
        if self.errors is not None:
            return self.errors
        linear = self.unresolved.clamp_min(0.0).mean().cpu()
        shape = next(iter(self.power.values())).shape[:-2]
        errors = {"power": linear.expand(shape), "unresolved": linear}
        if self.components is not None:
            assert self.representation is not None
            errors["variance"] = linear / self.representation.entries
            errors["irreps"] = torch.stack([linear / n for n in self.components.values()])
        return {key: torch.stack([torch.zeros_like(value), value]) for key, value in errors.items()}

    @property
    def samples(self) -> int:
        return self.total.shape[0]

    @property
    def channels(self) -> int:
        return self.total.shape[1]

    @property
    def total_power(self) -> torch.Tensor:
        """``(*chart.shape, s, c)``, all irreps of the representation together."""
        return torch.stack(list(self.power.values())).sum(0)

    def restricted(self, irrep: Label) -> OrbitSummary:
        """The power of one irrep alone; total and unresolved stay those of the whole."""
        return replace(self, power={irrep: self.power[irrep]}, averages=None)

    def apart(
        self, channels: Sequence[int], errors: Sequence[dict[str, torch.Tensor]], averages: Sequence[Averages]
    ) -> list[OrbitSummary]:
        """Of hidden layers that were accumulated together: each with its channels, errors and averages."""
        sizes = list(channels)
        by_label = zip(*(power.split(sizes, -1) for power in self.power.values()), strict=True)
        powers = [dict(zip(self.power, own, strict=True)) for own in by_label]
        totals, unresolved = self.total.split(sizes, 1), self.unresolved.split(sizes, 1)
        every = zip(powers, totals, unresolved, errors, averages, strict=True)
        return [replace(self, power=p, total=t, unresolved=u, errors=e, averages=a) for p, t, u, e, a in every]

    @functools.cached_property
    def total_variance(self) -> torch.Tensor:
        """``(s, c)``: A of all components together, divided by their number (`Representation.entries`)."""
        assert self.components is not None and self.representation is not None
        weighted = [a * self.components[irrep] for irrep, a in self.variance.items()]
        return torch.stack(weighted).sum(0) / self.representation.entries


class Parts:
    """The components of a value, sorted by the irreps of a representation; all in one where none is declared."""

    def __init__(self, chart: Chart, decomposition: Decomposition | None, device: torch.device) -> None:
        self.declared = decomposition is not None
        undeclared = (Isotypic(chart.labels[0], (0,)),)
        self.parts = decomposition.parts if decomposition is not None else undeclared
        self._matrix: torch.Tensor | None = None
        if decomposition is not None and decomposition.matrix is not None:
            self._matrix = decomposition.matrix.to(device)
        # a run is a slice, which a device takes without fetching an index from the host
        self._rows = [_as_run(part.rows, device) for part in self.parts]

    @property
    def components(self) -> dict[Label, int] | None:
        """Of each irrep."""
        return {part.label: part.components for part in self.parts} if self.declared else None

    @property
    def is_sorted(self) -> bool:
        """Whether the components lie in the basis of the irreps as they are."""
        return self._matrix is None

    def sort(self, x: torch.Tensor) -> torch.Tensor:
        """The last axis of `x` in the basis of the irreps, where it is in another."""
        return x if self._matrix is None else x.to(torch.float64) @ self._matrix.T

    def select(self, x: torch.Tensor, i: int) -> torch.Tensor:
        """The sorted components of part `i`."""
        return x if len(self.parts) == 1 else x[..., self._rows[i]]

    def sums(self, x: torch.Tensor) -> torch.Tensor:
        """Sums over the sorted components of each part, ``(..., components)`` to ``(..., parts)``."""
        if len(self.parts) == 1:
            return x.sum(-1, keepdim=True)
        return torch.stack([self.select(x, i).sum(-1) for i in range(len(self.parts))], dim=-1)


def _as_run(rows: tuple[int, ...], device: torch.device) -> slice | torch.Tensor:
    start = rows[0] if rows else 0
    if rows == tuple(range(start, start + len(rows))):
        return slice(start, start + len(rows))
    return torch.tensor(rows, device=device)


class Farthest:
    """The few values of an orbit that lie farthest from the mean so far; they stay on their device."""

    def __init__(self, like: torch.Tensor) -> None:
        self._distances = like.new_empty(0)
        self._places = torch.empty(0, dtype=torch.int64, device=like.device)
        self._values = like.new_empty(0, *like.shape)

    def add(self, distances: torch.Tensor, values: torch.Tensor, start: int) -> None:
        """`values` ``(n, ...)`` on the elements from `start` on, and how far they are."""
        top = torch.topk(distances, min(CANDIDATES, distances.shape[0]))
        distances = torch.cat([self._distances, top.values])
        self._distances, best = torch.topk(distances, min(CANDIDATES, distances.shape[0]))
        self._places = torch.cat([self._places, start + top.indices]).index_select(0, best)
        self._values = torch.cat([self._values, values.index_select(0, top.indices)]).index_select(0, best)

    def from_mean(self, mean: torch.Tensor) -> tuple[int, float, torch.Tensor]:
        """Which element lies farthest from `mean`, its root mean square distance, and its value."""
        # the mean of no component at all is NaN
        distances = (self._values - mean).flatten(1).square().mean(1).sqrt().nan_to_num(0.0)
        worst = int(torch.argmax(distances))
        return int(self._places[worst]), float(distances[worst]), self._values[worst]
