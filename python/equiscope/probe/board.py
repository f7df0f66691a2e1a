"""Where processes offer batches to whoever has nothing else to do, and hand in what the model returned for them.

Offers, claims and labels go by the store of the processes, tensors by files in the directory that all of them see: no
backend of torch.distributed is asked, and nothing waits for a process that died.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..adapters.base import System
from ..ranks import IDLE, Ranks
from .evaluate import Captured, Outputs
from .parcel import receive, send

PARCELS = "batch.*.part"
"""Files of batches on their way."""


@dataclass(frozen=True)
class Offer:
    """Batches of one system, all of one size: ``for batch: first + batch * copies`` is its first element."""

    number: int
    place: int
    """Of the system in the data."""
    mark: str
    """What model and system it is."""
    elements: int
    """Of the whole orbit."""
    first: int
    copies: int
    batches: int
    layers: list[str]
    """Hidden values that are asked for."""

    def bounds(self, batch: int) -> tuple[int, int]:
        """First element of a batch, and the one behind its last."""
        start = self.first + batch * self.copies
        return start, start + self.copies

    def batch(self, start: int, stop: int) -> int | None:
        """Which batch holds these elements and no others; None where none does."""
        batch, rest = divmod(start - self.first, self.copies)
        return batch if not rest and stop - start == self.copies and 0 <= batch < self.batches else None

    def __str__(self) -> str:
        return f"offer {self.number}"


@dataclass
class Spent:
    """Work that one process did for the systems of another."""

    evaluations: int = 0
    checks: int = 0
    """Evaluations among these that were for checks."""
    model_seconds: float = 0.0
    seconds: float = 0.0

    def add(self, other: Spent, times: int = 1) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + times * value)


class Board:
    """One for each process; `mark` says what model and system it is."""

    def __init__(self, ranks: Ranks, directory: Path, mark: Callable[[System], str]) -> None:
        self._ranks, self._directory, self.mark = ranks, directory, mark
        self._read = 0
        """Offers that this process has seen."""

    # -- of the process that has the system ----------------------------------------------------------------------

    @property
    def is_read(self) -> bool:
        """Whether a process has nothing else to do."""
        return self._ranks.add(IDLE, 0) > 0

    def offer(
        self, system: System, place: int, elements: int, first: int, copies: int, batches: int, layers: list[str]
    ) -> Offer:
        """Offer these batches to all who read the board."""
        number = self._ranks.claim("offers")
        made = Offer(number, place, self.mark(system), elements, first, copies, batches, layers)
        self._ranks.tell(str(made), asdict(made))
        return made

    def collect(self, offer: Offer, batch: int, device: torch.device) -> tuple[Outputs, Captured, Spent] | None:
        """What the model returned for a batch that somebody claimed, waited for; None where it could not be
        evaluated."""
        what = f"{offer} batch {batch}"
        self._ranks.until(lambda: self.is_there(offer, batch))
        told = self._ranks.heard(what)
        self._ranks.forget(what)
        if told["label"] is None:
            return None
        return *receive(self._file(offer, batch), told["label"], device), Spent(**told["spent"])

    def is_there(self, offer: Offer, batch: int) -> bool:
        """Whether somebody handed it in."""
        return self._ranks.heard(f"{offer} batch {batch}") is not None

    def went_by(self, offer: Offer, batches: int) -> None:
        """So many batches were accumulated."""
        self._ranks.tell(f"{offer} went by", batches)

    def withdraw(self, offer: Offer) -> int:
        """Let nobody claim further batches; returns how many were claimed."""
        return min(self._ranks.add(f"{offer} claims", offer.batches) - offer.batches, offer.batches)

    # -- of whoever claims batches -------------------------------------------------------------------------------

    def claim(self, offer: Offer) -> int | None:
        """A batch that nobody else evaluates; None where all were claimed."""
        batch = self._ranks.claim(f"{offer} claims")
        return batch if batch < offer.batches else None

    def unread(self) -> Iterator[Offer]:
        """Offers that were made since the last time."""
        while self._read < self._ranks.add("offers", 0):
            told = self._ranks.heard(f"offer {self._read}")
            if told is None:
                return  # it is being written
            self._read += 1
            yield Offer(**told)

    def gone_by(self, offer: Offer) -> int:
        """Batches that were accumulated so far."""
        return self._ranks.heard(f"{offer} went by") or 0

    def hand_in(self, offer: Offer, batch: int, outputs: Outputs, captured: Captured, spent: Spent) -> None:
        """What the model returned for a batch."""
        label = send(self._file(offer, batch), outputs, captured)
        self._ranks.tell(f"{offer} batch {batch}", {"label": label, "spent": asdict(spent)})

    def give_back(self, offer: Offer, batch: int) -> None:
        """This process could not evaluate it."""
        self._ranks.tell(f"{offer} batch {batch}", {"label": None})

    @contextlib.contextmanager
    def read_by(self, helps: Callable[[], bool]) -> Iterator[None]:
        """Within the block, this process `helps` while it waits for others."""
        self._ranks.meanwhile = helps
        try:
            yield
        finally:
            self._ranks.meanwhile = None

    @property
    def turn(self) -> int:
        """Which offer this process takes first, where there are several."""
        return self._ranks.rank

    def _file(self, offer: Offer, batch: int) -> Path:
        return self._directory / f"batch.{offer.number}.{batch}.part"


def clear(directory: Path) -> None:
    """Remove batches that nobody will collect."""
    for path in directory.glob(PARCELS):
        with contextlib.suppress(OSError):
            path.unlink()
