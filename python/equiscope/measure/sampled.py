"""Moments and character projection of one quantity over independent random elements of a group, without bias.

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

import math

import torch

from ..groups.group import Group, Label
from ..groups.irreps import matrix_count
from ..groups.representation import Representation
from ..groups.rotations import handedness
from ..ops.projection import add_projection, sector_power
from ..ops.rotation import rotate_copies
from .elements import RandomRotations
from .finite import fault, in_range
from .measure import Elements, Moments
from .orbit import rows_of_slice
from .summary import Cosets, Farthest, NonFiniteValues, OrbitSummary, Parts
from .uncertainty import HALF_WIDTH

GROUPS = 32
"""Groups of the jackknife: with K of them a standard error is itself known to 1 / sqrt(2 (K - 1)), here 13 %."""


def sampled_bytes(elements: RandomRotations, lmax: int, first: torch.Tensor) -> int:
    """Memory that the moments of one orbit take, in bytes."""
    held = 2 * matrix_count(lmax) if elements.group.cosets else len(elements)
    return first.numel() * 8 * (held + GROUPS)


class SampledMoments(Moments):
    """Accumulates the values of one orbit in the order of `grid`; `finish` may be called at any time, and goes on.

    `first` and `representation` as for `OrbitMoments`. The sums behind the variance are kept in `GROUPS` parts,
    element i in part i mod GROUPS: leaving out one at a time (jackknife) gives standard errors.
    """

    def __init__(
        self, grid: RandomRotations, lmax: int, first: torch.Tensor, representation: Representation | None
    ) -> None:
        self.grid: Elements = grid
        self._chart = grid.group.chart(lmax)
        self._kind = representation
        decomposition = None if representation is None else grid.group.decompose(representation)
        self._parts = Parts(self._chart, decomposition, first.device)
        self._first = first.to(torch.float64)
        self._slice = rows_of_slice(first)
        self._done = 0
        self._sums = self._first.new_zeros((GROUPS, *first.shape))
        self._squares = self._first.new_zeros((GROUPS, *first.shape[:2], len(self._parts.parts)))
        self._halves = Halves(self._first, self._parts) if representation is not None else None
        self._inverts = grid.group.cosets == 2
        pairs = PairsByCoefficients if grid.group.cosets else PairsByCharacters
        self._pairs = pairs(grid.group, lmax, self._first)
        self._worst = Farthest(self._first)

    def extend(self, elements: Elements) -> None:
        self.grid = elements

    def update(self, values: torch.Tensor) -> None:
        """The values on the next elements of the grid, ``(n, s, c, components)``."""
        for part in values.split(self._slice):
            self._add(part)

    def _add(self, values: torch.Tensor) -> None:
        n, kind = values.shape[0], self._kind
        good = in_range(values.reshape(n, -1)).all(dim=1)
        if not bool(good.all()):
            bad = int((~good).to(torch.int8).argmax())
            raise NonFiniteValues(self._done + bad, fault(values[bad]))
        elements = self.grid.select(self._done, self._done + n)
        wide = values.to(torch.float64)
        if kind is None or kind.is_invariant:
            turned_back = rest = wide - self._first
        else:
            rows, rotations = (n, -1, kind.components), elements.to(values.device)
            turned_back = rotate_copies(kind, wide.reshape(rows), rotations, inverse=True).reshape(wide.shape)
            turned_back = turned_back - self._first
            rest = rotate_copies(kind, turned_back.reshape(rows), rotations).reshape(wide.shape)
        group = torch.arange(self._done, self._done + n, device=values.device) % self._sums.shape[0]
        self._sums.index_add_(0, group, turned_back)
        squares = self._parts.sums(self._parts.sort(turned_back).square())
        self._squares.index_add_(0, group, squares)
        if self._halves is not None:
            self._halves.add(turned_back, squares.sum(-1), handedness(elements).to(values.device))
        self._pairs.add(rest.reshape(n, -1), elements)
        self._done += n
        if kind is not None:
            self._remember_worst(turned_back)

    def _remember_worst(self, turned_back: torch.Tensor) -> None:
        # the mean so far ranks the elements; the few kept are compared with the final mean in `finish`
        mean = self._sums.sum(0) / self._done
        distance = (turned_back - mean).square().flatten(1).sum(1)
        self._worst.add(distance, turned_back, self._done - turned_back.shape[0])

    def finish(self) -> OrbitSummary:
        """The result of all elements handed over so far, at least two."""
        n, kind = self._done, self._kind
        shift = self._sums.sum(0) / n
        squares = self._squares.sum(0) / n
        first = self._parts.sort(self._first)
        known = self._parts.sums(first * (first + 2.0 * self._parts.sort(shift)))
        power: dict[Label, torch.Tensor] = {}
        unresolved = squares.sum(-1)
        labels = tuple(range(len(self._chart.shape)))
        for i, part in enumerate(self._parts.parts):
            own = self._pairs.power(self._parts, i, n, squares[..., i])
            unresolved = unresolved - own.sum(labels)
            if part.label in self._chart:
                own[self._chart.place(part.label)] += known[..., i]
            else:
                unresolved = unresolved + known[..., i]
            power[part.label] = own
        shift_squares = self._parts.sort(shift).square()
        around = (squares.sum(-1) - shift_squares.sum(-1)).clamp_min(0.0)
        errors = self._of_spectrum(
            n, torch.stack(list(power.values())).sum(0), squares.sum(-1), first.square().sum(-1), around
        )
        total = squares.sum(-1) + known.sum(-1)
        if kind is None:
            return OrbitSummary(kind, None, power, total, unresolved, None, {}, None, 0.0, errors)
        spread = self._spread(n, self._sums.sum(0), self._squares.sum(0))
        variance: dict[Label, torch.Tensor] = {
            part.label: spread[..., i].clamp_min(0.0) / part.components for i, part in enumerate(self._parts.parts)
        }
        errors["variance"], errors["irreps"] = map(_random, self._jackknife(n))
        index, deviation, value = self._worst.from_mean(shift)
        mean = self._first + shift
        parts = self._parts.components
        assert self._halves is not None
        return OrbitSummary(
            kind,
            None,
            power,
            total,
            unresolved,
            mean,
            variance,
            index,
            deviation,
            errors=errors,
            components=parts,
            cosets=self._halves.finish(inverts=self._inverts),
            worst_value=self._first + value,
            scatter=1.0 / n,
        )

    def _of_spectrum(
        self, n: int, power: torch.Tensor, squares: torch.Tensor, known: torch.Tensor, around: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Of power ``(*chart.shape, s, c)`` and of what is unresolved; samples and channels count as correlated.

        A sector without content scatters by all that is there. One that holds B of V = int |v|^2 scatters beside by
        the overlap of v with its part in it, of variance ``4 (B V + B^2) / n``. Power that comes with z0 scatters by
        ``2 <z0, mean(z) - z0>``.
        """
        empty = self._pairs.strengths(squares.device).reshape(*self._chart.shape, 1, 1).sqrt()
        empty = math.sqrt(2.0) * empty * squares / n
        trivial_like = (4.0 * known * around / n).sqrt()
        held = power.clamp_min(0.0).minimum(squares)
        own = (4.0 * held * (squares + held) / n).sqrt()
        scatter = (empty.square() + own.square()).sqrt()
        for part in self._parts.parts:
            if part.label in self._chart:
                scatter[self._chart.place(part.label)] += trivial_like
        # the groups show how |v|^2 scatters, with all that samples and channels have in common
        counts = (n - torch.arange(GROUPS, device=squares.device) + GROUPS - 1) // GROUPS
        by_group = self._squares.sum(-1).mean((1, 2)) / counts
        first_order = by_group.var() / GROUPS
        labels = tuple(range(len(self._chart.shape)))
        unresolved = (empty.mean((-2, -1)).square().sum(labels) + first_order).sqrt()
        return {"power": _random(scatter.mean((-2, -1))), "unresolved": _random(unresolved)}

    def _spread(self, n: torch.Tensor | int, sums: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
        """``(..., s, c, parts)``: the unbiased variance of n values, summed over the components of each irrep."""
        return (squares - self._parts.sums(self._parts.sort(sums).square()) / n) / (n - 1)

    def _jackknife(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Standard errors of the mean variance over samples and channels: of all components, and ``(blocks,)``."""
        counts = (n - torch.arange(GROUPS, device=self._sums.device) + GROUPS - 1) // GROUPS
        left = (n - counts).to(torch.float64)[:, None, None, None]
        without = self._spread(left, self._sums.sum(0) - self._sums, self._squares.sum(0) - self._squares)
        by_block = without.mean((1, 2))
        components = torch.tensor([float(block.components) for block in self._parts.parts], device=by_block.device)
        assert self._kind is not None
        every = torch.cat([by_block.sum(1, keepdim=True) / self._kind.entries, by_block / components], dim=1)
        error = ((GROUPS - 1) / GROUPS * (every - every.mean(0)).square().sum(0)).sqrt()
        return error[0], error[1:]


class Halves:
    """Sums over proper and over improper elements apart, of z(g) - z0."""

    def __init__(self, first: torch.Tensor, parts: Parts) -> None:
        self._first = first
        self._parts = parts
        self._counts = first.new_zeros(2)
        self._sums = first.new_zeros((2, *first.shape))
        self._squares = first.new_zeros((2, *first.shape[:2]))

    def add(self, values: torch.Tensor, squares: torch.Tensor, signs: torch.Tensor) -> None:
        side = (signs < 0).to(torch.int64)
        self._counts += torch.bincount(side, minlength=2)
        self._sums.index_add_(0, side, values)
        self._squares.index_add_(0, side, squares)

    def finish(self, *, inverts: bool) -> Cosets | None:
        """Unbiased; None where one half is too small for a variance."""
        if int(self._counts.min()) < 2:
            return None
        counts = self._counts[:, None, None]
        means = self._parts.sort(self._sums / counts[..., None])
        variance = (self._squares / counts - means.square().sum(-1)).clamp_min(0.0) * counts / (counts - 1)
        found = Cosets.of_means(variance[0], *(self._parts.sort(self._first) + means))
        size = (found.size - 0.5 * (variance / counts).sum(0)).clamp_min(0.0)
        return Cosets(variance[0], found.overlap if inverts else None, size)


def _random(standard_error: torch.Tensor) -> torch.Tensor:
    """As a half width ``(2, ...)`` that is all random."""
    half = HALF_WIDTH * standard_error.cpu()
    return torch.stack([half, torch.zeros_like(half)])


class PairsByCoefficients:
    """Unbiased power of v from sums of D_mn(R_i) v_i, for groups that consist of cosets of SO(3)."""

    def __init__(self, group: Group, lmax: int, first: torch.Tensor) -> None:
        self._shape = group.shape(lmax)
        self._cosets = group.cosets
        self._lmax = lmax
        self._value = first.shape
        self._coefficients = first.new_zeros((2, matrix_count(lmax), first.numel()))

    def add(self, values: torch.Tensor, elements: torch.Tensor) -> None:
        """v ``(n, s * c * components)`` at elements ``(n, 3, 3)``."""
        signs = handedness(elements)
        for coset, sign in enumerate((1.0, -1.0)):
            chosen = torch.nonzero(signs == sign)[:, 0]
            if chosen.numel():
                own = values[chosen.to(values.device)]
                add_projection(own, sign * elements[chosen], self._lmax, self._coefficients[coset])

    @property
    def _sizes(self) -> torch.Tensor:
        """2l + 1 of every l."""
        l = torch.arange(self._lmax + 1, dtype=torch.float64, device=self._coefficients.device)
        return 2.0 * l + 1.0

    def power(self, parts: Parts, i: int, n: int, squares: torch.Tensor) -> torch.Tensor:
        """``(*chart.shape, s, c)`` of part `i` of the components, whose mean square over the elements is `squares`."""
        coefficients = parts.sort(self._coefficients.reshape(2, -1, *self._value)) * (self._cosets / n)
        own = parts.select(coefficients, i)
        biased = sector_power(own[0], own[1], self._lmax, self._cosets).sum(-1)
        power = (n * biased - self._sizes.square()[:, None, None, None] * squares) / (n - 1)
        return power.reshape(*self._shape, *squares.shape)

    def strengths(self, device: torch.device) -> torch.Tensor:
        """``(labels,)``: (2l+1)^2, the share of every irrep in the delta function on the group."""
        per_label = math.prod(self._shape) // len(self._sizes)
        return self._sizes.square().repeat_interleave(per_label).to(device)


class PairsByCharacters:
    """The same by characters of g_i g_j^-1, for any group: holds the values, and takes n^2 characters."""

    def __init__(self, group: Group, lmax: int, first: torch.Tensor) -> None:
        self._group = group
        self._chart = group.chart(lmax)
        self._value = first.shape
        self._held: list[tuple[torch.Tensor, torch.Tensor]] = []

    def add(self, values: torch.Tensor, elements: torch.Tensor) -> None:
        """v ``(n, s * c * components)`` at elements ``(n, 3, 3)``."""
        self._held.append((values, elements.to(values.device)))

    def power(self, parts: Parts, i: int, n: int, squares: torch.Tensor) -> torch.Tensor:
        """``(*chart.shape, s, c)`` of part `i` of the components, whose mean square over the elements is `squares`."""
        values, elements = (torch.cat(tensors) for tensors in zip(*self._held, strict=True))
        own = parts.select(parts.sort(values.reshape(n, *self._value)), i)
        # over all pairs, those of an element with itself included: their character is the dimension
        every = self._group.sample_power(own.flatten(1), elements, 1.0 / n, self._chart.lmax)
        every = every.reshape(*self._chart.shape, *own.shape[1:]).sum(-1)
        itself = self.strengths(own.device).reshape(*self._chart.shape, 1, 1) * squares
        return (n * every - itself) / (n - 1)

    def strengths(self, device: torch.device) -> torch.Tensor:
        """d^2 / m of every irrep: its share of the delta function on the group."""
        sizes = [self._group.dimension(x) ** 2 / self._group.multiplicity(x) for x in self._chart.labels]
        return torch.tensor(sizes, dtype=torch.float64, device=device)
