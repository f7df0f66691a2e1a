"""An audit that is ready to run: where its systems are evaluated, what is kept of it, and what comes back."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from .adapters.base import Adapter, Request, System
from .errors import RAISED_EVERYWHERE, ArgumentError, DataError, EquiscopeError, ModelError, annotate, fail
from .fingerprint import Digest, fingerprint
from .info import info
from .interrupts import Terminated, terminable, undisturbed
from .measure.measure import Measure
from .measure.quantity import QUANTITIES
from .probe.book import Alone, Book
from .probe.logs import joined
from .probe.names import unwrapped
from .probe.outcome import Head, outcome
from .probe.pooled import Pooled
from .probe.run import LEFT, Run, compare, is_unfinished, record_of, stopped
from .probe.session import Session
from .ranks import START, Ranks, host
from .report import Audit
from .result.files import NUMBERS, pack, write
from .settings import Settings
from .version import VERSION

IDENTITY = "run"
"""Setting that says of what an audit is, so that it is not made again."""


@dataclass(frozen=True)
class Task:
    """An audit that is ready to run."""

    asked: Settings
    request: Request
    adapter: Adapter
    measure: Measure
    session: Session
    ranks: Ranks

    def run(self) -> Audit:
        """In memory, or in a directory: that of the result, or one that several processes share for the time."""
        if self.asked.out is not None:
            with terminable():
                return self._in(Path(self.asked.out))
        if self.ranks.size > 1:
            with shared_directory(self.ranks) as directory:
                return self._in(directory)
        book = Alone(Pooled(self.measure.group, self.asked.resolved, list(self.adapter.outputs)))
        self._evaluate(book)
        return self._result(book)

    def _evaluate(self, book: Book) -> None:
        # tensors made in inference mode are kept by caches, and could never be differentiated
        with self.session.memory.explained(), self.session, torch.inference_mode(False), torch.no_grad():
            self.session.run(self.measure, book)

    def _in(self, directory: Path) -> Audit:
        """Everything finished is in `directory` at once; the first process puts it together."""
        if self.asked.resume and (ended := self._ended(directory)) is not None:
            return ended
        with self._opened(directory) as book, self._leaving(book):
            if book.goes_on and self._model.unread:
                unread = ", ".join(sorted(self._model.unread))
                self.session.remark(
                    f"the run went on as if what the model holds of {unread} were the same, which cannot be seen"
                )
            try:
                self._evaluate(book)
            except (KeyboardInterrupt, Terminated) as stop:
                with undisturbed():
                    self._keep_partial(book, stop)
                raise
            if self.ranks.rank:
                self.ranks.ask("saved")
                return Audit.load(book.directory)
            book.end()
            if not book.pooled.systems:
                book.finish()  # there is nothing to go on with
            result = self._result(book)
            result.settings[IDENTITY] = {**book.identity(self._left), "data": book.data}
            with _telling(book):
                self._save(result, book.directory)
            book.finish()
            self.ranks.tell("saved", True)
            return result

    def _opened(self, directory: Path) -> Run:
        asked, pooled = self.asked, Pooled(self.measure.group, self.asked.resolved, list(self.adapter.outputs))
        question = None if isinstance(asked.estimator, Measure) else asked.question(judged=bool(self.adapter.outputs))
        record = record_of(_head(asked, self.adapter), self.measure, question, self._identity, _environment())
        how = {"resume": asked.resume, "lasting": asked.out is not None}
        return Run(directory, pooled, record, self._digest, ranks=self.ranks, **how)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What must be the same for a run to go on."""
        versions = {"equiscope": VERSION, "torch": torch.__version__}
        found = {"model": self._model.text, "quantities": sorted(QUANTITIES)}
        asked = {**found, **self.request.identity(), **self.asked.identity(), **versions}
        return {name: value for name, value in asked.items() if value is not None}

    @cached_property
    def _model(self) -> Digest:
        """As it is before it is called."""
        return Digest(self.adapter.identity())

    @property
    def _left(self) -> str:
        """The digest of the model as it is by now."""
        return fingerprint(self.adapter.identity())

    @contextmanager
    def _leaving(self, book: Run) -> Iterator[None]:
        """A model that is changed by being called, one that keeps its last features or neighbours, can go on with
        what it was called for here."""
        try:
            yield
        except BaseException:
            with undisturbed(), suppress(DataError):
                if not self.ranks.rank and (left := self._left) != self._model.text:
                    book.leave(left)
            raise

    def _digest(self, system: System) -> str:
        labels = () if self.request.labels is None else self.request.labels.content(system.name)
        return fingerprint([system.name, self.adapter.content(system), labels])

    def _ended(self, directory: Path) -> Audit | None:
        """The audit in `directory`, if it is this one; None where there is a run to go on with, or nothing."""
        if not (directory / NUMBERS).exists() or is_unfinished(directory):
            return None
        found = Audit.load(directory)
        if IDENTITY not in found.settings:
            return None
        data = joined(self._digest(system) for system in self.adapter.systems())
        was = dict(found.settings[IDENTITY])
        compare(was, {**self._identity, "data": data}, directory, was.pop(LEFT, ()))
        return found

    def _save(self, result: Audit, directory: Path) -> None:
        if self.asked.out is not None:
            result.save(directory, self.asked.formats)
        else:
            write(directory, pack(result), {}, ())

    def _keep_partial(self, book: Run, stop: BaseException) -> None:
        """Save the systems that ended as an audit; `stop` then says what was saved."""
        if self.ranks.rank:
            stop.args = (f"stopped; {book.kept}",)
            return
        try:
            book.gather()
            if not book.pooled.systems:
                stop.args = ("stopped before any system had ended: nothing is saved",)
                return
            result = self._result(book)
            told = stopped(vars(result), len(book.pooled), self.adapter.count)
            if book.replaces:
                kept = f"which are kept in {str(book.given)!r} beside the audit that had ended there"
                stop.args = (f"stopped after {told}, {kept}, and resume=True goes on",)
                return
            self._save(result, book.directory)
        except DataError as error:
            stop.args = (f"stopped; {book.kept}, though their audit could not be saved: {error}",)
            return
        stop.args = (f"stopped after {told}, which are saved in {str(book.given)!r}",)

    def _result(self, book: Book) -> Audit:
        pooled = book.pooled
        if not pooled.systems:
            error = self.session.collector.raised
            if error is not None:
                if not isinstance(error, EquiscopeError):
                    annotate(error, RAISED_EVERYWHERE)
                raise error
            reasons = "; ".join(f"{f.system}: {f.where}: {f.reason}" for f in pooled.failures[:5])
            raise ModelError(f"model: expected finite values for at least one system, got none ({reasons})")
        head, begun = _head(self.asked, self.adapter), self.session.measure
        found = outcome(head, begun, pooled, book.rows, book.notes(), self.session.convergence)
        return Audit(**found, environment=_environment())


