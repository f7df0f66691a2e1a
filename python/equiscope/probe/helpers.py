"""One system evaluated by several processes: who has it offers its batches where others have nothing to do, and takes
what they return in the order of the elements, so that sums are those of one process.

The next batch goes to whoever is free, the owner of the system among them, who spends less of its time in the model the
more helpers there are: it alone accumulates.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from ..adapters.base import Piece, System
from ..measure.measure import Measure
from .board import Board, Offer, Spent
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
        self._own: dict[int, tuple[Outputs, Captured] | None] = {}
        """Batches that were claimed here, ahead of their turn; None: the model raised."""

    def offer(self, measure: Measure, system: System, start: int, copies: int) -> None:
        """Offer all whole batches of `copies` elements from `start` on, where somebody has nothing else to do."""
        batches = (len(measure) - start) // copies
        if self._offer is not None or batches < LEAST or not self._board.is_read:
            return
        wanted = self._layers.wanted(system)
        self._offer = self._board.offer(system, self._place(system), len(measure), start, copies, batches, wanted)
        self._system, self._measure, self._claimed, self._own = system, measure, batches, {}

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
        while batch not in self._own and batch < self._claimed and not self._board.is_there(offer, batch):
            if self._own or (mine := self._board.claim(offer)) is None:
                break
            if mine == batch:
                return None
            self._own[mine] = self._ahead(offer, mine)
        if batch in self._own:
            return self._own.pop(batch)
        return self._collected(offer, batch, system.device) if batch < self._claimed else None

    def close(self) -> None:
        """Take nothing more of what was offered."""
        if self._offer is not None:
            self._board.withdraw(self._offer)
            self._board.went_by(self._offer, self._offer.batches)
        self._offer = self._system = self._measure = None
        self._own = {}

    def _collected(self, offer: Offer, batch: int, device: torch.device) -> tuple[Outputs, Captured] | None:
        found = self._board.collect(offer, batch, device)
        if found is None:
            self._claimed = self._board.withdraw(offer)
            return None
        outputs, captured, spent = found
        self._spent.add(spent)
        return outputs, captured

    def _ahead(self, offer: Offer, batch: int) -> tuple[Outputs, Captured] | None:
        assert self._measure is not None and self._system is not None
        try:
            outputs, captured = self._evaluator([piece_of(offer, batch, self._measure, self._system)])
        except Exception:  # whatever a foreign model raises comes again in its turn
            return None
        # the model may use its buffers again before this batch is taken
        return (
            {name: [part.clone() for part in parts] for name, parts in outputs.items()},
            {name: value.clone() for name, value in captured.items()},
        )


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
        self._handed_in: dict[int, list[int]] = {}
        """Batches of each that were handed in."""
        self._rehearsed: System | None = None

    def help(self) -> bool:
        """Evaluate one batch of another process; whether there was one."""
        for offer in self._board.unread():
            system = self._find(offer.place)
            if system is not None and self._board.mark(system) == offer.mark:
                self._offers.append((offer, system))
        if not self._offers:
            return False
        offer, system = self._offers[self._board.turn % len(self._offers)]
        gone_by = self._board.gone_by(offer)
        waiting = [batch for batch in self._handed_in.get(offer.number, ()) if batch >= gone_by]
        if len(waiting) >= HANDED_IN:
            return False
        batch = self._board.claim(offer)
        if batch is None or not self._hand_in(offer, batch, system):
            self._offers.remove((offer, system))
            self._handed_in.pop(offer.number, None)
            return batch is not None
        self._handed_in[offer.number] = [*waiting, batch]
        return True

    def _hand_in(self, offer: Offer, batch: int, system: System) -> bool:
        """Whether the batch could be evaluated."""
        before = self._done()
        try:
            self._rehearse(system, offer.copies)
            outputs, captured = self._evaluator([piece_of(offer, batch, self._measure(offer.elements), system)])
        except Exception:  # whatever a foreign model raises, the owner will meet
            self.close()
            self._board.give_back(offer, batch)
            return False
        finally:
            spent = self._done()
            spent.add(before, -1)
            self._spent.add(spent, -1)
        spent.checks = spent.evaluations - offer.copies
        wanted = {name: captured[name] for name in offer.layers if name in captured}
        self._board.hand_in(offer, batch, outputs, wanted, spent)
        return True

    def _done(self) -> Spent:
        """What this process did so far."""
        evaluator = self._evaluator
        return Spent(evaluator.evaluations, 0, evaluator.adapter.model_seconds, time.perf_counter())

    def _rehearse(self, system: System, room: int) -> None:
        if self._rehearsed is not system:
            self.close()
            self._rehearsed = system
            self._rehearsal.begin(system, None, room)

    def close(self) -> None:
        """No batch of the system that was helped with will follow."""
        if self._rehearsed is not None:
            self._rehearsal.forget(self._rehearsed)
            self._rehearsed = None


def piece_of(offer: Offer, batch: int, measure: Measure, system: System) -> Piece:
    """The copies of one batch."""
    elements = measure.elements(system.name).to(system.device).select(*offer.bounds(batch))
    return Piece(system, elements)
