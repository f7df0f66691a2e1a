"""One system evaluated by several processes: who has it offers its batches where others have nothing to do, and takes
what they return in the order of the elements, so that sums are those of one process.

The next batch goes to whoever is free, the owner of the system among them, who spends less of its time in the model the
more helpers there are: it alone accumulates.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ..adapters.base import Piece, System
from ..measure.measure import Measure
from .board import Board, Offer, Spent
from .copies import Start
from .evaluate import Captured, Evaluator, Outputs
from .layers import Layers
from .rehearsal import Rehearsal

LEAST = 2
"""Whole batches that must be left of a system: fewer are not worth the rehearsal of a helper."""

HANDED_IN = 2
"""Batches that a helper hands in before one of them is taken."""


class Helped:
    """For the process that has the system. `spent` grows by what helpers did."""

    def __init__(
        self, board: Board, evaluator: Evaluator, layers: Layers, place: Callable[[System], int], spent: Spent
    ) -> None:
        self._board, self._evaluator, self._layers = board, evaluator, layers
        self._place, self._spent = place, spent
        self._offer: Offer | None = None
        self._system: System | None = None
        self._measure: Measure | None = None
        self._claimed = 0
        """Batches below which each was claimed, here or elsewhere."""
        self._ahead: _Ahead | None = None
        """The batch that was claimed here before its turn, if there is one."""

    def offer(self, measure: Measure, system: System, start: int, copies: int) -> None:
        """Offer all whole batches of `copies` elements from `start` on, where somebody has nothing else to do."""
        batches = (len(measure) - start) // copies
        if self._offer is not None or batches < LEAST or not self._board.is_read:
            return
        wanted = self._layers.wanted(system)
        self._offer = self._board.offer(system, self._place(system), len(measure), start, copies, batches, wanted)
        self._system, self._measure, self._claimed, self._ahead = system, measure, batches, None

    def take(self, system: System, start: int, stop: int) -> tuple[Outputs, Captured] | None:
        """What the model returned for these elements, asked for in their order; None: it is to be called now."""
        offer = self._offer
        if offer is None or self._system is not system:
            return None
        batch = offer.batch(start, stop)
        if batch is None:
            # batches became smaller, or these are the last elements
            self.close()
            return None
        self._board.went_by(offer, batch)
        if self._ahead is None and batch < self._claimed and not self._board.is_there(offer, batch):
            mine = self._board.claim(offer)
            if mine == batch:
                return None
            if mine is not None:
                self._ahead = self._called(offer, mine)
        if self._ahead is not None and self._ahead.batch == batch:
            ahead, self._ahead = self._ahead, None
            if ahead.calls == self._evaluator.calls:
                return ahead.returned
            if ahead.returned is not None:
                # evaluated once more, and counted once
                self._spent.checks += offer.copies
            return None
        return self._collected(offer, batch, system.device) if batch < self._claimed else None

    def close(self) -> None:
        """Take nothing more of what was offered."""
        if self._offer is not None:
            self._board.withdraw(self._offer)
            self._board.went_by(self._offer, self._offer.batches)
        self._offer = self._system = self._measure = self._ahead = None

    def _collected(self, offer: Offer, batch: int, device: torch.device) -> tuple[Outputs, Captured] | None:
        found = self._board.collect(offer, batch, device)
        if found is None:
            self._claimed = self._board.withdraw(offer)
            return None
        outputs, captured, spent = found
        self._spent.add(spent)
        return outputs, captured

    def _called(self, offer: Offer, batch: int) -> _Ahead:
        assert self._measure is not None and self._system is not None
        returned: tuple[Outputs, Captured] | None = None
        # whatever a foreign model raises, it raises again in its turn
        with contextlib.suppress(Exception):
            returned = self._evaluator([piece_of(offer, batch, self._measure, self._system)])
        return _Ahead(batch, returned, self._evaluator.calls)


@dataclass(frozen=True)
class _Ahead:
    """What the model returned for a batch; None where it raised."""

    batch: int
    returned: tuple[Outputs, Captured] | None
    calls: int
    """Of the model until then: with the next one it may use its memory again."""


class Helper:
    """For a process that waits: evaluates batches of systems of others.

    `rehearsal` is its own, of whose findings nothing is reported: adapters learn of every system by it. `spent` is
    diminished by what was done for others. `system` gives the one at a place of the data, where it is at hand, and
    `measure` the one of so many elements.
    """

    def __init__(
        self,
        board: Board,
        evaluator: Evaluator,
        rehearsal: Rehearsal,
        system: Callable[[int], System | None],
        measure: Callable[[int], Measure],
        spent: Spent,
    ) -> None:
        self._board, self._evaluator, self._rehearsal = board, evaluator, rehearsal
        self._find, self._measure, self._spent = system, measure, spent
        self._offers: list[tuple[Offer, System]] = []
        """Those in which there may be batches that nobody claimed."""
        self._handed_in: list[int] = []
        """Batches of the offer in `_at` that may not have been taken."""
        self._at: Offer | None = None
        self._rehearsed: System | None = None
        self._work = Spent()
        """Since the last batch that was handed in."""

    def help(self) -> bool:
        """Do a piece of work for another process; whether there was any."""
        for offer in self._board.unread():
            system = self._find(offer.place)
            if system is not None and self._board.mark(system) == offer.mark:
                self._offers.append((offer, system))
        if not self._offers:
            return False
        known = (one for one in self._offers if one[1] is self._rehearsed)
        offer, system = next(known, self._offers[self._board.turn % len(self._offers)])
        # before a batch is claimed, for which its owner may have to wait
        if self._rehearsed is not system:
            self._rehearse(offer, system)
            return True
        return self._evaluate(offer, system)

    def _rehearse(self, offer: Offer, system: System) -> None:
        self.close()
        try:
            with self._working():
                self._rehearsed = system
                started = self._rehearsal.start(system, None, offer.copies)
                if isinstance(started, Start):
                    self._rehearsal.begin(started)
        except Exception:  # whatever a foreign model raises, the owner will meet
            self.close()
            self._offers.remove((offer, system))

    def _evaluate(self, offer: Offer, system: System) -> bool:
        """Whether there was a batch to evaluate."""
        if self._at is not offer:
            self._at, self._handed_in = offer, []
        gone_by = self._board.gone_by(offer)
        self._handed_in = [batch for batch in self._handed_in if batch >= gone_by]
        if len(self._handed_in) >= HANDED_IN:
            return False
        batch = self._board.claim(offer)
        if batch is None:
            self._offers.remove((offer, system))
            return False
        try:
            with self._working():
                outputs, captured = self._evaluator([piece_of(offer, batch, self._measure(offer.elements), system)])
        except Exception:  # likewise
            self._board.give_back(offer, batch)
            self._offers.remove((offer, system))
            return True
        self._work.checks = self._work.evaluations - offer.copies
        wanted = {name: captured[name] for name in offer.layers if name in captured}
        self._board.hand_in(offer, batch, outputs, wanted, self._work)
        self._handed_in.append(batch)
        self._work = Spent()
        return True

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """What is done meanwhile is done for another process."""
        before = self._done()
        try:
            yield
        finally:
            done = self._done()
            done.add(before, -1)
            self._work.add(done)
            self._spent.add(done, -1)

    def _done(self) -> Spent:
        """What this process did so far."""
        evaluator = self._evaluator
        return Spent(evaluator.evaluations, 0, evaluator.adapter.model_seconds, time.perf_counter())

    def close(self) -> None:
        """No batch of the system that was helped with will follow."""
        if self._rehearsed is not None:
            self._rehearsal.forget(self._rehearsed)
            self._rehearsed = None


def piece_of(offer: Offer, batch: int, measure: Measure, system: System) -> Piece:
    """The copies of one batch."""
    elements = measure.elements(system.name).to(system.device).select(*offer.bounds(batch))
    return Piece(system, elements)
