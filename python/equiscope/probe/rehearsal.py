"""What is measured of a model on each system before any number of it is used: that the copies of a batch do not see
each other, and by how much a value scatters for no reason of symmetry."""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..adapters.base import Piece, System
from ..adapters.rounding import DISPLACEMENT, DOUBLE, Dither
from ..errors import ArgumentError, CrossTalkError, ends_the_system, fail, ran_out
from ..groups.group import Group
from .apart import cannot_mix, refusal
from .eager import eager
from .evaluate import Evaluator
from .layers import Layers, Values, beside
from .noise import REACTS, Noise, rms, scatter
from .precision import TF32, ComputesIn, coarser, looks_like

IDENTICAL = 2
"""Copies that are not turned: two show how copies lie in a tensor, and whether the same input gives the same value."""

TURNS, DITHERS = 4, 3
"""Group elements at which the floor is measured, and copies with different noise at each: 8 degrees of freedom for a
single number, so that a floor three times too low is met once in 10^4."""

COPIES = IDENTICAL + TURNS * DITHERS
AGAIN = (IDENTICAL + DITHERS, 0, COPIES - 5, COPIES - 2)
"""The copies of the second call: a turned one, one that is not, and more, so that no threshold is missed by chance."""

PAIR = range(IDENTICAL, IDENTICAL + 2)
"""Two copies at one element: by these it is seen how a value answers to noise of another size."""

SINGLE = torch.finfo(torch.float32).eps

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

STAIR = 2.0**-34
"""Machine epsilon of the nudge that a model in float32 inside of float64 does not notice."""

WRAPPED = (*PAIR, *range(IDENTICAL + DITHERS, IDENTICAL + DITHERS + 2))
"""The copies that give the floor of such a model."""

NUDGE = 0.1
"""The same for an input that is near, of which a calculator still makes sense: a twentieth of each coordinate."""

TRIED = 3
"""Systems on which that is looked for: one may be a point alone, of which nothing invariant depends on where it is."""

FIRMLY = 16.0
"""Units in the last place by which a value in float32 is made to move for sure."""

FELT = 4.0
"""Changes by this many rounding errors of a value would be seen in it."""

REMEMBERED = 256
"""Systems whose noise is remembered, for when they are evaluated once more on a finer grid."""

JUMP = 1e-2
"""Scatter by more than this part of a value, which does not answer to the size of the noise, is a jump: at a tie or a
cutoff nothing can be said of the value."""

PLACES = 6
"""Copies of a large batch that are evaluated once more."""

JUMPED = 6
"""Copies at the elements where outputs stand out, for all outputs of a system together."""

MIXED = 16
"""Pairs of sizes of systems of which a mixed batch is tried; equal sizes are a pair too."""

BATCHES = 4.0
"""A batch is looked at again where it is this many times larger than the largest that was: some models see their copies
only where these are many."""


@dataclass(frozen=True)
class Begin:
    """A system starts: its values on the unrotated input, and what of them is noise."""

    system: System
    values: dict[str, torch.Tensor]
    """Per output or layer ``(samples, channels, components)``."""
    noise: dict[str, float]
    """Per output or layer: root mean square change of one entry between evaluations of the same input."""
    floor: dict[str, float]
    """Per output or layer: root mean square scatter of one entry by rounding of the rotated input and of the value,
    and by that change."""
    random: dict[str, bool]
    """Per output or layer: whether that change is no round-off."""
    responds: dict[str, bool]
    """Per output or layer: whether it is not 0 for another input as well."""
    depends: dict[str, bool]
    """Per output or layer: whether it was seen, on this system or one before, to change with what is turned."""


