"""A run in a directory: every process writes what it finished to a log of its own, and the first puts it together.

The logs are all that there is: a run that was stopped, by whatever, is what they hold, and goes on from there.
"""

from __future__ import annotations

import dataclasses
import heapq
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ..adapters.base import System
from ..errors import DataError, ModelError, fail
from ..groups.registry import named
from ..interrupts import undisturbed
from ..measure.measure import ESTIMATORS, Measure, Question
from ..ranks import START, Ranks, place
from ..result.data import SystemRow
from ..result.files import NUMBERS, READERS
from ..result.log import Log, is_taken, taken
from ..result.rows import FEW, Rows
from .board import Board, clear
from .book import Book, Notes, Values
from .entry import Entry, encode
from .logs import Logs, log_of
from .outcome import Head, outcome
from .pooled import Pooled
from .units import Unit

SCHEMA = 4
"""Version of the layout of records; raised by every change that an older reader would misread."""

LEFT = "left"
"""Mark of what the model became by being called, and its name in what an audit that ended says of its run."""

LOCK = "run.lock"
"""Held, and signed, by the first process of a run."""

AHEAD = 64
"""Units for each process among which the largest are evaluated first: that many are held."""

DIGESTS = {
    "model": "another (parameters, code, or what it holds, of earlier calls too)",
    "data": "another",
    "targets": "another",
}
"""What is compared by digests, which say nothing to a reader, and what is said instead."""


