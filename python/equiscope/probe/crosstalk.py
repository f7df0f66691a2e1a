"""Whether copies of a batch see each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..adapters.base import Piece, System
from ..errors import CrossTalkError, ends_the_system, ran_out
from .apart import cannot_mix, refusal
from .arithmetic import SINGLE, Arithmetic
from .copies import COPIES, DITHERS, IDENTICAL, PAIR, Copies, Start
from .layers import Values
from .noise import REACTS, Noise, rms, scatter
from .stacked import Stacked, differ, fetched

AGAIN = (IDENTICAL + DITHERS, 0, COPIES - 5, COPIES - 2)
"""The copies of the second call: a turned one, one that is not, and more, so that no threshold is missed by chance."""

TWICE = torch.tensor((0, *AGAIN))
"""Copies of the first call of which there are two: an identical one in the same batch, those of the second call."""

MIXED_COPIES = torch.tensor(AGAIN[:2])
"""Those that are evaluated once more beside another system."""

ROUGH = 1e3
"""Scatter above this many eps of a value is looked at closely: most models do not amplify rounding by as much."""

APART = 32.0
"""Copies see each other where a value differs between two batches by more than this many floors: values of a layer
come by the hundred thousand, and their round-off has tails."""

OUTPUT_SUMS, LAYER_SUMS = 64.0, 256.0
"""Round-off that the composition of a batch may leave in a value, in eps of the largest: products of matrices and sums
over padding go in another order. Tens were seen in hidden values of molecules beside longer ones. A layer loses rows
where an output ends the audit, and needs no such sharp eye."""

COARSE_SUMS = 16.0
"""The same for half precision, where 64 would be half of a value."""

SHAKEN = 256.0
"""How much harder the input is shaken where noise of a random model and round-off must be told apart."""

JUMP = 1e-2
"""Scatter by more than this part of a value, which does not answer to the size of the noise, is a jump: at a tie or a
cutoff nothing can be said of the value."""

PLACES = 6
"""Copies of a large batch that are evaluated once more."""

MIXED = 16
"""Pairs of sizes of systems of which a mixed batch is tried; equal sizes are a pair too."""

BATCHES = 4.0
"""A batch is looked at again where it is this many times larger than the largest that was: some models see their copies
only where these are many."""


class CrossTalk:
    """Evaluates copies again, in other batches: an output that is not as before is refused, rows of a layer are left
    out.

    `noises` by system and name say what is no more than round-off, for the systems that are `known`.
    """

    def __init__(self, copies: Copies, arithmetic: Arithmetic) -> None:
        self._copies = copies
        self._adapter = copies.adapter
        self._layers = copies.layers
        self._arithmetic = arithmetic
        self._known: dict[str, tuple[Stacked, Mapping[str, Noise]]] = {}
        """Of systems in progress: the values of two copies of the second call, and their noise."""
        self._mixed: set[frozenset[int]] = set()
        """Sizes of the systems that were tried in one batch."""
        self._doubted: set[str] = set()
        """Systems in progress whose values among others, in a batch of several, were not those alone."""
        self._largest = COPIES

    @property
    def mixes(self) -> bool:
        """Whether it is still worth a look whether two systems see each other."""
        return len(self._mixed) < MIXED and not self._adapter.calls_per_copy

    def know(self, system: System, first: Stacked, noises: Mapping[str, Noise]) -> None:
        """A system was rehearsed."""
        self._known[system.name] = first.copies(MIXED_COPIES), noises

    def forget(self, system: System) -> None:
        """It will not share a batch any more."""
        self._known.pop(system.name, None)
        self._doubted.discard(system.name)

    def together(self, starts: Sequence[Start]) -> None:
        """Evaluate some of the copies of several systems again, in one batch."""
        if len(starts) < 2:
            return
        try:
            values = self._copies.together([self._copies.piece(one.system, AGAIN, one.epsilon) for one in starts])
        except Exception as error:  # whatever a foreign model raises, each alone shows why
            if not (ends_the_system(error) or ran_out(error)):
                raise
            self._copies.let_go()
            return
        systems = [start.system for start in starts]
        for i, start in enumerate(starts):
            start.shared, start.company = Stacked.of(values[i]), (*systems[:i], *systems[i + 1 :])

    def compare(self, start: Start) -> None:
        """Evaluate some of the copies again, in another batch; note repeats, refuse outputs, leave rows out.

        Where systems were evaluated `together` that is enough, unless anything is out of the ordinary.
        """
        if start.shared is not None:
            rough, apart = self._doubtful(start, start.shared)
            if not apart:
                self._mixed |= {frozenset((start.system.rows, other.rows)) for other in start.company}
                start.shared = None
            if not (rough or apart):
                return
        second = self._copies.run(start.system, AGAIN, start.epsilon)
        rough, apart = self._doubtful(start, second)
        if rough or apart:
            self._look_closely(start, second, list(dict.fromkeys((*rough, *apart))))

    def _doubtful(self, start: Start, second: Stacked) -> tuple[list[str], list[str]]:
        """Names whose values scatter widely, and of those that are not as before; notes by how much values changed."""
        first, noises = start.first, start.noises
        # two identical copies of one batch, and two copies in both batches
        before = first.copies(TWICE).only(second)
        after = first.copies(slice(1, IDENTICAL)).joined(second)
        moved = [name for name, change in before.compare(after, differ).items() if change]
        before, after = before.only(moved), after.only(moved)
        changes = before.compare(after, lambda one, other: rms(other - one))
        for name in first:
            noises[name].repeats = changes.get(name, 0.0)
        apart = self._apart(before, after, {name: noises[name].quiet for name in moved})
        sizes, epsilons = first.ask(rms), {n: self._arithmetic.of(d) for n, d in first.dtypes.items()}
        rough = [
            name for name in second if name in first and noises[name].dithered > ROUGH * epsilons[name] * sizes[name]
        ]
        return rough, apart

    def _look_closely(self, start: Start, second: Stacked, names: Sequence[str]) -> None:
        """Whether what is doubtful is random, jumps, or sees more than its own copy."""
        system, epsilon, first, noises = start.system, start.epsilon, start.first, start.noises
        # the same batch again: what changes now does so by itself
        third = self._copies.run(system, AGAIN, epsilon)
        shaken = scatter(self._copies.run(system, PAIR, SHAKEN * self._arithmetic.unit(system)))
        for name in [name for name in names if name in third and name in shaken]:
            noise = noises[name]
            changes = third[name] - second[name]
            once = first[name].index_select(0, TWICE.to(changes.device))
            again = torch.cat([first[name][1:IDENTICAL], second[name]])
            itself = float(rms(changes[None]))
            noise.random = itself > 0.0 and shaken[name] < REACTS * itself
            if self._adapter.calls_per_copy:
                noise.random |= shaken[name] < REACTS * noise.repeats
                continue
            if noise.random:
                noise.repeats = float(rms(torch.cat([again - once, changes])[None]))
                continue
            # scatter that does not answer to the size of the noise is no round-off either
            smooth = shaken[name] > REACTS * noise.dithered
            good = self.alike(name, once, again, noise.quiet if smooth else noise.still)
            if not smooth and bool(good.all()):
                good = self._once_again(system, name, first, epsilon, noise.still)
                noise.jumps = bool(good.all()) and noise.dithered > JUMP * float(rms(first[name][None]))
            if name not in self._adapter.outputs:
                self._layers.keep(name, system, good)
            elif not bool(good.all()):
                raise CrossTalkError(refusal(self._adapter, system, name, once, again, first[name], noise.still))

    def _once_again(self, system: System, name: str, first: Stacked, epsilon: float, noise: Noise) -> torch.Tensor:
        """Whether copies are what they were in a third batch, of half of the turned ones in the other order."""
        some = range(COPIES - 1, IDENTICAL, -2)
        other = self._copies.run(system, some, epsilon)
        return self.alike(name, first[name][list(some)], other[name], noise)

    def _apart(self, before: Stacked, after: Stacked, noises: Mapping[str, Noise]) -> list[str]:
        """Names whose values are not the same before and after, as far as noise lets one see."""
        answers = [
            (names, self._agree(names, one, other, [noises[name] for name in names]).all(1))
            for names, one, other in before.paired(after)
        ]
        return [name for name, same in fetched(answers).items() if not same]

    def alike(self, name: str, before: torch.Tensor, after: torch.Tensor, noise: Noise) -> torch.Tensor:
        """``(samples,)``: whether a sample has the same values before and after, as far as noise lets one see."""
        return self._agree((name,), before[None], after[None], [noise])[0]

    def _agree(
        self, names: Sequence[str], before: torch.Tensor, after: torch.Tensor, noises: Sequence[Noise]
    ) -> torch.Tensor:
        """``(names, samples)``: the same of values ``(names, copies, samples, channels, components)``."""
        one, other = before.double(), after.double()
        floors = torch.tensor([noise.floor for noise in noises], dtype=torch.float64, device=one.device)
        allowed = APART * torch.maximum(torch.stack([noise.by_sample for noise in noises]), floors[:, None])
        size = torch.maximum(one.abs(), other.abs()).nan_to_num(0.0, 0.0, 0.0).amax((1, 3, 4))
        epsilon = self._arithmetic.of(before.dtype)
        outputs = [name in self._adapter.outputs for name in names]
        sums = torch.tensor([OUTPUT_SUMS if own else LAYER_SUMS for own in outputs], dtype=torch.float64)
        sums = sums.clamp(max=COARSE_SUMS) if epsilon > SINGLE else sums
        # NaN and infinity are for the audit to report, with the system
        same = (one == other) | (one.isnan() & other.isnan())
        if any(outputs):
            given = torch.tensor(outputs, device=one.device)[:, None, None, None, None]
            same |= given & ~(one.isfinite() & other.isfinite())
        away = torch.where(same, 0.0, (one - other).abs()).nan_to_num(float("inf"))
        return away.amax((1, 3, 4)) <= allowed + epsilon * sums[:, None].to(size) * size

    def mix(self, start: Start, epsilon: float) -> None:
        """Copies of two systems in turn in one batch: these must not see each other either. Once for each pair of
        sizes, and where a system was not among others what it is alone."""
        system, neighbour = start.system, start.neighbour
        if start.shared is not None:
            self._doubted.add(system.name)
        others = {one.rows: one for one in start.company if {system.name, one.name} & self._doubted}
        if neighbour is not None and len(self._mixed) < MIXED:
            others |= {} if frozenset((system.rows, neighbour.rows)) in self._mixed else {neighbour.rows: neighbour}
        for other in others.values():
            if other.name in self._known:
                self._in_turn(system, other, epsilon)

    def _in_turn(self, system: System, neighbour: System, epsilon: float) -> None:
        self._mixed.add(frozenset((system.rows, neighbour.rows)))
        pieces = [
            self._copies.piece(one, copies, epsilon)
            for one, copies in ((neighbour, AGAIN[:1]), (system, AGAIN[:2]), (neighbour, AGAIN[1:2]))
        ]
        try:
            values = self._copies.together(pieces)
        except Exception as error:  # whatever a foreign model raises
            if not ends_the_system(error):
                raise
            raise cannot_mix([neighbour, system], error) from error
        first, own, last = map(Stacked.of, values)
        for one, other, after in ((neighbour, system, first.joined(last)), (system, neighbour, own)):
            before, _ = self._known[one.name]
            told = f"It shared a batch with {other.name!r}"
            self._hold(one, before, after, before, told, "its values depend on which other system is in the batch")

    def look_again(self, pieces: Sequence[Piece], values: Sequence[Values]) -> list[Values]:
        """The `values` of a batch. Where it is much larger than those before, a few of its copies must be what they are
        among themselves."""
        copies = sum(piece.rotations.shape[0] for piece in pieces)
        if copies < BATCHES * self._largest or self._adapter.calls_per_copy:
            return list(values)
        self._largest = copies
        # the model may hand out the same buffer
        values = [{name: value.clone() for name, value in own.items()} for own in values]
        places = [(i, copy) for i, piece in enumerate(pieces) for copy in range(piece.rotations.shape[0])]
        asked: dict[int, list[int]] = {}
        for i, copy in (places[k] for k in torch.linspace(copies - 1, 0, PLACES).long().tolist()):
            asked.setdefault(i, []).append(copy)
        few = [Piece(pieces[i].system, pieces[i].rotations[some]) for i, some in asked.items()]
        with self._copies.counted():
            alone = self._copies.together(few)
        for (i, some), after in zip(asked.items(), alone, strict=True):
            before = Stacked.of({name: value[some] for name, value in values[i].items()})
            where, why = f"a batch of {copies} copies", f"its values in a batch of {copies} copies depend on the others"
            self._hold(pieces[i].system, before, Stacked.of(after), values[i], f"It was in {where}", why)
        return values

    def _hold(
        self, system: System, before: Stacked, after: Stacked, every: Mapping[str, torch.Tensor], told: str, why: str
    ) -> None:
        """Values of a system in two batches: an output that is not as before is refused, a layer is left out.

        `every` holds all copies of the first batch, `told` ends the refusal, `why` is what is said of a layer.
        """
        _, noises = self._known.get(system.name, (None, {}))
        before = before.only(noises)
        for name in self._apart(before, after, noises):
            if name not in self._adapter.outputs:
                good = self.alike(name, before[name], after[name], noises[name])
                lost, rows = int((~good).sum()), good.numel()
                few = f" in {lost} of {rows} rows, as padding may: `masks` says which rows are real"
                self._layers.skip(name, why + (few if lost < rows else ""))
                continue
            text = refusal(self._adapter, system, name, before[name], after[name], every[name], noises[name])
            raise CrossTalkError(f"{text}. {told}")