class Rehearsal:
    """Evaluates every system at the identity and at a few elements of the group, and learns how its values lie.

    One call takes two copies as they are and twelve turned ones whose coordinates are dithered (`Dither`); a second
    takes some of these again, in another order. What does not come back as before, beyond the floor, sees more than its
    own copy: for an output that is an error, rows of a layer are left out. That is all where nothing is out of the
    ordinary: 18 evaluations.

    stated: dtype that the model computes in, where the user said it.
    """

    def __init__(
        self, evaluator: Evaluator, layers: Layers, group: Group, *, stated: torch.dtype | None, seed: int
    ) -> None:
        self._evaluator = evaluator
        self._adapter = evaluator.adapter
        self._layers = layers
        turns = group.draw(TURNS, torch.Generator().manual_seed(seed)).to(torch.float64)
        still = torch.eye(3, dtype=torch.float64).expand(IDENTICAL, 3, 3)
        self._elements = torch.cat([still, turns.repeat_interleave(DITHERS, 0)])
        self._stated = stated
        self._dtype: torch.dtype | None = None
        self._rounds = True
        """Whether the adapter adds the dither that it is given."""
        self._wrapped = False
        """Whether the model works in that dtype inside of another, and returns the other."""
        self._room = COPIES
        """Copies that one call takes."""
        self._references: dict[str, Values] = {}
        """Of systems in progress: the values of two copies of the second call."""
        self._noises: dict[str, dict[str, Noise]] = {}
        self._known: OrderedDict[str, tuple[Begin, dict[str, torch.Tensor]]] = OrderedDict()
        """What was measured of the latest systems, without their values, and the rows that are left out."""
        self._mixed: set[frozenset[int]] = set()
        """Sizes of the systems that were tried in one batch."""
        self.previous: System | None = None
        """The system that ended last, while it is still worth a look whether another one sees it."""
        self._moved: set[str] = set()
        """Outputs that were seen to change with what is turned."""
        self._tried = 0
        """Systems on which that was looked for."""
        self._largest = COPIES
        self._stretched = False
        self._padding_seen = False
        self._unturned_seen = False
        self.warnings: list[str] = []
        """What a reader must know of masks, and of inputs that are not turned."""
        self.evaluations = 0
        """Copies that rehearsals took so far."""

    @property
    def computes_in(self) -> str | None:
        """The dtype for whose rounding the floor was measured."""
        return None if self._dtype is None else str(self._dtype).removeprefix("torch.")

    def learned(self) -> dict[str, Any]:
        """What the first systems showed of the dtype that the model computes in, as JSON values."""
        return {"dtype": self.computes_in, "wrapped": self._wrapped, "rounds": self._rounds}

    def told(self, learned: Mapping[str, Any]) -> None:
        """Take over what another process learned."""
        if learned["dtype"] is not None:
            self._dtype = getattr(torch, learned["dtype"])
            self._wrapped, self._rounds = learned["wrapped"], learned["rounds"]

    def begin(self, system: System, neighbour: System | None, room: int) -> Begin:
        """The rehearsal of `system`; `neighbour` is one whose copies may share a batch with it.

        `room` is how many copies a batch may take: at least two are taken, or nothing could be compared.
        """
        self._room = max(IDENTICAL, room)
        if self.previous is not None and self.previous.name == system.name:
            self.previous = None  # it is in progress again
        with self._counted():
            return self._rehearse(system, neighbour)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """What is evaluated meanwhile are checks."""
        before = self._evaluator.evaluations
        yield
        self.evaluations += self._evaluator.evaluations - before

    def _rehearse(self, system: System, neighbour: System | None) -> Begin:
        if system.name in self._known:
            return self._once_more(system)
        if self._dtype is None:
            seen = self._seen(system)
            self._dtype = self._stated or seen
        epsilon = self._epsilon(system)
        self._stretch(system)
        first = self._run(system, range(COPIES), epsilon, learn=True)
        noises = self._noise({name: value[IDENTICAL:] for name, value in first.items()}, DITHERS)
        inner = self._inside(system, first, noises) if self._stated is None else None
        if inner is not None:
            self._dtype, self._wrapped, epsilon = inner, True, torch.finfo(inner).eps
            noises = self._noise(self._run(system, WRAPPED, epsilon), len(WRAPPED) // 2)
        self._compare(system, first, noises, epsilon if inner is None else DOUBLE)
        self._displace(system, first, noises)
        self._check_masks(system, first, noises)
        self._check_unturned(system, first, noises)
        self._layers.spread(system)
        found = self._begin(system, first, noises)
        if neighbour is not None and neighbour.name in self._references:
            sizes = frozenset((system.rows, neighbour.rows))
            if sizes not in self._mixed and len(self._mixed) < MIXED:
                self._mixed.add(sizes)
                self._mix(system, neighbour, epsilon)
        return found

    def _stretch(self, system: System) -> None:
        """Once, where a mask says what is padding: find the axes of values that grow with a row of it."""
        longer = None if self._stretched else self._adapter.longer(system)
        if longer is None:
            return
        self._stretched = True
        try:
            _, captured = self._evaluator([self._piece(longer, range(IDENTICAL), DOUBLE)])
            self._layers.stretch(captured, longer, IDENTICAL)
        except Exception as error:  # a model of fixed size, say: then shapes alone decide
            if ran_out(error):
                raise
        finally:
            self._evaluator.overwritten()
            self.forget(longer)

    def _displace(self, system: System, first: Values, noises: dict[str, Noise]) -> None:
        """Find out by other inputs which values are 0 for all, and which outputs depend on nothing that is turned.

        What changes from element to element depends on it. Only what does not is looked at: by an input that is near,
        and where that changes nothing by one that is far off, which may mean nothing to the model.
        """
        zero = [name for name, value in first.items() if not bool(value.any())]
        outputs = [n for n in self._adapter.outputs if n in first and bool(first[n].isfinite().all())]
        self._moved |= {
            name for name in outputs if self._moves(first[name][IDENTICAL::DITHERS], first[name][:1], noises[name])
        }
        still = [name for name in outputs if name not in self._moved]
        asked = bool(still) and self._tried < TRIED
        self._tried += asked
        if asked:
            still = self._unmoved(still, self._elsewhere(system, NUDGE), noises)
        if zero or (asked and still):
            other = self._elsewhere(system, DISPLACEMENT)
            still = self._unmoved(still, other, noises)
            for name in zero:
                noises[name].responds = name not in other or bool(other[name][1:].any())
        self._moved |= set(outputs) - set(still)
        for name in outputs:
            noises[name].depends = name in self._moved

    def _unmoved(self, names: Sequence[str], other: Values, noises: Mapping[str, Noise]) -> list[str]:
        """Those of `names` that are the same in a displaced copy and in the one before it."""
        return [n for n in names if n in other and not self._moves(other[n][1:], other[n][:1], noises[n])]

    def _check_masks(self, system: System, first: Values, noises: dict[str, Noise]) -> None:
        """Once, where the data leave a doubt of it: rows that a mask calls real must matter, and others must not."""
        displaced = None if self._padding_seen else self._adapter.displaced(system)
        if displaced is None:
            return
        self._padding_seen = True
        real, padding = (self._outputs_of(one) for one in displaced)
        by_real = self._changed(real, first, noises)
        by_padding = [n for n in self._changed(padding, first, noises) if n in real and n in padding]
        alone = [name for name in by_padding if name not in by_real]
        if alone:
            told = ", ".join(map(repr, alone))
            got = f"one of system {system.name!r} by which {told} depends on the rows of padding alone"
            fail(ArgumentError, "masks", "a mask that is true where rows are real ('~name' turns one round)", got)
        if by_padding:
            told = ", ".join(f"`{name}`" for name in by_padding)
            self.warnings.append(
                f"what stands in the rows that `masks` calls padding changes {told}: the model lets it in, or the mask "
                "is the wrong way round ('~name' turns one round)"
            )

    def _check_unturned(self, system: System, first: Values, noises: dict[str, Noise]) -> None:
        """Once: an input that nobody declared by its name, and may hold directions, must not matter if it does."""
        others = {} if self._unturned_seen else self._adapter.unturned(system)
        self._unturned_seen |= bool(others)
        for key, other in others.items():
            changed = self._changed(self._outputs_of(other), first, noises)
            if changed:
                named = ", ".join(f"`{name}`" for name in changed)
                self.warnings.append(
                    f"`{key}` is not turned, and {named} {'depends' if len(changed) == 1 else 'depend'} on it: if it "
                    f"holds directions, declare it ('vector', 'scalar+vector'); inputs={{{key!r}: 'invariant'}} says "
                    "that it holds none"
                )

    def _changed(self, other: Values, first: Values, noises: Mapping[str, Noise]) -> list[str]:
        """Outputs that are not in `other` as in the first copy, those that the model does not give there among them."""
        names = [name for name in self._adapter.outputs if name in first and not noises[name].random]
        return [
            name
            for name in names
            if name not in other
            or other[name].shape[1:] != first[name].shape[1:]
            or not bool(self._alike(name, first[name][:1], other[name], noises[name]).all())
        ]

    def _outputs_of(self, other: System) -> Values:
        """Outputs of one copy of a system that is none of the data; none where the model refuses it."""
        try:
            outputs, _ = self._evaluator([self._piece(other, range(1), DOUBLE)])
            return {name: parts[0].clone() for name, parts in outputs.items()}
        except Exception as error:  # a foreign model
            if ran_out(error):
                raise
            return {}
        finally:
            self._evaluator.overwritten()
            self.forget(other)

    def _elsewhere(self, system: System, epsilon: float) -> Values:
        """Values of a copy as it is and of a displaced one; none where the model refuses such an input, on which they
        must depend then."""
        try:
            return self._run(system, (0, PAIR[0]), epsilon)
        except Exception as error:  # a foreign model, that has other numbers of rows there perhaps
            if ran_out(error):
                raise
            return {}

    def _moves(self, values: torch.Tensor, reference: torch.Tensor, noise: Noise) -> bool:
        """Whether values differ from others of the same batch by more than noise; infinity and NaN do."""
        change = values.double() - reference.double()
        return not bool(change.isfinite().all()) or rms(change) > FELT * noise.floor

    def ended(self, system: System) -> None:
        """Keep what is known of `system` until the next one ends, a neighbour for one that fills batches by itself."""
        self.forget_previous()
        if len(self._mixed) >= MIXED or self._adapter.calls_per_copy:
            self.forget(system)
        else:
            self.previous = system

    def forget_previous(self) -> None:
        """No other system follows the one that ended last."""
        if self.previous is not None:
            self.forget(self.previous)
            self.previous = None

    def forget(self, system: System) -> None:
        """The system was dropped, or is no one's neighbour any more."""
        self._references.pop(system.name, None)
        self._noises.pop(system.name, None)
        self._layers.forget(system)
        self._adapter.forget(system)

    # -- evaluating ----------------------------------------------------------------------------------------------

    def _piece(self, system: System, copies: Sequence[int], epsilon: float) -> Piece:
        """Some of the copies of a rehearsal; a number stands for the same element and noise whatever the batch."""
        shares = [copy - IDENTICAL if copy >= IDENTICAL else None for copy in copies]
        elements = self._elements[list(copies)]
        if not self._rounds:
            # the next best: elements that are off by as much
            noise = torch.rand(COPIES, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
            turned = torch.tensor([share is not None for share in shares])[:, None, None]
            elements = elements + torch.where(turned, epsilon * (noise[list(copies)] - 0.5), 0.0)
        return Piece(system, elements.to(system.device), Dither(shares, epsilon))

    def _run(self, system: System, copies: Sequence[int], epsilon: float, *, learn: bool = False) -> Values:
        """Values ``(copies, samples, channels, components)`` of outputs and layers."""
        parts: list[Values] = []
        done = 0
        while done < len(copies):
            some = copies[done : done + self._room]
            try:
                parts.append(self._called(system, some, epsilon, learn=learn and not done))
            except Exception as error:  # whatever a foreign model raises
                if not ran_out(error) or self._room <= IDENTICAL:
                    raise
                self._room = IDENTICAL
                continue
            done += len(some)
        if len(parts) == 1:
            return parts[0]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0] if all(name in p for p in parts)}

    def _called(self, system: System, copies: Sequence[int], epsilon: float, *, learn: bool) -> Values:
        pieces = [self._piece(system, copies, epsilon)]
        outputs, captured = self._evaluator(pieces)
        if learn and self._evaluator.overwritten():
            return self._called(system, copies, epsilon, learn=learn)
        if learn:
            self._layers.unheard(self._evaluator.elsewhere, captured)
            layers = [self._layers.learn(captured, system, len(copies))]
        else:
            layers = self._layers.split(captured, pieces)
        (found,) = beside(layers, outputs)
        # a model may hand out the same buffer every time
        return {name: value.clone() for name, value in found.items()}

    # -- the dtype that the model computes in --------------------------------------------------------------------

    def _noise(self, turned: Values, dithers: int) -> dict[str, Noise]:
        """Of values of turned copies, `dithers` for each element."""
        return {name: Noise.of(value, dithers, self._rounded_to(name, value)) for name, value in turned.items()}

    def _rounded_to(self, name: str, value: torch.Tensor) -> torch.dtype:
        """The dtype of values, or the coarser one that those of a wrapped model had before."""
        inner = coarser(self._dtype, value.dtype)
        if name not in self._adapter.outputs or inner == value.dtype:
            return value.dtype
        return inner if self._wrapped or looks_like([value], inner) else value.dtype

    def _seen(self, system: System) -> torch.dtype | None:
        """Told from the operations of one call."""
        watch = ComputesIn()
        found: torch.dtype | None = None
        piece = self._piece(system, range(IDENTICAL), DOUBLE)
        try:
            with eager(), watch:
                outputs, _ = self._evaluator([piece])
            for parts in outputs.values():
                found = coarser(found, parts[0].dtype)
        except Exception as error:  # a foreign model, compiled perhaps: what is wrong with it shows in the next call
            if ran_out(error):
                raise
        self._evaluator.overwritten()
        # an adapter of a stranger may not round by `rounded`, or not hand the dither on
        self._rounds = piece.dither is not None and piece.dither.drawn > 0
        return watch.dtype or found

    def _epsilon(self, system: System) -> float:
        epsilon = torch.finfo(self._dtype or torch.float64).eps
        products = torch.backends.cuda.matmul
        tf32 = self._stated is None and system.device.type == "cuda" and products.allow_tf32
        return max(epsilon, TF32) if tf32 and self._dtype == torch.float32 else epsilon

    def _inside(self, system: System, first: Values, noises: dict[str, Noise]) -> torch.dtype | None:
        """float32, where a model in float64 is one in float32 that is wrapped; else None.

        It does not notice noise of the size of float64's rounding. Nor does a value that noise is too small for, so
        either its values are all numbers of float32, or it notices noise of the size of float32's rounding, and none
        that is much smaller but would be seen in a float64.
        """
        names = [name for name in self._adapter.outputs if name in first]
        if self._dtype != torch.float64 or not names or any(noises[name].dithered > 0 for name in names):
            return None
        if looks_like([first[name] for name in names], torch.float32):
            return torch.float32
        coarse = FIRMLY * torch.finfo(torch.float32).eps
        still, moved = (scatter(self._run(system, PAIR, epsilon)) for epsilon in (STAIR, coarse))
        seen = [name for name in names if moved[name] * (STAIR / coarse) > FELT * noises[name].rounding]
        return torch.float32 if seen and all(still[name] == 0 for name in seen) else None

    # -- copies that see each other ------------------------------------------------------------------------------

    def _compare(self, system: System, first: Values, noises: dict[str, Noise], epsilon: float) -> None:
        """Evaluate some of the copies again, in another batch; note repeats, refuse outputs, leave rows out."""
        second = self._run(system, AGAIN, epsilon)
        both = [name for name in first if name in second]
        # two identical copies of one batch, and two copies in both batches
        once = torch.tensor([0, *AGAIN])
        before = {name: first[name].index_select(0, once.to(first[name].device)) for name in both}
        after = {name: torch.cat([first[name][1:IDENTICAL], second[name]]) for name in both}
        moved = [name for name in both if not torch.equal(before[name], after[name])]
        for name in moved:
            noises[name].repeated(after[name] - before[name])
        rough = [name for name in both if noises[name].dithered > ROUGH * self._round_off(first[name])]
        apart = [
            name for name in moved if not bool(self._alike(name, before[name], after[name], noises[name].quiet).all())
        ]
        if not (rough or apart):
            return
        # the same batch again: what changes now does so by itself
        third = self._run(system, AGAIN, epsilon)
        shaken = scatter(self._run(system, PAIR, SHAKEN * epsilon))
        for name in [name for name in dict.fromkeys((*rough, *apart)) if name in third and name in shaken]:
            noise = noises[name]
            changes = third[name] - second[name]
            itself = rms(changes)
            noise.random = itself > 0.0 and shaken[name] < REACTS * itself
            if self._adapter.calls_per_copy:
                noise.random |= shaken[name] < REACTS * noise.repeats
                continue
            if noise.random:
                noise.repeated(torch.cat([after[name] - before[name], changes]))
                continue
            # scatter that does not answer to the size of the noise is no round-off either
            smooth = shaken[name] > REACTS * noise.dithered
            good = self._alike(name, before[name], after[name], noise.quiet if smooth else noise.still)
            if not smooth and bool(good.all()):
                good = self._once_again(system, name, first, epsilon, noise.still)
                # it jumps by itself, at a tie or a cutoff: as random as a repeat that scatters
                if bool(good.all()) and noise.dithered > JUMP * rms(first[name]):
                    noise.random, noise.repeats = True, max(noise.repeats, noise.dithered)
            if name not in self._adapter.outputs:
                self._layers.keep(name, system, good)
            elif not bool(good.all()):
                told = refusal(self._adapter, system, name, before[name], after[name], first[name], noise.still)
                raise CrossTalkError(told)

    def _once_again(self, system: System, name: str, first: Values, epsilon: float, noise: Noise) -> torch.Tensor:
        """Whether copies are what they were in a third batch, of half of the turned ones in the other order."""
        some = range(COPIES - 1, IDENTICAL, -2)
        other = self._run(system, some, epsilon)
        return self._alike(name, first[name][list(some)], other[name], noise)

    def _round_off(self, values: torch.Tensor) -> float:
        """One unit of round-off of values of that size."""
        return torch.finfo(coarser(self._dtype, values.dtype)).eps * rms(values)

    def _alike(self, name: str, before: torch.Tensor, after: torch.Tensor, noise: Noise) -> torch.Tensor:
        """``(samples,)``: whether a sample has the same values before and after, as far as noise lets one see."""
        one, other = before.double(), after.double()
        allowed = APART * torch.clamp(noise.by_sample, min=noise.floor)
        size = torch.maximum(one.abs(), other.abs()).nan_to_num(0.0, 0.0, 0.0).amax((0, 2, 3))
        epsilon = torch.finfo(coarser(self._dtype, before.dtype)).eps
        sums = OUTPUT_SUMS if name in self._adapter.outputs else LAYER_SUMS
        sums = min(sums, COARSE_SUMS) if epsilon > SINGLE else sums
        # NaN and infinity are for the audit to report, with the system
        same = (one == other) | (one.isnan() & other.isnan())
        if name in self._adapter.outputs:
            same |= ~(one.isfinite() & other.isfinite())
        away = torch.where(same, 0.0, (one - other).abs()).nan_to_num(float("inf"))
        return away.amax((0, 2, 3)) <= allowed + sums * epsilon * size

    def _mix(self, system: System, neighbour: System, epsilon: float) -> None:
        """Copies of two systems in turn in one batch: these must not see each other either."""
        pieces = [
            self._piece(one, copies, epsilon)
            for one, copies in ((neighbour, AGAIN[:1]), (system, AGAIN[:2]), (neighbour, AGAIN[1:2]))
        ]
        try:
            outputs, captured = self._evaluator(pieces)
        except Exception as error:  # whatever a foreign model raises
            if not ends_the_system(error):
                raise
            raise cannot_mix([neighbour, system], error) from error
        values = beside(self._layers.split(captured, pieces), outputs)
        found = {name: torch.cat([values[0][name], values[2][name]]) for name in values[0].keys() & values[2].keys()}
        for one, other, after in ((neighbour, system, found), (system, neighbour, values[1])):
            before, told = self._references[one.name], f"It shared a batch with {other.name!r}"
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
        asked = [places[k] for k in torch.linspace(copies - 1, 0, PLACES).long().tolist()]
        few = [Piece(pieces[i].system, pieces[i].rotations[[copy]]) for i, copy in asked]
        with self._counted():
            outputs, captured = self._evaluator(few)
        alone = beside(self._layers.split(captured, few), outputs)
        for (i, copy), after in zip(asked, alone, strict=True):
            before = {name: value[[copy]] for name, value in values[i].items()}
            where, why = f"a batch of {copies} copies", f"its values in a batch of {copies} copies depend on the others"
            self._hold(pieces[i].system, before, after, values[i], f"It was in {where}", why)
        return values

    def _hold(self, system: System, before: Values, after: Values, every: Values, told: str, why: str) -> None:
        """Values of a system in two batches: an output that is not as before is refused, a layer is left out.

        `every` holds all copies of the first batch, `told` ends the refusal, `why` is what is said of a layer.
        """
        noises = self._noises.get(system.name, {})
        for name in [name for name in before if name in after and name in noises]:
            good = self._alike(name, before[name], after[name], noises[name])
            if bool(good.all()):
                continue
            if name not in self._adapter.outputs:
                lost, rows = int((~good).sum()), good.numel()
                few = f" in {lost} of {rows} rows, as padding may: `masks` says which rows are real"
                self._layers.skip(name, why + (few if lost < rows else ""))
                continue
            text = refusal(self._adapter, system, name, before[name], after[name], every[name], noises[name])
            raise CrossTalkError(f"{text}. {told}")

    def scatter_at(self, system: System, worst: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """By how much outputs scatter by dither at the elements `worst` at which they stand farthest from their mean.

        Where rounding makes a value jump, it does so at few elements, which the rehearsal may have missed: there,
        copies that differ by dither alone scatter as far as they stand out.
        """
        found = {}
        for name, element in worst.items():
            copies = max(IDENTICAL, min(JUMPED // len(worst), self._room))
            dither = Dither(range(copies), self._epsilon(system))
            piece = Piece(system, element.to(system.device).expand(copies, 3, 3), dither)
            with self._counted():
                outputs, _ = self._evaluator([piece])
            found[name] = rms(outputs[name][0].double().std(0))
        return found

    def at_the_end(self, begin: Begin) -> Begin:
        """A system ended. A model that is called for one copy after the other is asked for the first one again: it may
        have drifted."""
        if not self._adapter.calls_per_copy:
            return begin
        with self._counted():
            now = self._run(begin.system, range(1), self._epsilon(begin.system))
        noise, floor, random = dict(begin.noise), dict(begin.floor), dict(begin.random)
        for name in [name for name in begin.values if name in now]:
            change = rms(now[name][0].double() - begin.values[name].double())
            random[name] |= change > APART * floor[name]
            noise[name] = max(noise[name], change)
            floor[name] = math.hypot(floor[name], change)
        return replace(begin, floor=floor, noise=noise, random=random)

    # -- what the audit begins with ------------------------------------------------------------------------------

    def _begin(self, system: System, first: Values, noises: dict[str, Noise]) -> Begin:
        kept = {
            name: self._layers.kept(name, system, value)
            for name, value in first.items()
            if name not in self._layers.skipped
        }
        for name, value in kept.items():
            if value.shape[1] != first[name].shape[1]:
                noises |= self._noise({name: value[IDENTICAL:]}, DITHERS)
                noises[name].repeated(value[1] - value[0])
        self._layers.begun(system)
        self._references[system.name] = {name: value[list(AGAIN[:2])] for name, value in kept.items()}
        self._noises[system.name] = {name: noises[name] for name in kept}
        begin = Begin(
            system,
            {name: value[0].clone() for name, value in kept.items()},
            {name: noises[name].repeats for name in kept},
            {name: noises[name].floor for name in kept},
            {name: noises[name].random for name in kept},
            {name: noises[name].responds for name in kept},
            {name: noises[name].depends for name in kept},
        )
        self._known[system.name] = replace(begin, values={}), self._layers.masks(system)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return begin

    def _once_more(self, system: System) -> Begin:
        """A system that was measured before: how its values lie is learned again, the rest is known."""
        before, masks = self._known[system.name]
        first = self._run(system, range(IDENTICAL), self._epsilon(system), learn=True)
        self._layers.restore(system, masks)
        kept = {name: self._layers.kept(name, system, first[name]) for name in before.floor if name in first}
        return replace(before, system=system, values={name: value[0].clone() for name, value in kept.items()})