class Run(Book):
    """Context manager: within, nobody else writes to `directory`.

    `record` says what the run is: its ``identity`` must be the same for it to go on, where `resume` is asked for;
    `digest` says which system one is; `lasting`, whether the directory stays. A run that was stopped is not
    overwritten.
    """

    def __init__(
        self,
        directory: Path,
        pooled: Pooled,
        record: Values,
        digest: Callable[[System], str],
        *,
        resume: bool,
        ranks: Ranks,
        lasting: bool,
    ) -> None:
        self.given, self.pooled = directory, pooled
        # a model may change the directory that others are relative to
        self.directory = directory.absolute()
        self.alone = ranks.size == 1
        self._record, self._digest, self._resume, self._ranks = record, digest, resume, ranks
        self._lasting = lasting
        self._logs = Logs(self.directory)
        self._count: int | None = None
        """How many systems an earlier session of the run found the data to have."""
        self._done = b""
        """By place, whether that system ended before this session."""
        self._closed = 0
        """Place up to which all systems are in `pooled`."""
        self._met = 0
        """Units that were seen so far, of which another process may have claimed some."""
        self._claimed: int | None = None
        self._near: list[Unit] = []
        """Units of which some may still be evaluated: the latest ones, and before these the largest."""
        model = record["identity"].get("model", "")
        self.board = None if self.alone else Board(ranks, self.directory, lambda system: f"{model} {digest(system)}")
        self._stack = ExitStack()

    def __enter__(self) -> Run:
        with ExitStack() as stack:
            if self._ranks.rank == 0:
                stack.enter_context(locked(self.directory))
                self._logs.scan()
                self._prepare()
                clear(self.directory)
                self._ranks.tell("opened", True)
            else:
                self._ranks.ask("opened", START)
                self._logs.scan()
            # all processes have to come to the same units, whatever each reads in the logs later on
            self._done = self._logs.ended()
            self._log = Log(log_of(self.directory, self._ranks.rank))
            stack.callback(self._log.close)
            if not self._log.size:
                self._log.append("run", self._record)
            self._log.append("session", {"rank": self._ranks.rank, "process": place()})
            with tempfile.TemporaryFile(dir=self.directory) as file:
                self._rows = Rows(os.dup(file.fileno()), self.directory)
            self._ranks.meet("ready", START)
            stack.callback(vars(self._ranks).update, watch=None, left="")
            self._ranks.watch, self._ranks.left = self._watch(), self.kept
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    # -- before it begins ----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Refuse what is no run of this model, data and settings; remove what holds no system."""
        there = self._logs.record
        if there is None or not len(self._logs):
            self._logs.clear()
        elif not self._resume:
            what = f"{str(self.given)!r}, which holds {self._logs.told()} of one that was stopped"
            expected = "resume=True, or another directory for a new run (or this one without its systems.rank*.log)"
            fail(DataError, "out", expected, what)
        else:
            check_schema(there, self.given)
            compare(there["identity"], self._record["identity"], self.given, self._logs.left)
            self._count = self._logs.end if there["head"]["count"] is None else there["head"]["count"]
            if (now := self._record["head"]["count"]) is not None:
                self._check_count(now)
            # the systems that had ended by then are in the logs too
            if not self.replaces:
                (self.directory / NUMBERS).unlink(missing_ok=True)

    def _check_count(self, count: int | str) -> None:
        if self._count not in (None, count):
            was = f"the {self._count} systems with which the run in {str(self.given)!r} was begun"
            fail(DataError, "data", was, count)

    @property
    def replaces(self) -> bool:
        """Whether the directory holds an audit that had ended."""
        try:
            return STOPPED not in (self.directory / NUMBERS).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return False

    @property
    def goes_on(self) -> bool:
        """Whether systems ended before this session."""
        return any(self._done)

    def _watch(self) -> Callable[[], None] | None:
        """What raises an error where a process died that matters to this one: none has to for the first."""
        others = range(1, self._ranks.size) if self._ranks.rank == 0 else (0,)
        files = {rank: log_of(self.directory, rank) for rank in others}
        if self.alone or not all(map(is_taken, files.values())):
            return None  # a file system without locks: torchrun sees it all the same

        def look() -> None:
            for rank, path in files.items():
                # one that ended as it should has no log any more
                if not is_taken(path) and path.exists():
                    raise ModelError(
                        f"processes: expected all {self._ranks.size} to go on, got rank {rank} dead; {self.kept}"
                    )

        return look

    @property
    def kept(self) -> str:
        """What the errors of this run end with: what is left of it, in words."""
        if not self._lasting:
            return "what all had finished is lost without out="
        what = "what had finished" if self.alone else "what all had finished"
        return f"{what} is kept in {str(self.given)!r}, and resume=True goes on"

    # -- what a session asks -------------------------------------------------------------------------------------

    def done(self, place: int) -> bool:
        return place < len(self._done) and bool(self._done[place])

    def read(self, place: int, system: System) -> None:
        if place == self._count:
            self._check_count("more")
        if self._ranks.rank == 0 and self.done(place) and self._digest(system) != self._logs.digest(place):
            was = f"system {place} as it was when the run in {str(self.given)!r} was stopped"
            fail(DataError, "data", was, f"another one ({system.name!r})")

    def begun(self) -> Values | None:
        if self._ranks.rank:
            found: Values = self._ranks.ask("begun")
            return found
        begun = self._logs.begun
        if begun is not None and self.alone:
            # the size of batches may have been searched for a little longer
            last = [notes.settings["batch_rows"] for notes in self.notes() if notes.settings]
            begun = {**begun, "rows": last[-1] if last else begun["rows"]}
        if begun is not None:
            self._ranks.tell("begun", begun)
        return begun

    def begin(self, found: Values, systems: Sequence[System], entries: Sequence[Entry], notes: Notes) -> None:
        self._append(systems, entries, notes, {"begun": found})
        self._ranks.tell("begun", found)

    def open(self, units: Iterable[Unit]) -> Iterator[Unit]:
        if self.alone:
            yield from units
            return
        following = iter(units)
        while block := list(islice(following, AHEAD * self._ranks.size)):
            self._near = [*heapq.nlargest(self._ranks.size, self._near, key=lambda unit: unit.rows), *block]
            for unit in sorted(block, key=lambda unit: -unit.rows):
                self._ranks.check()
                if self._claimed is None:
                    self._claimed = self._ranks.claim("unit")
                if self._met == self._claimed:
                    yield unit
                    self._claimed = None
                self._met += 1

    def held(self, place: int) -> System | None:
        return next((unit.systems[0] for unit in self._near if unit.first == place), None)

    def write(self, systems: Sequence[System], entries: Sequence[Entry], notes: Notes) -> None:
        self._append(systems, entries, notes, {})

    def _append(self, systems: Sequence[System], entries: Sequence[Entry], notes: Notes, more: Values) -> None:
        digests = [self._digest(system) for system in systems]
        mark = ",".join(f"{entry.place}:{digest}" for entry, digest in zip(entries, digests, strict=True))
        notes.rank = self._ranks.rank
        body = {"entries": [encode(entry) for entry in entries], "notes": dataclasses.asdict(notes), **more}
        self._log.append(f"{'begun,' if more else ''}{mark}" or "-", body)

    def close(self, stop: int) -> None:
        self._ranks.meet(f"closed {stop}")
        self._near = []
        if self._ranks.rank == 0:
            self._logs.scan()
            missing = [place for place in range(self._closed, stop) if place not in self._logs]
            if missing:
                lost = f"{len(missing)} that no process wrote down, system {missing[0]} the first"
                raise ModelError(f"processes: expected every system to end, got {lost}; {self.kept}")
            self._take(stop)

    def _take(self, stop: int) -> None:
        for entry in self._logs.entries(self._closed, stop):
            with undisturbed():  # none is taken twice where this is interrupted
                self.pooled.add(entry)
                if entry.row is not None:
                    self._rows.append(entry.row)
                self._closed = entry.place + 1
        self._closed = stop

    def gather(self) -> None:
        """Put together what is there: the run was stopped."""
        self._logs.scan()
        self._take(max(self._closed, self._logs.stop))

    def told(self, what: str, find: Callable[[], Values]) -> Values:
        if self._ranks.rank:
            found: Values = self._ranks.ask(what)
            return found
        found = find()
        self._ranks.tell(what, found)
        return found

    def notes(self) -> list[Notes]:
        return self._logs.notes()

    @property
    def rows(self) -> Sequence[SystemRow]:  # type: ignore[override]
        return self._rows if len(self._rows) > FEW else list(self._rows)

    def end(self) -> None:
        """The data have ended. Refuses those that an earlier session found to have more systems; a later one will be
        refused with others."""
        self._check_count(self._closed)
        if self._logs.stop > self._closed:
            was = f"the systems with which the run in {str(self.given)!r} was begun, {self._logs.stop} or more"
            fail(DataError, "data", was, f"{self._closed}")
        self._log.append("end", {"systems": self._closed})

    def leave(self, model: str) -> None:
        """That is the digest of the model as this session leaves it."""
        self._log.append(LEFT, {"model": model})

    def identity(self, left: str) -> Values:
        """What the run is of, where this session leaves a model of that digest."""
        assert self._logs.record is not None
        found: Values = self._logs.record["identity"]
        others = sorted(self._logs.left | {left} - {found.get("model")})
        return {**found, LEFT: others} if others else found

    @property
    def data(self) -> str:
        """A digest of all systems."""
        return self._logs.data()

    def finish(self) -> None:
        """All of it was saved: the logs are not needed any more."""
        self._logs.clear()
        clear(self.directory)


