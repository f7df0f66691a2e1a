"""Where a session writes down what came of systems, and from where it learns what others wrote."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..adapters.base import System
from ..result.data import SystemRow
from .board import Board
from .entry import Entry
from .left import LeftOut
from .pooled import Pooled
from .units import Unit

Values = dict[str, Any]
"""JSON values."""


@dataclass
class Notes:
    """What one process has to say of the systems that it evaluated so far; plain values."""

    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was done, where nothing is wrong."""
    doubts: dict[str, str] = field(default_factory=dict)
    """By output: why an error of it may have gone unseen."""
    unrepeatable: str = ""
    """What is to be said where the same input gives different values."""
    left: LeftOut = field(default_factory=LeftOut)
    unheard: dict[str, str] = field(default_factory=dict)
    """By layer that hooks could not take: why."""
    settings: Values = field(default_factory=dict)
    """What was decided about model and data by looking at them."""
    evaluations: int = 0
    checks: int = 0
    model_seconds: float = 0.0
    seconds: float = 0.0
    helpers_seconds: float = 0.0
    """What other processes spent on systems of this one, without what it spent on theirs. Counts and `model_seconds`
    are those of its systems, whoever evaluated them."""
    rank: int = 0

    @classmethod
    def joined(cls, parts: Sequence[Notes]) -> Notes:
        """That of several processes; `seconds` are those of all."""
        found = cls(left=LeftOut.joined(part.left for part in parts))
        for part in parts:
            found.warnings = list(dict.fromkeys((*found.warnings, *part.warnings)))
            found.notes = list(dict.fromkeys((*found.notes, *part.notes)))
            found.doubts = {**part.doubts, **found.doubts}
            found.unrepeatable = found.unrepeatable or part.unrepeatable
            found.unheard |= part.unheard
            found.settings |= part.settings
            found.evaluations += part.evaluations
            found.checks += part.checks
            found.model_seconds += part.model_seconds
            found.seconds += part.seconds
            found.helpers_seconds += part.helpers_seconds
        return found


class Book(ABC):
    """One run, of one process or several. `pooled` holds what was `closed`."""

    pooled: Pooled
    rows: Sequence[SystemRow]
    """Of the systems that have numbers, in the order of the data."""

    alone = True
    """Whether there is one process."""

    board: Board | None = None
    """By which several processes share one system."""

    @abstractmethod
    def done(self, place: int) -> bool:
        """Whether the system there is in the book since before this session."""

    @abstractmethod
    def begun(self) -> Values | None:
        """What the first systems showed, by which all others are evaluated; None where this process is to find out."""

    @abstractmethod
    def read(self, place: int, system: System) -> None:
        """A system was read from the data, by whoever is going to evaluate it."""

    @abstractmethod
    def begin(self, found: Values, systems: Sequence[System], entries: Sequence[Entry], notes: Notes) -> None:
        """The first systems ended; arguments beside `found` are as for `write`."""

    @abstractmethod
    def open(self, units: Iterable[Unit]) -> Iterator[Unit]:
        """The units that this process is to evaluate."""

    def held(self, place: int) -> System | None:
        """The system there, evaluated by itself and perhaps by another process, where it is still at hand."""
        return None

    @abstractmethod
    def write(self, systems: Sequence[System], entries: Sequence[Entry], notes: Notes) -> None:
        """These systems ended, each with its entry. Whatever happens then, all of it is in the book or nothing."""

    @abstractmethod
    def close(self, stop: int) -> None:
        """No system before the place `stop` is open any more, in any process."""

    @abstractmethod
    def told(self, what: str, find: Callable[[], Values]) -> Values:
        """The same in all processes: what one of them finds, after it has closed what all wrote."""

    @abstractmethod
    def notes(self) -> list[Notes]:
        """Of all processes, as far as they are known."""


class Alone(Book):
    """The run of one process, which is lost with it."""

    def __init__(self, pooled: Pooled) -> None:
        self.pooled = pooled
        self.rows: list[SystemRow] = []
        self._notes = Notes()

    def done(self, place: int) -> bool:
        return False

    def begun(self) -> None:
        return None

    def read(self, place: int, system: System) -> None:
        pass

    def begin(self, found: Values, systems: Sequence[System], entries: Sequence[Entry], notes: Notes) -> None:
        self.write(systems, entries, notes)

    def open(self, units: Iterable[Unit]) -> Iterator[Unit]:
        return iter(units)

    def write(self, systems: Sequence[System], entries: Sequence[Entry], notes: Notes) -> None:
        for entry in entries:
            self.pooled.add(entry)
            if entry.row is not None:
                self.rows.append(entry.row)
        self._notes = notes

    def close(self, stop: int) -> None:
        pass

    def told(self, what: str, find: Callable[[], Values]) -> Values:
        return find()

    def notes(self) -> list[Notes]:
        return [self._notes]
