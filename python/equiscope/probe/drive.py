"""Evaluates a model on every rotated copy of every system, in batches filled across systems and rotations."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch

from ..adapters.base import Adapter, Piece, System
from ..adapters.rows import RowCounts
from ..errors import ModelError, ran_out
from ..groups.representation import Representation
from ..measure.measure import Measure
from .batch import BatchRows
from .hooks import Capture
from .memory import Memory

REHEARSAL_COPIES = 2
"""Identical copies in the first call for a system: the fewest that show how copies lie in a tensor."""


@dataclass(frozen=True)
class Begin:
    """A system starts: its values on the unrotated input, and how much they change when evaluated again."""

    system: System
    values: dict[str, torch.Tensor]
    """Per output or layer ``(samples, channels, components)``."""
    noise: dict[str, float]
    """Per output or layer: root mean square change of one entry between evaluations of the same input."""


@dataclass(frozen=True)
class Slice:
    """Values on elements ``start:stop`` of the grid, ``(copies, samples, channels, components)``."""

    system: System
    start: int
    stop: int
    values: dict[str, torch.Tensor]


@dataclass(frozen=True)
class End:
    """The last element of the grid was evaluated."""

    system: System


@dataclass(frozen=True)
class Layers:
    """Brings captured hidden tensors to ``(copies, samples, channels, 1)``, the last axis as channels.

    Where a representation is declared the last axis holds its components: ``(copies, samples, 1, components)``.
    """

    representations: Mapping[str, Representation]
    rows: RowCounts = field(default_factory=RowCounts)
    copies_axis: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def learn(self, captured: dict[str, torch.Tensor], system: System) -> dict[str, torch.Tensor]:
        """Rehearsal: find the axis of copies by the one fact known, that all copies are identical."""
        values = {}
        for name, tensor in captured.items():
            if name in self.skipped:
                continue
            axes = [self.copies_axis[name]] if name in self.copies_axis else [0, 1]
            for axis in axes:
                part = self._try(name, tensor, axis, system)
                if part is not None:
                    self.copies_axis[name] = axis
                    values[name] = self._canonical(name, part)
                    break
            else:
                reason = f"neither the first nor the second axis of {tuple(tensor.shape)} runs over the copies"
                if name in self.copies_axis:
                    raise ModelError(f"{name}: expected the layout of earlier systems, got in {system.name!r} {reason}")
                self.skipped[name] = reason
        return values

    def unheard(self, elsewhere: Set[str], captured: Mapping[str, torch.Tensor]) -> None:
        """Say what is left out because only other threads called it."""
        heard = {leaf.partition("[")[0].partition("#")[0] for leaf in captured}
        self.skipped.update(dict.fromkeys(elsewhere - heard, "its module is called in other threads than the audit's"))

    def _try(self, name: str, tensor: torch.Tensor, axis: int, system: System) -> torch.Tensor | None:
        if tensor.ndim <= axis or tensor.shape[axis] % REHEARSAL_COPIES or tensor.shape[axis] == 0:
            return None
        part = self.rows.learn(name, system.name, tensor.movedim(axis, 0), REHEARSAL_COPIES)
        # a stochastic layer differs from copy to copy: then only the shape can decide
        first, second = part[0].double(), part[1].double()
        spread = float((first - second).abs().max())
        alike = spread <= 1e-2 * max(float(first.abs().max()), 1e-30) or not torch.isfinite(part).all()
        return part if alike or tensor.shape[axis] == REHEARSAL_COPIES else None

    def split(self, captured: dict[str, torch.Tensor], pieces: list[Piece]) -> list[dict[str, torch.Tensor]]:
        systems = [piece.system.name for piece in pieces]
        copies = [piece.rotations.shape[0] for piece in pieces]
        values: list[dict[str, torch.Tensor]] = [{} for _ in pieces]
        for name, axis in self.copies_axis.items():
            if name not in captured:
                raise ModelError(f"{name}: expected one call per forward pass, got none for {', '.join(systems)}")
            parts = self.rows.split(name, systems, copies, captured[name].movedim(axis, 0))
            for own, part in zip(values, parts, strict=True):
                own[name] = self._canonical(name, part)
        return values

    def _canonical(self, name: str, part: torch.Tensor) -> torch.Tensor:
        copies, last = part.shape[0], part.shape[-1] if part.ndim > 2 else 1
        kind = self.representations.get(name)
        if kind is None:
            return part.reshape(copies, -1, last, 1)
        kind.check(tuple(part.shape[1:]), f"layers[{name!r}]")
        return part.reshape(copies, -1, 1, kind.components)


Work = tuple[System, int, int]
"""Some copies of one system, by their places in the grid."""


class Drive:
    """Iterates over `Begin`, `Slice` and `End` events; `drop` stops a system before its end.

    Every system is evaluated from element `first` of the grid on. Batches hold at most ``batch_rows.rows`` rows and
    `batch_bytes` bytes of inputs, at least one copy. Memory does not grow with the number of rotations or systems.
    """

    def __init__(
        self,
        adapter: Adapter,
        measure: Measure,
        *,
        first: int = 0,
        systems: Iterator[System],
        capture: Capture | None,
        layer_representations: Mapping[str, Representation],
        batch_rows: BatchRows,
        batch_bytes: int | None = None,
        memory: Memory,
    ) -> None:
        self._adapter = adapter
        self._measure = measure
        self._first = first
        self._systems = systems
        self._capture = capture
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        self._memory = memory
        self._dropped: set[str] = set()
        self.layers = Layers(layer_representations)
        self.evaluations = 0

    def drop(self, system: System) -> None:
        """Evaluate no further copies of `system`; no `End` follows."""
        self._dropped.add(system.name)
        self._forget(system)

    def __iter__(self) -> Iterator[Begin | Slice | End]:
        size = len(self._measure)
        pending: deque[Work] = deque()
        rows = nbytes = 0
        for system in self._systems:
            begin = self._begin(system)
            if pending and self._memory.crowded(begin.values):
                yield from self._flush(pending)
                rows = nbytes = 0
            self._memory.begin(system, begin.values)
            yield begin
            position = self._first
            while position < size and system.name not in self._dropped:
                if pending and not self._adapter.compatible(pending[0][0], system):
                    yield from self._flush(pending)
                    rows = nbytes = 0
                count = min(self._room(system, rows, nbytes), size - position)
                if count:
                    pending.append((system, position, position + count))
                    position += count
                    rows += count * system.rows
                    nbytes += count * system.nbytes
                if position < size or not self._room(system, rows, nbytes):
                    yield from self._flush(pending)
                    rows = nbytes = 0
        yield from self._flush(pending)

    def _room(self, system: System, rows: int, nbytes: int) -> int:
        """Copies of `system` that still fit; an empty batch always takes one."""
        room = (self._memory.rows(self._batch_rows.rows) - rows) // system.rows
        if self._batch_bytes is not None:
            room = min(room, (self._batch_bytes - nbytes) // max(1, system.nbytes))
        return max(room, 0 if rows else 1)

    def _flush(self, pending: deque[Work]) -> Iterator[Slice | End]:
        while pending:
            work = self._take(pending)
            if not work:
                continue
            evaluated = self._measured(work)
            if evaluated is None:
                pending.extendleft(reversed(work))
                continue
            for (system, start, stop), values in zip(work, evaluated, strict=True):
                yield Slice(system, start, stop, values)
                if stop == len(self._measure) and system.name not in self._dropped:
                    yield End(system)
                    self._forget(system)
            del evaluated, values  # else they stay in memory while the model runs on the next batch

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

    def _measured(self, work: list[Work]) -> list[dict[str, torch.Tensor]] | None:
        """Values of a batch, timed and weighed; None where it does not fit into memory and has to be smaller."""
        device = work[0][0].device
        rows = sum((stop - start) * system.rows for system, start, stop in work)
        pieces = [
            Piece(system, self._measure.elements(system.name).to(device).select(start, stop))
            for system, start, stop in work
        ]
        self._memory.start(device, rows)
        began = time.perf_counter()
        try:
            evaluated = self._evaluate(pieces)
        except Exception as error:  # whatever a foreign model raises
            if not ran_out(error) or sum(stop - start for _, start, stop in work) == 1:
                raise
            evaluated = None
        if evaluated is None:
            self._memory.shrink()
            self._batch_rows.at_most(self._memory.most_rows)
            return None
        if device.type == "cuda" and self._batch_rows.searching:
            torch.cuda.synchronize(device)
        self._batch_rows.record(rows, time.perf_counter() - began, device)
        self._memory.stop(device, sum(value.nbytes for values in evaluated for value in values.values()))
        return evaluated

    def _evaluate(self, pieces: list[Piece]) -> list[dict[str, torch.Tensor]]:
        outputs, captured = self._call(pieces)
        values = self.layers.split(captured, pieces)
        for i, own in enumerate(values):
            own.update({name: parts[i] for name, parts in outputs.items()})
        return values

    def _call(self, pieces: list[Piece]) -> tuple[dict[str, list[torch.Tensor]], dict[str, torch.Tensor]]:
        if self._capture is not None:
            self._capture.clear()
        copies = sum(piece.rotations.shape[0] for piece in pieces)
        outputs = dict(self._adapter.forward(pieces))
        self.evaluations += copies
        calls = copies if self._adapter.calls_per_copy else 1
        return outputs, self._capture.take(calls) if self._capture is not None else {}

    def _begin(self, system: System) -> Begin:
        """Two calls on the unrotated input: one learns the layout, both together show the noise."""
        self._memory.rehearse(system)
        identity = torch.eye(3, dtype=torch.float64, device=system.device)
        piece = Piece(system, identity.expand(REHEARSAL_COPIES, 3, 3))
        runs: list[dict[str, torch.Tensor]] = []
        while len(runs) < 2:
            outputs, captured = self._call([piece])
            if self._capture is not None and self._capture.overwritten():
                continue
            if self._capture is not None:
                self.layers.unheard(self._capture.elsewhere, captured)
            runs.append({**self.layers.learn(captured, system), **{k: v[0] for k, v in outputs.items()}})
        spread = []
        for name, first in runs[0].items():
            both = torch.cat([first, runs[1][name]]).double()
            spread.append((both[1:] - both[:1]).square().sum().div(max(1, both[1:].numel())).sqrt())
        noise = numbers(spread)
        values = {name: value[0] for name, value in runs[0].items()}
        return Begin(system, values, dict(zip(values, noise, strict=True)))

    def _forget(self, system: System) -> None:
        self._memory.end(system)
        self.layers.rows.forget(system.name)
        self._adapter.forget(system)


def numbers(scalars: Sequence[torch.Tensor]) -> list[Any]:
    """The values of 0-dimensional tensors, fetched from their device at once."""
    return torch.stack([scalar.to(scalars[0].device) for scalar in scalars]).tolist() if scalars else []
