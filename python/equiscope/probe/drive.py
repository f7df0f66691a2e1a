"""Evaluates a model on every rotated copy of some systems, in batches filled across these and rotations."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from ..adapters.base import Piece, System
from ..errors import ends_the_system, ran_out
from ..measure.measure import Measure
from .apart import cannot_mix
from .batch import BatchRows
from .copies import Start
from .evaluate import Captured, Evaluator, Outputs
from .helpers import Helped
from .layers import Layers, Values, beside
from .memory import Memory
from .rehearsal import Begin, Rehearsal
from .units import share_a_batch, units


@dataclass(frozen=True)
class Slice:
    """Values on elements ``start:stop`` of the grid, ``(copies, samples, channels, components)``."""

    system: System
    start: int
    stop: int
    values: Values


@dataclass(frozen=True)
class End:
    """The last element of the grid was evaluated."""

    system: System


@dataclass(frozen=True)
class Empty:
    """A system in which there is nothing that could be rotated: it is not evaluated."""

    system: System


@dataclass(frozen=True)
class Failed:
    """The model raised at a system, which is dropped."""

    system: System
    error: Exception
    index: int | None = None
    """Of the grid element, where it is known which copy it was."""


FEW = 2
"""Batches of a system, at most, of which one is worth saving."""

Found = TypeVar("Found")

Work = tuple[System, int, int]
"""Some copies of one system, by their places in the grid."""


def _rows(work: list[Work]) -> int:
    return sum((stop - start) * system.rows for system, start, stop in work)


class Drive:
    """Iterates over `Begin`, `Slice`, `End`, `Failed` and `Empty` events; `drop` stops a system before its end.

    Every system is evaluated from element `first` of the grid on. Batches hold at most ``batch_rows.rows`` rows and
    `batch_bytes` bytes of inputs, at least one copy. Memory does not grow with the number of rotations or systems.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        rehearsal: Rehearsal,
        layers: Layers,
        measure: Measure,
        *,
        first: int = 0,
        systems: Iterator[System],
        batch_rows: BatchRows,
        batch_bytes: int | None = None,
        memory: Memory,
        helped: Helped | None = None,
    ) -> None:
        self._adapter = evaluator.adapter
        self._call = evaluator
        self.rehearsal = rehearsal
        self._layers = layers
        self._measure = measure
        self._first = first
        self._systems = systems
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        self._memory = memory
        self._helped = helped
        self._dropped: set[str] = set()
        self._early: Values | None = None
        """Values that came along with the rehearsal of the system that begins."""

    def drop(self, system: System) -> None:
        """Evaluate no further copies of `system`; no `End` follows."""
        self._dropped.add(system.name)
        self._memory.end(system)
        self.rehearsal.forget(system)

    def __iter__(self) -> Iterator[Begin | Slice | End | Failed | Empty]:
        size = len(self._measure)
        pending: deque[Work] = deque()
        rows = nbytes = 0
        for system, begin in self._rehearsed(pending):
            if isinstance(begin, Failed):
                self.drop(system)
            if not isinstance(begin, Begin):
                yield begin
                continue
            if pending and self._memory.crowded(begin.values):
                yield from self._flush(pending)
                rows = nbytes = 0
            self._memory.begin(system, begin.values)
            yield begin
            position = self._first
            for event in self._ahead(system):
                position = event.stop if isinstance(event, Slice) else position
                yield event
                del event  # as in `_flush`
            while position < size and system.name not in self._dropped:
                if pending and not self._adapter.compatible(pending[0][0], system):
                    yield from self._flush(pending)
                    rows = nbytes = 0
                count = min(self._room(system, rows, nbytes), size - position)
                if not pending:
                    self._share(system, position, count)
                if count:
                    pending.append((system, position, position + count))
                    position += count
                    rows += count * system.rows
                    nbytes += count * system.nbytes
                if position < size or not self._room(system, rows, nbytes):
                    yield from self._flush(pending)
                    rows = nbytes = 0
            if self._helped is not None:
                self._helped.close()
        yield from self._flush(pending)

    def _rehearsed(self, pending: deque[Work]) -> Iterator[tuple[System, Begin | Failed | Empty]]:
        """What the rehearsal of each system showed."""
        for unit in units(self._systems, 0, lambda place: False, self._together):
            group = unit.systems
            if not group[0].rows:
                yield group[0], Empty(group[0])
                continue
            starts: list[Start | Begin | Failed] = []
            neighbour = self._neighbour(pending, group[0])
            for system in group:
                self._memory.rehearse(system)
                room = self._room(system, 0, 0)
                ahead = None if pending or len(group) > 1 else self._beside(system, room)
                starts.append(self._tried(system, partial(self.rehearsal.start, system, neighbour, room, ahead)))
                neighbour = system
            self.rehearsal.together([start for start in starts if isinstance(start, Start)])
            for system, start in zip(group, starts, strict=True):
                self._early = None
                if isinstance(start, Start):
                    self._early, start.ahead = start.ahead, None
                    start = self._tried(system, partial(self.rehearsal.begin, start))
                yield system, start

    def _beside(self, system: System, room: int) -> torch.Tensor | None:
        """The first elements of the grid, where their copies may go along with those of the rehearsal: of a system of
        few batches, of which one is saved."""
        copies, left = self.rehearsal.copies(system), len(self._measure) - self._first
        known = not self._batch_rows.searching and self._memory.limit is None and not self._adapter.calls_per_copy
        if not known or copies is None or copies >= room or left > FEW * (room - copies):
            return None
        return self._piece(system, self._first, self._first + min(room - copies, left)).rotations

    def _ahead(self, system: System) -> Iterator[Slice | End | Failed]:
        """The values that came along with the rehearsal, and the end of the system where these are all."""
        values, self._early = self._early, None
        if values is None or system.name in self._dropped:
            return
        stop = self._first + next(iter(values.values())).shape[0]
        taken = self._tried(system, partial(self.rehearsal.taken, self._piece(system, self._first, stop), values))
        if isinstance(taken, Failed):
            self.drop(system)
            yield taken
            return
        yield Slice(system, self._first, stop, taken)
        del values, taken
        yield from self._ends([(system, self._first, stop)])

    def _together(self, group: Sequence[System], system: System) -> bool:
        """Whether a system is rehearsed together with others: all their copies will share one batch."""
        if self._adapter.calls_per_copy or not (group[0].rows and system.rows):
            return False
        copies, rows = len(self._measure) - self._first, self._memory.rows(self._batch_rows.rows)
        return share_a_batch(self._adapter, group, system, copies, rows, self._batch_bytes)

    def _piece(self, system: System, start: int, stop: int) -> Piece:
        return Piece(system, self._measure.elements(system.name).to(system.device).select(start, stop))

    def _tried(self, system: System, step: Callable[[], Found]) -> Found | Failed:
        try:
            return step()
        except Exception as error:  # whatever a foreign model raises
            if not ends_the_system(error):
                raise
            return Failed(system, error)

    def _room(self, system: System, rows: int, nbytes: int) -> int:
        """Copies of `system` that still fit; an empty batch always takes one."""
        room = (self._memory.rows(self._batch_rows.rows) - rows) // system.rows
        if self._batch_bytes is not None:
            room = min(room, (self._batch_bytes - nbytes) // max(1, system.nbytes))
        return max(room, 0 if rows else 1)

    def _share(self, system: System, start: int, copies: int) -> None:
        """Offer batches of `copies` elements to other processes: of a size that is settled, and two of which fit."""
        if self._helped is not None and not self._batch_rows.searching and self._memory.fits(2 * copies * system.rows):
            self._helped.offer(self._measure, system, start, copies)

    def _flush(self, pending: deque[Work]) -> Iterator[Slice | End | Failed]:
        while pending:
            work = self._take(pending)
            if not work:
                continue
            began = time.perf_counter()
            evaluated = self._measured(work)
            if evaluated is None:
                pending.extendleft(reversed(work))
                continue
            for (system, start, stop), values in zip(work, evaluated, strict=True):
                if isinstance(values, Failed):
                    self.drop(system)
                    yield values
                else:
                    yield Slice(system, start, stop, values)
            del evaluated, values  # else they stay in memory while the model runs on the next batch
            self._timed(work, began)
            # what ends is evaluated once more, perhaps into the same buffer: after all values were taken
            yield from self._ends(work)

    def _timed(self, work: list[Work], began: float) -> None:
        """A batch was evaluated and its values were taken, which too has a price for each batch beside that of rows."""
        device = work[0][0].device
        if device.type == "cuda" and self._batch_rows.searching:
            torch.cuda.synchronize(device)
        self._batch_rows.record(_rows(work), time.perf_counter() - began, device)

    def _ends(self, work: list[Work]) -> Iterator[End]:
        for system, _, stop in work:
            if stop == len(self._measure) and system.name not in self._dropped:
                yield End(system)
                self._memory.end(system)
                self.rehearsal.ended(system)

    def _take(self, pending: deque[Work]) -> list[Work]:
        """Removes from `pending` what is to be evaluated at once: all, unless that was seen not to fit into memory."""
        rows = 0
        work: list[Work] = []
        while pending:
            system, start, stop = pending.popleft()
            if system.name in self._dropped:
                continue
            left = self._memory.most_rows - rows
            copies = min(stop - start, max(left // system.rows, 0 if rows else 1))
            if copies:
                work.append((system, start, start + copies))
                rows += copies * system.rows
            if start + copies < stop:
                pending.appendleft((system, start + copies, stop))
                break
        return work

    def _measured(self, work: list[Work]) -> list[Values | Failed] | None:
        """Values of a batch, weighed; None where it does not fit into memory and has to be smaller."""
        device = work[0][0].device
        pieces = [self._piece(*own) for own in work]
        # what goes wrong between processes is no fault of the model
        returned = self._handed_in(work)
        self._memory.start(device, _rows(work))
        try:
            evaluated = self._evaluate(pieces, returned)
        except Exception as error:  # whatever a foreign model raises
            if ends_the_system(error):
                return self._one_by_one(pieces, work, error)
            if not ran_out(error) or sum(stop - start for _, start, stop in work) == 1:
                raise
            evaluated = None
        if evaluated is None:
            self._memory.shrink()
            self._batch_rows.at_most(self._memory.most_rows)
            return None
        self._memory.stop(device, sum(value.nbytes for values in evaluated for value in values.values()))
        return [*evaluated]

    def _one_by_one(self, pieces: list[Piece], work: list[Work], error: Exception) -> list[Values | Failed]:
        """The pieces of a batch at which the model raised `error`, each alone: the others are not lost."""
        if len(pieces) == 1:
            return [self._failed(pieces[0], work[0][1], error)]
        found: list[Values | Failed] = []
        for piece, (_, start, _) in zip(pieces, work, strict=True):
            try:
                (values,) = self._evaluate([piece])
            except Exception as own:  # whatever a foreign model raises
                if not ends_the_system(own):
                    raise
                found.append(self._failed(piece, start, own))
            else:
                # the model may hand out the same buffer
                found.append({name: value.clone() for name, value in values.items()})
        if not any(isinstance(one, Failed) for one in found):
            raise cannot_mix([piece.system for piece in pieces], error) from error
        return found

    def _failed(self, piece: Piece, start: int, error: Exception) -> Failed:
        """At which copy the model raises, found by halves, where it is one by itself."""
        low, high = 0, piece.rotations.shape[0]
        while high - low > 1:
            middle = (low + high) // 2
            met = self._raised(piece, low, middle)
            low, high, error = (middle, high, error) if met is None else (low, middle, met)
        alone = self._raised(piece, low, high)
        return Failed(piece.system, error) if alone is None else Failed(piece.system, alone, start + low)

    def _raised(self, piece: Piece, low: int, high: int) -> Exception | None:
        """What the model raises at some of the copies."""
        try:
            self._call([Piece(piece.system, piece.rotations[low:high])])
        except Exception as error:  # whatever a foreign model raises
            if not ends_the_system(error):
                raise
            return error
        return None

    def _handed_in(self, work: list[Work]) -> tuple[Outputs, Captured] | None:
        """What another process returned for a batch, or what was called ahead of its turn."""
        return self._helped.take(*work[0]) if self._helped is not None and len(work) == 1 else None

    def _evaluate(self, pieces: list[Piece], returned: tuple[Outputs, Captured] | None = None) -> list[Values]:
        outputs, captured = returned or self._call(pieces)
        return self.rehearsal.look_again(pieces, beside(self._layers.split(captured, pieces), outputs))

    def _neighbour(self, pending: deque[Work], system: System) -> System | None:
        """The system with whose copies those of `system` will share a batch, or else one with which they could."""
        other = pending[-1][0] if pending else self.rehearsal.previous
        return other if other is not None and self._adapter.compatible(other, system) else None