@contextmanager
def _telling(book: Run) -> Iterator[None]:
    """What keeps the audit from being saved says that its systems are kept all the same."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}; {book.kept}") from error
    except (KeyboardInterrupt, Terminated) as stop:
        stop.args = (f"stopped while the audit was saved; {book.kept}",)
        raise
    except Exception as error:  # of a picture of one's own
        annotate(error, f"equiscope: {book.kept}")
        raise


def _environment() -> dict[str, Any]:
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {**info(), "date": date}


def _head(asked: Settings, adapter: Adapter) -> Head:
    return Head(
        lmax=asked.resolved,
        outputs={name: kind.name for name, kind in adapter.outputs.items()},
        count=adapter.count,
        units={**adapter.units, **(asked.units or {})},
        reference_rmse=dict(asked.reference_rmse or {}),
        settings={
            "lmax_asked": asked.lmax,
            "keep": asked.keep,
            "batch_rows_asked": asked.batch_rows,
            "max_memory": asked.max_memory,
            "hookable": is_hookable(adapter),
            "unasked": list(adapter.unasked),
        },
    )


@contextmanager
def shared_directory(ranks: Ranks) -> Iterator[Path]:
    """A directory for the time of an audit, of processes on one machine."""
    if ranks.rank == 0:
        with tempfile.TemporaryDirectory(prefix="equiscope-") as name:
            ranks.tell("directory", {"name": name, "host": host()})
            yield Path(name)
            ranks.meet("left")
        return
    told = ranks.ask("directory", START)
    if told["host"] != host():
        expected = "a directory that the processes of all machines see"
        fail(ArgumentError, "out", expected, f"None on {told['host']} and {host()}")
    yield Path(told["name"])
    ranks.meet("left")


def is_hookable(adapter: Adapter) -> bool:
    """Whether there are hidden modules that can be listened to."""
    return adapter.module is not None and not isinstance(unwrapped(adapter.module), torch.jit.ScriptModule)