class locked:
    """Context manager: `directory` belongs to this process. Raises `DataError` naming the one that has it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK

    def __enter__(self) -> None:
        while True:
            self._file: BinaryIO = self._writable(lambda: open(self._path, "a+b", buffering=0))
            if not taken(self._file):
                self._file.seek(0)
                who = self._file.read().decode("utf-8", "replace")
                self._file.close()
                got = f"{str(self._path.parent)!r}, where {who or 'one'} does"
                fail(DataError, "out", "a directory that no other run writes to", got)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._file.fileno()), os.stat(self._path)):
                    break
            self._file.close()  # the one that had it has just removed the file
        self._writable(lambda: self._file.truncate(0))
        self._writable(lambda: self._file.write(place().encode()))

    def _writable(self, write: Callable[[], Any]) -> Any:
        try:
            return write()
        except OSError as error:
            got = f"{str(self._path.parent)!r} ({error.strerror})"
            fail(DataError, "out", "a directory that files can be written to", got)

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):
            os.unlink(self._path)
        self._file.close()


def check_schema(record: Values, directory: Path) -> None:
    """Refuse a run whose records another version would misread."""
    if record["schema"] != SCHEMA:
        got = f"schema {record['schema']!r}: another version of equiscope wrote it, which can go on with it"
        fail(DataError, str(directory), f"a run of schema {SCHEMA}", got)


def compare(there: Values, here: Values, directory: Path, left: Collection[str] = ()) -> None:
    """Refuse to go on with a run that was asked otherwise; its model may be as an earlier session `left` it. Raises
    `DataError` naming the argument."""
    for name in sorted({*there, *here}):
        was, now = there.get(name), here.get(name)
        if was != now and not (name == "model" and now in left):
            expected = f"what it was when the run in {str(directory)!r} was begun"
            if name in DIGESTS:
                fail(DataError, name, expected, DIGESTS[name])
            fail(DataError, name, f"{expected} ({was!r})", repr(now))


def record_of(head: Head, measure: Measure, question: Question | None, identity: Values, environment: Values) -> Values:
    """What a log says of its run at its beginning, so that it can be read without model and data."""
    asked = None if question is None else {**vars(question), "group": question.group.name}
    return {
        "schema": SCHEMA,
        "head": dataclasses.asdict(head),
        "estimator": measure.name,
        "question": asked,
        "identity": identity,
        "environment": environment,
    }


STOPPED = "stopped_after"
"""The setting that says of an audit that it is of a part of the data."""


def stopped(fields: dict[str, Any], ended: int, count: int | None) -> str:
    """Say in the `fields` of an audit that it is of a part of the data; returns how large that is."""
    told = f"{ended} systems" if count is None else f"{ended} of {count} systems"
    fields["settings"][STOPPED] = told
    fields["warnings"].insert(0, f"the audit was stopped after {told}: no other system is in any number")
    return told


def is_unfinished(directory: Path) -> bool:
    """Whether there is a run in which a system ended."""
    logs = Logs(directory)
    logs.scan()
    return len(logs) > 0


def unfinished(directory: Path) -> dict[str, Any] | None:
    """The fields of the audit of the systems that ended in a run that was stopped; None where there is no run."""
    logs = Logs(directory)
    logs.scan()
    record = logs.record
    if record is None:
        return None
    check_schema(record, directory)
    if not len(logs):
        fail(DataError, "directory", "a run in which a system ended", f"none in {str(directory)!r}")
    head, measure = Head(**record["head"]), _measure(record, directory)
    pooled, rows = Pooled(measure.group, head.lmax, list(head.outputs)), list[SystemRow]()
    for entry in logs.entries(0, logs.stop):
        pooled.add(entry)
        if entry.row is not None:
            rows.append(entry.row)
    begun = logs.begun or {}
    measure = measure.sized(begun["elements"]) if begun else measure
    fields = outcome(head, measure, pooled, rows, logs.notes(), list(begun.get("convergence", ())))
    stopped(fields, len(pooled), head.count)
    return {**fields, "environment": record["environment"]}


def _measure(record: Mapping[str, Any], directory: Path) -> Measure:
    """That with which the run began."""
    asked, kind = record["question"], ESTIMATORS.get(record["estimator"])
    group = None if asked is None else named(asked["group"])
    if asked is None or kind is None or group is None:
        expected = "a run with a group and an estimator that are known by name (resume=True goes on with it)"
        fail(DataError, "directory", expected, repr(str(directory)))
    return kind.of(Question(**{**asked, "group": group}))


READERS.append(unfinished)
