"""Audits of a model in training: when they are due, within what they may cost, and without a trace in the run."""

from __future__ import annotations

import dataclasses
import inspect
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..audit import audit
from ..errors import ArgumentError, DataError, DTypeError, fail
from ..fingerprint import fingerprint, told
from ..info import info
from ..probe.names import unwrapped
from ..report import Audit
from ..result.place import check_writable
from ..settings import Settings
from . import loggers as ways
from .clock import Clock, settle
from .data import Failed, Point
from .history import History
from .journal import Journal
from .schedule import NEVER, schedule
from .stored import FILE, failed_record, header, point_record, read, rewind_record
from .untouched import untouched

LMAX = 4
"""Highest degree of the spectra by default: what tensors of rank four carry, at a tenth of the cost of lmax 8."""

BATCH_ROWS = 1024
"""The same at every point, on every machine; a search would find another one each time."""

OWN = ("model", "data", "out", "resume", "distributed")
"""Arguments of `equiscope.audit` that a tracker has under the same names for itself, or decides."""


class SymmetryTracker:
    """Audits a held-out set while a model is trained, from the untrained model on, and keeps a `History`.

    ::

        tracker = SymmetryTracker(data, inputs={"positions": "vector"}, outputs={"energy": "scalar"}, out="history/")
        for n in range(steps):
            tracker.step(model, n)
            ...                                  # the step from n to n + 1
        tracker.finish(model, steps)

    Args:
        data: what is audited at every point, as for `equiscope.audit`; a few systems that are not trained on.
        inputs, outputs, layers: as for `equiscope.audit`.
        every: steps at which an audit is due: "log" (0, 1, 2, 3, 4, 6, 10, 16, 25, ..., five in a factor of ten), a
            number of steps, or a list of steps. Whatever it says, the first call of `step` and `finish` are due.
        budget: share of the time since the first step that audits may take, above 0 and below 1. A due point at which
            one more audit like the last would exceed it is skipped and counted; the first and that of `finish` are
            not, though their time counts. None: nothing is skipped.
        out: a directory in which the history is kept as it grows. What was written is there whenever the run is
            killed. A history that is there already goes on; it must have been asked with the same settings and data.
        loggers: to which the scalars of each point are sent: objects with ``add_scalar(name, value, step)``
            (TensorBoard), ``log_metrics(dict, step)`` (Lightning), ``log_dict(dict)`` or ``log(dict)``, or functions of
            a dict.
        lmax, degree, batch_rows: as for `equiscope.audit`, but the same at every point, so that points can be compared:
            degree is 2 lmax by default. A batch size that is searched for ("auto"), or had to be halved, is the one
            found at the first point.
        settings: the other arguments of `equiscope.audit`.

    Raises:
        ArgumentError, DTypeError: wrong settings, when the tracker is made.
        DataError: `out` cannot be written, or holds the history of other settings or other data.

    `step` and `finish` raise nothing of what goes wrong in an audit, in a file or in a logger: the first time there is
    a warning, all failures of audits are in ``history.failures``, and training goes on. Weights, buffers, gradients,
    modes and random states are the same bits afterwards (`untouched`), and no optimiser is touched.

    In a process group of torch.distributed rank 0 audits its own module, the one inside of DistributedDataParallel; the
    others go on at once and wait for it where they next communicate, so an audit must take less than the timeout of
    the group. A module that rank 0 cannot evaluate alone, as under FSDP, ends in a warning. What torch.compile
    made is audited as it was written.
    """

    def __init__(
        self,
        data: Any,
        *,
        inputs: Any = None,
        outputs: Any = None,
        layers: Any = None,
        every: Any = "log",
        budget: float | None = 0.05,
        out: str | Path | None = None,
        loggers: Sequence[Any] = (),
        lmax: int | None = LMAX,
        degree: int | str | None = None,
        batch_rows: int | str = BATCH_ROWS,
        **settings: Any,
    ) -> None:
        # a generator would be used up by the first point
        self.data = list(data) if isinstance(data, Iterator) else data
        if not isinstance(loggers, Iterable):
            fail(DTypeError, "loggers", "loggers in a list", repr(loggers))
        self.loggers = list(loggers)
        for logger in self.loggers:
            ways.check(logger)
        self._after = schedule(every)
        self._clock = Clock(budget)
        if degree is None and lmax is not None and settings.get("estimator", "quadrature") == "quadrature":
            degree = 2 * lmax if _whole(lmax) else None
        self._asked = {
            **{"inputs": inputs, "outputs": outputs, "layers": layers, "lmax": lmax, "degree": degree},
            **{"batch_rows": batch_rows, "progress": False, **settings},
        }
        _check(self._asked)
        self._next: float = -math.inf
        self._at: float = -math.inf
        self._warned: set[str] = set()
        self._journal = None if out is None else Journal(check_writable(out, "out") / FILE)
        self.history = History() if self._journal is None else self._resumed(self._journal)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments with which ``equiscope.audit(model, data, **settings)`` repeats a point bit for bit."""
        rows = self.history.settings.get("batch_rows")
        return dict(self._asked) if rows is None else {**self._asked, "batch_rows": rows}

    def step(self, model: Any, n: int) -> Point | None:
        """To be called before every step of training, with the number n of steps that `model` has made.

        Returns the new point, or None, at once, where none is due. Numbers may leave steps out, but not fall.
        """
        if n < self._next:
            if n < self._at:
                self._warn("steps", f"step: expected numbers that do not fall, got {n} after {self._at}")
            self._at = n
            return None
        if not _is_first_rank():
            self._next = NEVER
            return None
        begins = self._at < 0 and self._begin(int(n))
        self._at, self._next = n, self._after(n)
        if not begins:
            if self.history.points and n < self._after(self.history.points[-1].step):
                return None  # resumed between two points
            if not self._clock.allows():
                self.history.skipped += 1
                return None
        return self._audit(model, int(n))

    def finish(self, model: Any, n: int) -> History:
        """To be called after training: the model as it is now is the last point, and pages and pictures are written."""
        if not _is_first_rank():
            return self.history
        if self._at < 0:
            self._begin(int(n))
        if not self.history.points or self.history.points[-1].step < n:
            self._audit(model, int(n))
        self._at = max(self._at, n)
        if self._journal is not None:
            try:
                self.history.save(self._journal.path.parent)
            except Exception as error:
                self._warn("page", f"the page of the history could not be written: {_told(error)}")
        return self.history

    def callback(self, model: Any = None) -> Any:
        """A callback of Lightning that calls `step` and `finish`, to be handed to its Trainer.

        model: the name of an attribute of the LightningModule, or a function of it: what is audited. None: all of it.
        Raises `MissingExtraError` where there is no Lightning.
        """
        from .lightning import callback

        return callback(self, model)

    def _begin(self, n: int) -> bool:
        """The first call. Whether the model must be audited: there is no point yet, or those from here on are old."""
        last = self.history.points[-1] if self.history.points else None
        self._clock.start(*self.history.clock)
        if last is None:
            return True
        self._clock.last = last.audit.timings.get("total", 0.0)
        if last.step < n:
            return False
        if self.history.points[0].step >= n and last.step > n:
            self._warn(
                "rewind", f"the history in {self._place} is begun anew from step {n}; it went to step {last.step}"
            )
        self.history.rewind(n)
        self._write(rewind_record(n))
        return True

    def _audit(self, model: Any, n: int) -> Point | None:
        model = unwrapped(model) if isinstance(model, torch.nn.Module) else model
        settle()
        error: Exception | None = None
        with self._clock.audit():
            try:
                report = self._measure(model)
            except Exception as raised:
                error = raised
        seconds, spent = self._clock.seconds, self._clock.spent
        if error is not None:
            failed = Failed(n, seconds, spent, _told(error))
            self.history.failures.append(failed)
            self._write(failed_record(failed))
            self._warn("audit", f"the audit at step {n} failed, and training goes on: {failed.reason}")
            return None
        point = Point(n, seconds, spent, report, self.history.skipped)
        self.history.add(point)
        with self._clock.counted():
            self._write(point_record(point))
            self._log(point)
        return point

    def _measure(self, model: Any) -> Audit:
        """One audit. The first one of a history settles the size of batches, and is repeated if that was another."""
        report = self._audited(model, self.settings)
        if self.history.settings:
            return report
        rows = report.settings["batch_rows"]
        if rows != self._asked["batch_rows"]:
            report = self._audited(model, {**self._asked, "batch_rows": rows})
        self.history.settings = {**self._identity(), "batch_rows": rows, "environment": info()}
        self._write(header(self.history.settings))
        return report

    def _audited(self, model: Any, settings: dict[str, Any]) -> Audit:
        with untouched(model):
            return audit(model, self.data, **settings, distributed=False)

    def _identity(self) -> dict[str, Any]:
        """What all points of one history have in common."""
        asked = {name: told(value) for name, value in self._asked.items() if name != "progress"}
        return {"asked": asked, "data": fingerprint(self.data), "budget": self._clock.share}

    def _resumed(self, journal: Journal) -> History:
        """The history of a run that goes on; refused if it was asked otherwise."""
        history = read(History, journal)
        if not history.settings:
            return history
        own = self._identity()
        if history.settings["data"] != own["data"]:
            fail(
                DataError, "data", f"those of the history in {self._place}", "others (take another directory for them)"
            )
        for name in sorted({*own["asked"], *history.settings["asked"]}):
            here, there = (own["asked"].get(name), history.settings["asked"].get(name))
            if here != there:
                fail(DataError, name, f"{there!r}, as in the history in {self._place}", f"{here!r}")
        return history

    @property
    def _place(self) -> str:
        return "memory" if self._journal is None else repr(str(self._journal.path.parent))

    def _write(self, record: dict[str, Any]) -> None:
        if self._journal is None or "file" in self._warned:
            return  # a file that lacks a record is not written to any more
        try:
            self._journal.append(record)
        except Exception as error:
            self._warn("file", f"the history goes on in memory alone: {_told(error)}")

    def _log(self, point: Point) -> None:
        for logger in self.loggers:
            try:
                ways.send(logger, point.scalars(), point.step)
            except Exception as error:
                self._warn(
                    "logger", f"{type(logger).__name__} did not take the scalars of step {point.step}: {_told(error)}"
                )

    def _warn(self, what: str, message: str) -> None:
        """Once for each kind of trouble."""
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(message, RuntimeWarning, stacklevel=3)


def _check(asked: dict[str, Any]) -> None:
    """Refuse at once what every audit would refuse, as far as it can be seen without a model."""
    known = inspect.signature(audit).parameters
    for name in asked:
        if name not in known or name in OWN:
            fail(
                ArgumentError,
                name,
                f"an argument of equiscope.audit ({', '.join(set(known) - set(OWN))})",
                "no such one",
            )
    values = {name: asked.get(name, parameter.default) for name, parameter in known.items()}
    Settings(**{each.name: values[each.name] for each in dataclasses.fields(Settings)}).check()


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_first_rank() -> bool:
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
