"""What is measured of a model on each system before any number of it is used: that the copies of a batch do not see
each other, and by how much a value scatters for no reason of symmetry."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..adapters.base import Piece, System
from ..adapters.rounding import Dither
from ..groups.group import Group
from .arithmetic import Arithmetic
from .copies import IDENTICAL, Copies, Start
from .crosstalk import APART, CrossTalk
from .dependence import Dependence
from .evaluate import Evaluator
from .layers import Layers, Values
from .noise import Noise, rms, scatter
from .stacked import Stacked

REMEMBERED = 256
"""Systems whose noise is remembered, for when they are evaluated once more on a finer grid."""

JUMPED = 8
"""Copies at the elements where outputs stand out, for all outputs of a system together: a value that is there at two of
three roundings is seen to jump in 16 of 17 cases."""


@dataclass(frozen=True)
class Begin:
    """A system starts: its values on the unrotated input, and what of them is noise."""

    system: System
    values: Stacked
    """Per output or layer ``(samples, channels, components)``."""
    noise: dict[str, float]
    """Per output or layer: root mean square change of one entry between evaluations of the same input."""
    floor: dict[str, float]
    """Per output or layer: root mean square scatter of one entry by rounding of the rotated input and of the value,
    and by that change."""
    random: dict[str, bool]
    """Per output or layer: whether that change is no round-off."""
    jumps: dict[str, bool]
    """Per output or layer: whether the rounding of the input makes it jump."""
    responds: dict[str, bool]
    """Per output or layer: whether it is not 0 for another input as well."""
    depends: dict[str, bool]
    """Per output or layer: whether it was seen, on this system or one before, to change with what is turned."""


class Rehearsal:
    """Evaluates every system at the identity and at a few elements of the group, and learns how its values lie.

    One call takes the `Copies`; a second takes some of these again, in another order. What does not come back as
    before, beyond the floor, sees more than its own copy (`CrossTalk`): for an output that is an error, rows of a layer
    are left out. That is all where nothing is out of the ordinary: 18 evaluations, and 24 more on arcs where the model
    computes more coarsely than it is given its input.

    stated: dtype that the model computes in, where the user said it.
    """

    def __init__(
        self, evaluator: Evaluator, layers: Layers, group: Group, *, stated: torch.dtype | None, seed: int
    ) -> None:
        self._adapter = evaluator.adapter
        self._layers = layers
        self._copies = Copies(evaluator, layers, group, seed=seed)
        self._arithmetic = Arithmetic(self._copies, stated)
        self._crosstalk = CrossTalk(self._copies, self._arithmetic)
        self._dependence = Dependence(self._copies, self._crosstalk)
        self._known: OrderedDict[str, tuple[Begin, dict[str, torch.Tensor]]] = OrderedDict()
        """What was measured of the latest systems, without their values, and the rows that are left out."""
        self.previous: System | None = None
        """The system that ended last, while it is still worth a look whether another one sees it."""
        self._stretched = False

    @property
    def computes_in(self) -> str | None:
        """The dtype for whose rounding the floor was measured."""
        return self._arithmetic.name

    @property
    def warnings(self) -> list[str]:
        """What a reader must know of masks, and of inputs that are not turned."""
        return self._dependence.warnings

    @property
    def doubts(self) -> dict[str, str]:
        """By output: that it depends on an input that may hold directions and is not turned."""
        return self._dependence.doubts

    def copies(self, system: System) -> int | None:
        """Of a system, in its first call; None where no others are to go along with it."""
        if self._arithmetic.dtype is None or not self._copies.has_company:
            return None
        self._arithmetic.look(system)
        return len(self._copies.every)

    @property
    def evaluations(self) -> int:
        """Copies that rehearsals took so far."""
        return self._copies.evaluations

    def learned(self) -> dict[str, Any]:
        """What the first systems showed of the dtype that the model computes in, as JSON values."""
        return self._arithmetic.learned()

    def told(self, learned: Mapping[str, Any]) -> None:
        """Take over what another process learned."""
        self._arithmetic.told(learned)

    def start(
        self, system: System, neighbour: System | None, room: int, ahead: torch.Tensor | None = None
    ) -> Start | Begin:
        """The first call; all that there is to it where the system was rehearsed before.

        `neighbour` is a system whose copies may share a batch with it, `room` how many copies a batch may take: at
        least two are taken, or nothing could be compared. `ahead` are elements of the grid for which there is room
        beside the copies.
        """
        self._copies.room = room = max(IDENTICAL, room)
        if self.previous is not None and self.previous.name == system.name:
            self.previous = None  # it is in progress again
        with self._copies.counted():
            if system.name in self._known:
                return self._once_more(system)
            self._arithmetic.look(system)
            epsilon = self._arithmetic.epsilon(system)
            self._stretch(system)
            first, values = self._copies.start(system, epsilon, ahead)
            noises = self._arithmetic.noise(first)
            noises = self._arithmetic.inside(system, first, noises) or noises
            return Start(system, neighbour, room, epsilon, first, noises, ahead=values)

    def together(self, starts: Sequence[Start]) -> None:
        """The second call of several systems, whose copies will share a batch, at once."""
        with self._copies.counted():
            self._crosstalk.together(starts)

    def begin(self, start: Start) -> Begin:
        """The rest of the rehearsal of a system."""
        self._copies.room = start.room
        with self._copies.counted():
            self._crosstalk.compare(start)
            self._dependence.look(start.system, start.first, start.noises)
            self._layers.spread(start.system)
            begin = self._begin(start.system, start.first, start.noises)
            self._crosstalk.mix(start, self._arithmetic.epsilon(start.system))
            return begin

    def _stretch(self, system: System) -> None:
        """Once, where a mask says what is padding: find the axes of values that grow with a row of it."""
        longer = None if self._stretched else self._adapter.longer(system)
        if longer is not None:
            self._stretched = True
            self._copies.stretch(longer)

    def _begin(self, system: System, first: Stacked, noises: dict[str, Noise]) -> Begin:
        masks = self._layers.masks(system)
        kept = first.without(self._layers.skipped)
        if masks:
            kept = Stacked.of({name: self._layers.kept(name, system, value) for name, value in kept.items()})
            masked = kept.only(masks)
            noises |= self._arithmetic.noise(masked)
            for name, repeats in masked.ask(lambda stack: rms(stack[:, 1] - stack[:, 0])).items():
                noises[name].repeats = repeats
        self._layers.begun(system)
        noises = {name: noises[name] for name in kept}
        self._crosstalk.know(system, kept, noises)
        begin = Begin(
            system,
            kept.at(0),
            {name: noise.repeats for name, noise in noises.items()},
            {name: noise.floor for name, noise in noises.items()},
            {name: noise.random for name, noise in noises.items()},
            {name: noise.jumps for name, noise in noises.items()},
            {name: noise.responds for name, noise in noises.items()},
            {name: noise.depends for name, noise in noises.items()},
        )
        self._known[system.name] = replace(begin, values=Stacked.of({})), masks
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return begin

    def _once_more(self, system: System) -> Begin:
        """A system that was measured before: how its values lie is learned again, the rest is known."""
        before, masks = self._known[system.name]
        first = self._copies.run(system, range(IDENTICAL), self._arithmetic.epsilon(system), learn=True)
        self._layers.restore(system, masks)
        kept = {name: self._layers.kept(name, system, first[name]) for name in before.floor if name in first}
        return replace(before, system=system, values=Stacked.of(kept).at(0))

    def taken(self, piece: Piece, ahead: Values) -> Values:
        """Of what was evaluated `ahead` what counts."""
        kept = {
            name: self._layers.kept(name, piece.system, value)
            for name, value in ahead.items()
            if name not in self._layers.skipped
        }
        (values,) = self.look_again([piece], [kept])
        return values

    def look_again(self, pieces: Sequence[Piece], values: Sequence[Values]) -> list[Values]:
        """The `values` of a batch, which is tried once more where it is much larger than those before."""
        return self._crosstalk.look_again(pieces, values)

    def ended(self, system: System) -> None:
        """Keep what is known of `system` until the next one ends, a neighbour for one that fills batches by itself."""
        self.forget_previous()
        if self._crosstalk.mixes:
            self.previous = system
        else:
            self.forget(system)

    def forget_previous(self) -> None:
        """No other system follows the one that ended last."""
        if self.previous is not None:
            self.forget(self.previous)
            self.previous = None

    def forget(self, system: System) -> None:
        """The system was dropped, or is no one's neighbour any more."""
        self._crosstalk.forget(system)
        self._copies.forget(system)

    def scatter_at(self, system: System, worst: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """By how much outputs scatter by dither at the elements `worst` at which they stand farthest from their mean.

        Where rounding makes a value jump, it does so at few elements, which the rehearsal may have missed: there,
        copies that differ by dither alone scatter as far as they stand out. One is left as it stood out: most of the
        others may be back where all values are.
        """
        found = {}
        for name, element in worst.items():
            copies = max(IDENTICAL, min(JUMPED // len(worst), self._copies.room))
            dither = Dither((None, *range(copies - 1)), self._arithmetic.epsilon(system))
            piece = Piece(system, element.to(system.device).expand(copies, 3, 3), dither)
            with self._copies.counted():
                found[name] = scatter(Stacked.of({name: self._copies.outputs(piece)[name]}))[name]
        return found

    def at_the_end(self, begin: Begin) -> Begin:
        """A system ended. A model that is called for one copy after the other is asked for the first one again: it may
        have drifted."""
        if not self._adapter.calls_per_copy:
            return begin
        with self._copies.counted():
            now = self._copies.run(begin.system, range(1), self._arithmetic.epsilon(begin.system))
        noise, floor, random = dict(begin.noise), dict(begin.floor), dict(begin.random)
        for name in [name for name in begin.values if name in now]:
            change = float(rms(now[name].double() - begin.values[name].double()))
            random[name] |= change > APART * floor[name]
            noise[name] = max(noise[name], change)
            floor[name] = math.hypot(floor[name], change)
        return replace(begin, floor=floor, noise=noise, random=random)
