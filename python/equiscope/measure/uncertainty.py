"""Errors of what one orbit gave: how far the truth may lie from A, B and the unresolved power, in 95 of 100 cases.

On a grid of degree N, turned at random, a function of degree d > N and power 1 averages not to 0 but to a number of
variance ``|sum_i w_i D^d(g_i)|^2 / (2d+1)``, which is ``w2 = sum_i w_i^2`` (one over the number of elements) within a
factor of a few from d = N + 1 on, and on average 1 times it. Pieces of degrees l and l' meet in degrees up to l + l';
the share of their product above N is ``O(l, l') = [(l+l'+1)^2 - max(N+1, |l-l'|)^2] / ((2l+1) (2l'+1))``, at least 0.
So if power t lies at l', beside powers v_l of what varies,

- A, of d components, has variance ``2 w2 [2 sum_l v_l O(l, l') t + O(l', l') t^2] / d^2``, for independent pieces
  (Gaussian: ``int v^4 = 3 (int v^2)^2``);
- onto an irrep of dimension 2l+1 ``a_l = (2l+1)^2 w2 O(l, l') t`` is folded, always upwards, and beside that its B
  scatters with variance ``4 B a_l / (2l+1)^2``. Content of one parity under inversion lands on irreps of that parity;
- the unresolved power lacks what is folded down, and scatters by ``t sqrt(2 w2)``.

How much lies above what is resolved shows itself: it is the power that no irrep holds. Where it lies does not, so every
l' is considered and the worst is stated; but no more can lie at l' than the irreps hold that it would be folded onto,
and where three pairs of degrees in a row show a decay, most of it is taken to go on decaying. The grid of a group
without degrees counts all of it everywhere.

What is random is kept apart from what always has the same sign: over systems, whose turns are independent, squares of
the one add up, and the other adds up itself. Samples and channels of one system share its turn; they count as
correlated, so that their averages stand for them (``mean sqrt(x y) <= sqrt(mean x mean y)``).

Arrays have a leading axis q of quantities that were accumulated together, as the hidden layers of one system are.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from ..groups.group import Chart, Grid, Group, Label
from ..groups.o3 import O3
from ..groups.quadrature import Quadrature
from ..groups.so2 import CircleGrid
from .summary import Averages

Values: TypeAlias = npt.NDArray[np.float64]

HALF_WIDTH = 2.0
"""Standard deviations of a half width that holds the truth in 95 of 100 cases."""

HEAVIER = 2.0
"""Times its average over turns, that may be folded onto an irrep: the upper end of the scatter."""

LOST = 3.0
"""The same for all that is folded down together."""

DECAY = 2.0
"""Factor by which power must fall from one pair of degrees to the next to be taken to decay."""

ANNOUNCED = 4.0
"""Factor within which the unresolved power is what a decay that was seen in two steps makes of it."""

STRAY = {2: 0.1, 3: 0.02}
"""Share of the unresolved power that is counted as lying anywhere even where two or three steps show a decay."""

FAR = 16.0
"""Degrees above the last resolved one by which half of the unresolved power is taken to lie, with no decay in sight."""

LEAST_KEPT = 0.2
"""Share of its power that content above what is resolved keeps at least: most of the elements of a rule are no more
than its unknowns."""

EMPTIER = 3.0
"""Times what an irrep holds, that may have been folded onto it: what is folded scatters, and may meet its negative."""

MOST_RINGS = 1000
"""Rules with more have their response taken as even, which it is on average: pairs of rings are summed."""

CHANCE = 3.0
"""The same of its own irrep, whose error is all that it holds where it is empty; the square for the single number that
an irrep of l = 0 is."""

TELLING = 0.1
"""Least overlap by which an irrep says how much may lie at a place: a single degree above N may go all but unseen."""

TRUSTED = 2
"""Lowest l whose irreps say how little is folded onto them: one or three numbers are small by chance."""

ROUND_OFF = 64.0 * torch.finfo(torch.float64).eps
"""Of a sum over the grid, relative to the root mean square of its terms."""


@dataclass(frozen=True)
class Found:
    """What a grid gave, before it is cut down to what is shown; `s` samples, `c` channels."""

    chart: Chart
    """Of all that was resolved."""
    power: Mapping[Label, torch.Tensor]
    """Per part ``(*chart.shape, s, c)``."""
    beyond: torch.Tensor
    """``(s, c)``: power above ``chart.lmax``."""
    spread: torch.Tensor
    """``(s, c)``: what was squared and summed."""
    total: torch.Tensor
    """``(s, c)``: int |u|^2."""
    variance: Mapping[Label, torch.Tensor]
    """Per part ``(s, c)``: A times the number of its components; empty without a representation."""
    symmetrised: Mapping[Label, torch.Tensor]
    """Per part ``(s, c)``: the power of what transforms as declared."""
    components: Mapping[Label, int]
    entries: int
    """What A of all of them is divided by: `Representation.entries`."""

    def pooled(self, channels: Sequence[int]) -> Pooled:
        """Averages over samples and over each run of so many `channels`, on the host: one wait for the device, and
        small arrays from there on."""
        alone = (self.beyond, self.spread, self.total)
        given = [*self.power.values(), *alone, *self.variance.values(), *self.symmetrised.values()]
        host = _averages(given, channels).cpu().numpy()
        labels, parts = len(self.chart.labels), len(self.power)
        power = host[:, : labels * parts].reshape(-1, parts, labels)
        beyond, spread, total, *rest = host[:, labels * parts :].T
        variance = dict(zip(self.variance, rest, strict=False))
        symmetrised = dict(zip(self.symmetrised, rest[len(variance) :], strict=True))
        by_part = dict(zip(self.power, power.swapaxes(0, 1), strict=True))
        return Pooled(self.chart, by_part, beyond, spread, total, variance, symmetrised)


def _averages(given: Sequence[torch.Tensor], channels: Sequence[int]) -> torch.Tensor:
    """``(q, rows)``: all of some tensors ``(..., s, c)`` as rows, averaged over samples and each run of channels."""
    rows = torch.cat([x.flatten(0, -3) if x.ndim > 2 else x[None] for x in given])
    if not rows.shape[1] or not rows.shape[2]:  # of no sample at all: nothing
        return rows.new_zeros(len(channels), len(rows))
    # samples first, so that what is beside a layer does not show in its last digits
    means = rows.mean(-2)
    if len(set(channels)) == 1:  # the same bits, by one call for all
        found: torch.Tensor = means.unflatten(-1, (len(channels), -1)).mean(-1)
        return found.T.contiguous()
    return torch.stack([own.mean(-1) for own in means.split(list(channels), dim=-1)])


@dataclass(frozen=True)
class Pooled:
    """`Found`, averaged over samples and channels; ``(q, labels)`` of each part, and ``(q,)``."""

    chart: Chart
    power: Mapping[Label, Values]
    beyond: Values
    spread: Values
    total: Values
    variance: Mapping[Label, Values]
    symmetrised: Mapping[Label, Values]

    def shown(self, total: Values, shown: Chart) -> list[Averages]:
        """Of each quantity; `total` ``(q, labels)`` is what all parts hold together."""
        n = len(shown.labels)
        power = torch.from_numpy(total[:, :n].copy()).reshape(-1, *shown.shape)
        unresolved = self.beyond + total[:, n:].sum(1)
        return [Averages(*own) for own in zip(power, self.total.tolist(), unresolved.tolist(), strict=True)]

    def varying(self, label: Label) -> Values:
        """``(q, columns)`` of one part, without what transforms as declared."""
        power = self.power[label]
        if label in self.symmetrised and label in self.chart:
            place, own = self.chart.labels.index(label), self.symmetrised[label]
            rest = power[:, place] - own
            power = power.copy()
            power[:, place] = np.where(rest > 1e-12 * own, rest, 0.0)
        q, columns = len(power), len(self.chart.headings)
        cells = columns * np.arange(q)[:, None] + self.chart.columns
        found = np.bincount(cells.ravel(), power.ravel(), q * columns)
        return found.reshape(q, columns).astype(np.float64, copy=False)


@np.errstate(over="ignore", invalid="ignore")  # where power is near the largest number, so is its error
def grid_errors(
    grid: Grid, found: Found, shown: Chart, channels: Sequence[int]
) -> tuple[list[dict[str, torch.Tensor]], list[Averages]]:
    """Errors of one orbit, averaged over samples and each run of so many `channels`: what is random, what has a sign;
    and the averages themselves.

    Of each run ``power`` (2, *shown.shape), ``unresolved`` (2,), and of a declared quantity ``variance`` (2,) and
    ``irreps`` (2, parts). All are half widths, on the host.
    """
    folding = _folding_of(grid, found.chart)
    pooled = found.pooled(channels)
    total: Values = np.sum(list(pooled.power.values()), axis=0)
    varying: Values = np.sum([pooled.varying(label) for label in pooled.power], axis=0)
    beyond, spread = pooled.beyond, pooled.spread
    tail = folding.tail(total, varying, beyond)
    onto = folding.onto(tail)
    errors = {
        "power": folding.of_power(onto, total, spread, shown),
        "unresolved": folding.of_unresolved(tail, onto, total, spread, shown),
    }
    if found.components:
        size = total.sum(1) + beyond
        errors["variance"] = folding.of_variance(varying, tail, size) / found.entries
        if len(found.components) == 1:
            errors["irreps"] = errors["variance"][..., None]
        else:
            parts = [_of_part(folding, pooled, label) / n for label, n in found.components.items()]
            errors["irreps"] = np.stack(parts, axis=-1)
    each = zip(*(torch.from_numpy(own).unbind() for own in errors.values()), strict=True)
    apart = [dict(zip(errors, own, strict=True)) for own in each]
    return apart, pooled.shown(total, shown)


def _of_part(folding: Folding | CircleFolding, found: Pooled, label: Label) -> Values:
    """``(q, 2)`` of A of one part, times its components."""
    varying = found.varying(label)
    beyond = np.minimum(np.maximum(found.variance[label] - varying.sum(1), 0.0), np.maximum(found.beyond, 0.0))
    size = varying.sum(1) + beyond + found.symmetrised[label]
    tail = folding.tail(found.power[label], varying, beyond)
    return folding.of_variance(varying, tail, size)


class Folding:
    """What a grid does to content that it does not resolve, by where that may lie: `h` places, the last of which stands
    for all degrees beyond."""

    def __init__(self, group: Group, chart: Chart, degree: int | None, w2: float, response: torch.Tensor) -> None:
        self._chart = chart
        self._by_degree = group.cosets > 0 and degree is not None
        # an element and its negative say the same of what has one parity
        self.w2 = (2 if group.cosets == 2 else 1) * w2
        self.sizes = np.array([group.dimension(label) ** 2 / group.multiplicity(label) for label in chart.labels])
        self._columns = np.array(chart.columns)
        chance = np.where(self._columns == 0, CHANCE**2, CHANCE)
        self._chance = chance if self._by_degree else np.full_like(chance, np.inf)
        columns = len(chart.headings)
        overlap = self.met = np.ones((columns, 1))
        """``(columns, h)``: by how much the variance of a product is larger or smaller than that of noise."""
        self.itself = np.full(1, 2.0)
        if self._by_degree and degree is not None:
            overlap, self.met, self.itself = (x.numpy() for x in _shares(chart.lmax, degree, response))
        self.folded = self.w2 * self.sizes[:, None] * overlap[self._columns]
        """``(labels, h)``: the share of power there that is folded onto each irrep."""
        parities = [np.ones(len(self.sizes), dtype=bool)]
        if isinstance(group, O3):
            even = np.array([sigma * (-1) ** l > 0 for l, sigma in group.labels(chart.lmax)])
            parities = [even, ~even]
        self._labels = np.stack([np.flatnonzero(own) for own in parities])
        """``(p, labels / p)``: those of each parity under inversion, as many of one as of the other; or all as one."""
        self._folded = self.folded[self._labels]
        self._kept = np.maximum(1.0 - self._folded.sum(1), LEAST_KEPT)
        """``(p, h)``: share that is not folded down."""
        self._told = np.stack([np.flatnonzero(own & (self._columns >= TRUSTED)) for own in parities])
        """``(p, told)``: irreps that say how much may lie at a place, where they do: `tells` ``(p, told, h)``."""
        self._tells = (overlap[self._columns] >= TELLING)[self._told]
        self._onto_told = np.where(self._tells, self.folded[self._told], 1.0)
        self._places = np.arange(self.folded.shape[1], dtype=np.float64)

    def tail(self, total: Values, varying: Values, beyond: Values) -> Values:
        """``(q, parities, h)``: the most that may lie at each place, of power `beyond` ``(q,)``.

        `total` ``(q, labels)`` is what irreps hold, `varying` ``(q, columns)`` is without what transforms as declared.
        """
        weight = self._weights(varying, beyond) * np.maximum(beyond, 0.0)[:, None]
        places: Values = weight[:, None] / self._kept
        if self._by_degree and self._told.size:
            held = EMPTIER * np.maximum(total[:, self._told], 0.0)[..., None] / self._onto_told
            places = np.minimum(places, np.where(self._tells, held, np.inf).min(2))
        # it lies somewhere: at the places that are excluded least
        missing = np.maximum(1.0, beyond / np.maximum(places.sum((1, 2)), 1e-300))
        return places * np.where(beyond > 0, missing, 1.0)[:, None, None]

    def _weights(self, varying: Values, beyond: Values) -> Values:
        """``(q, h)``: share of the unresolved power that may lie at a place or beyond."""
        columns = varying.shape[1]
        if not self._by_degree:
            return np.ones((len(beyond), len(self._places)))
        # parity may empty every other degree
        step = 2 if columns > 4 else 1
        held = [varying[:, end - step : end].sum(1) for end in range(columns, step, -step)][:3]
        found = np.tile(1.0 / (1.0 + self._places / FAR), (len(beyond), 1))
        for i, (left, *steps) in enumerate(zip(beyond.tolist(), *(own.tolist() for own in held), strict=True)):
            decay = _decay(left, steps)
            if decay is not None:
                rate, stray = decay
                found[i] = stray + (1.0 - stray) * rate ** (self._places / step)
        return found

    def of_power(self, onto: Values, total: Values, spread: Values, shown: Chart) -> Values:
        """``(q, 2, *shown.shape)``."""
        n = len(shown.labels)
        power = np.maximum(total[:, :n], 0.0)
        # an irrep that holds nothing had nothing folded onto it, unless it met its negative
        folded = np.fmin(onto[:, :n], self._chance[:n] * power / HEAVIER)  # inf times nothing is no bound
        round_off = ROUND_OFF**2 * spread[:, None]
        random = HALF_WIDTH * 2.0 * np.sqrt(power * folded / self.sizes[:n])
        random = random + 2.0 * np.sqrt(power * round_off)
        return np.stack([random, HEAVIER * folded + round_off], axis=1).reshape(-1, 2, *shown.shape)

    def onto(self, tail: Values) -> Values:
        """``(q, labels)``: what may be folded onto each irrep."""
        found = np.empty((len(tail), len(self.sizes)))
        found[:, self._labels] = (self._folded * tail[:, :, None]).max(3)
        return found

    def of_unresolved(self, tail: Values, onto: Values, total: Values, spread: Values, shown: Chart) -> Values:
        """``(q, 2)``: shown irreps took what is missing; what lies between `shown` and what is resolved scatters."""
        n = len(shown.labels)
        lost = (self._folded[:, : n // len(self._labels)].sum(1) * tail).max((1, 2))
        cross = 4.0 * (np.maximum(total, 0.0) * onto / self.sizes)[:, n:].sum(1)
        scatter = self.w2 * (self.itself * tail**2).max((1, 2))
        random = HALF_WIDTH * np.sqrt(scatter + cross)
        return np.stack([random, LOST * lost + 1e-13 * spread], axis=1)

    def of_variance(self, varying: Values, tail: Values, size: Values) -> Values:
        """``(q, 2)``: of the sum over components that A is; `size` ``(q,)`` is int |u|^2."""
        met = (np.maximum(varying, 0.0) @ self.met)[:, None, :]
        variance = self.w2 * (4.0 * met * tail + self.itself * tail**2)
        random = HALF_WIDTH * np.sqrt(variance.max((1, 2)))
        # the mean of what is folded onto it is taken for symmetrised, and squares sum to round-off
        folded = HEAVIER * self.w2 * (self.met[-1] * tail).max((1, 2))
        return np.stack([random, folded + ROUND_OFF**2 * size], axis=1)


class CircleFolding:
    """What 2 N + 1 equispaced angles do to orders m that they do not resolve, with the methods of `Folding`.

    They see all power up to N, with what lies above folded onto it: m' onto 2 N + 1 - m', and so on downwards. So what
    is seen in the upper half, which a spectrum that ends below has empty, bounds what any order above holds: h, the
    largest power there. An order m and the one that is folded onto it meet with the phase of the turn,

    - B has variance ``2 B h``, and h is added to it;
    - A has variance ``2 h`` times all that varies, since every order meets one other, and h of order 2 N + 1 is taken
      for symmetrised;
    - the unresolved power is the sum of such B, and h of each shown order is folded out of it.
    """

    def __init__(self, chart: Chart) -> None:
        self._upper = np.array(chart.columns) > chart.lmax // 2

    def tail(self, total: Values, varying: Values, beyond: Values) -> Values:
        """h, ``(q, 1)``, from the power ``(q, labels)``."""
        seen = total[:, self._upper]
        h: Values = np.maximum(seen.max(1, keepdims=True), 0.0) if seen.size else total.sum(1, keepdims=True)
        return h

    def onto(self, tail: Values) -> Values:
        """``(q, 1)``: what may be folded onto each irrep."""
        return tail

    def of_power(self, onto: Values, total: Values, spread: Values, shown: Chart) -> Values:
        """``(q, 2, *shown.shape)``."""
        power = np.maximum(total[:, : len(shown.labels)], 0.0)
        round_off = ROUND_OFF**2 * spread[:, None]
        random = HALF_WIDTH * np.sqrt(2.0 * power * onto) + 2.0 * np.sqrt(power * round_off)
        signed = np.broadcast_to(onto + round_off, power.shape)
        return np.stack([random, signed], axis=1).reshape(-1, 2, *shown.shape)

    def of_unresolved(self, tail: Values, onto: Values, total: Values, spread: Values, shown: Chart) -> Values:
        """``(q, 2)``."""
        n, h = len(shown.labels), tail[:, 0]
        random = HALF_WIDTH * np.sqrt(2.0 * np.maximum(total[:, n:], 0.0).sum(1) * h)
        return np.stack([random, n * h + 1e-13 * spread], axis=1)

    def of_variance(self, varying: Values, tail: Values, size: Values) -> Values:
        """``(q, 2)``: of the sum over components that A is."""
        h = tail[:, 0]
        random = HALF_WIDTH * np.sqrt(2.0 * h * (np.maximum(varying, 0.0).sum(1) + h))
        return np.stack([random, h + ROUND_OFF**2 * size], axis=1)


def _decay(beyond: float, held: list[float]) -> tuple[float, float] | None:
    """Factor from one step to the next, and the share that may lie anywhere; None where no decay is in sight.

    `held` is the power of the last steps that are resolved, the last one first. Three of them that fall show a decay;
    two do where what is left is what they announce.
    """
    steps = [beyond, *held]
    if len(held) < 2 or beyond <= 0 or any(DECAY * low > high for low, high in itertools.pairwise(steps)):
        return None
    ratio = held[0] / held[1]
    if len(held) < 3:
        announced = held[0] * ratio / (1.0 - ratio)
        if not announced <= ANNOUNCED * beyond <= ANNOUNCED**2 * announced:
            return None
    return max(beyond / (beyond + held[0]), ratio), STRAY[len(held)]


def _shares(lmax: int, degree: int, response: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """O for content at places from lmax + 1 to degree + lmax + 1, the last of which stands for all beyond.

    ``(lmax + 1, h)`` as it folds; the same, for the variance of a product of l and l', at the most; and ``(h,)`` for
    the square of l', at the most. With ``P_l P_l' = sum_d C_d P_d``, the share of a product that lies at d is ``C_d``
    where both depend on one direction of the input, and ``(2l+1) (2l'+1) C_d^2 / (2d+1)`` for Legendre polynomials
    themselves. `response` ``(d,)`` is how a grid answers to each degree, relative to w2.
    """
    last = degree + lmax + 1
    count = 2 * last + 1
    degrees = torch.arange(count, dtype=torch.float64)
    nodes, weights = np.polynomial.legendre.leggauss(count)
    values = torch.from_numpy(np.polynomial.legendre.legvander(nodes, 2 * last))
    scaled = values * torch.from_numpy(weights)[:, None] * (degrees + 0.5)
    answer = torch.cat([response, torch.ones(count, dtype=torch.float64)])[:count]

    def shares(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        c = (values[:, first] * values[:, second]).T @ scaled
        sizes = (2.0 * first + 1.0) * (2.0 * second + 1.0)
        met = (degrees >= (first - second).abs()[:, None]) & (degrees <= (first + second)[:, None])
        even = (met * (2.0 * degrees + 1.0) * answer).sum(1) / sizes
        return even, (c * answer).sum(1), sizes * (c.square() * answer / (2.0 * degrees + 1.0)).sum(1)

    beyond = torch.arange(lmax + 1, last + 1)
    rows = [torch.stack(shares(torch.full_like(beyond, l), beyond)) for l in range(lmax + 1)]
    overlap, *others = torch.stack(rows, dim=1)
    met = torch.stack([overlap, *others]).amax(0)
    even, one, whole = shares(beyond, beyond)
    overlap[:, -1] = 1.0
    return overlap, met, torch.stack([2.0 * even, 2.0 * one, whole]).amax(0)


@functools.lru_cache(maxsize=64)
def _response(grid: Grid) -> torch.Tensor:
    """``(2 N + 2,)``: ``|sum_i w_i D^d(g_i)|^2 / (2d+1)`` over w2, for a rule of rings with K = N + 1 angles.

    Only columns n = 0 and n = +-K of D survive the sum over angles. As sums over pairs of rings with
    R = R_p^T R_q the one is ``P_d(R_zz)`` and the other ``2 Re U^K P^(0, 2K)_(d-K)(R_zz)``,
    U = ((R_xx + R_yy) + i (R_yx - R_xy)) / 2.
    """
    if not isinstance(grid, Quadrature) or grid.rings.shape[0] > MOST_RINGS:
        degree = grid.degree or 0
        return (torch.arange(2 * degree + 2) > degree).to(torch.float64)
    rings, weights, k = grid.rings, grid.ring_weights, grid.gammas
    x = rings[:, :, 2] @ rings[:, :, 2].T
    xx, yy = (rings[:, :, i] @ rings[:, :, i].T for i in (0, 1))
    yx = rings[:, :, 1] @ rings[:, :, 0].T
    u = torch.complex(0.5 * (xx + yy), 0.5 * (yx - yx.T)) ** k
    pairs = weights[:, None] * weights
    w2 = float(weights.square().sum()) / k
    degrees = torch.arange(2 * k, dtype=torch.float64)
    flat = torch.stack([(pairs * p).sum() for p in _jacobi(0, x, 2 * k)])
    ringed = torch.stack([2.0 * (pairs * u.real * p).sum() for p in _jacobi(2 * k, x, k)])
    total = flat + torch.cat([ringed.new_zeros(k), ringed])
    return torch.where(degrees > grid.degree, total.clamp_min(0.0) / ((2 * degrees + 1) * w2), 0.0)


def _jacobi(b: int, x: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
    """P^(0, b)_n(x) for n < `count`, by its three-term recursion (DLMF 18.9.1)."""
    before, now = torch.zeros_like(x), torch.ones_like(x)
    for n in range(count):
        yield now
        s = 2 * n + b
        if n == 0:
            before, now = now, 1.0 + (b + 2) * (x - 1.0) / 2.0
            continue
        scale = 2.0 * (n + 1) * (n + b + 1) * s
        after = (s + 1) * ((s + 2) * s * x - b * b) * now - 2.0 * n * (n + b) * (s + 2) * before
        before, now = now, after / scale


def cut(power: torch.Tensor, chart: Chart, shown: Chart) -> torch.Tensor:
    """``(*chart.shape, ...)`` down to ``(*shown.shape, ...)``: labels of lower degree come first."""
    rest = power.shape[len(chart.shape) :]
    return power.reshape(len(chart.labels), *rest)[: len(shown.labels)].reshape(*shown.shape, *rest)


def _folding_of(grid: Grid, chart: Chart) -> Folding | CircleFolding:
    bare = grid.bare.to("cpu") if isinstance(grid, Quadrature) else grid
    return _folding(type(grid.group), grid.group, chart, bare)


@functools.lru_cache(maxsize=64)
def _folding(kind: type[Group], group: Group, chart: Chart, grid: Grid) -> Folding | CircleFolding:
    if isinstance(grid, CircleGrid):
        return CircleFolding(chart)
    w2 = float(grid.weights.square().sum()) if grid.degree is not None else 0.0
    return Folding(group, chart, grid.degree, w2, _response(grid))
