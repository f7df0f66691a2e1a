"""A history as records: what stands in its file, line by line, and back."""

from __future__ import annotations

from typing import Any, TypeVar

from ..errors import DataError, EquiscopeError, fail
from .data import Failed, HistoryData, Point
from .journal import Journal
from .records import Record, decode_point_audit, encode_point_audit

FILE = "history.jsonl"
"""Holds all of a history; everything else in its directory is made of it."""

SCHEMA = 1
"""Version of the layout of its records; raised by every change that an older reader would misread."""

Kind = TypeVar("Kind", bound=HistoryData)


def read(kind: type[Kind], journal: Journal) -> Kind:
    """What the records of `journal` say, as a `kind`; an empty one where there are none."""
    history = kind()
    for i, record in enumerate(journal.records):
        try:
            _take(history, record)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            if isinstance(error, DataError):
                raise
            got = f"one that lacks or garbles {error}" if not isinstance(error, EquiscopeError) else str(error)
            fail(DataError, f"{journal.path}, line {i + 1}", f"a record of schema {SCHEMA}", got)
    return history


def _take(history: HistoryData, record: Record) -> None:
    kind = record["kind"]
    if kind == "history":
        if record["schema"] != SCHEMA:
            got = f"schema {record['schema']!r}: another version of equiscope wrote it"
            fail(DataError, FILE, f"schema {SCHEMA}", got)
        history.settings = record["settings"]
    elif kind == "point":
        audit = decode_point_audit(record)
        history.add(Point(record["step"], record["seconds"], record["spent"], audit, record["skipped"]))
    elif kind == "failed":
        history.failures.append(Failed(**{key: value for key, value in record.items() if key != "kind"}))
    elif kind == "rewind":
        history.rewind(record["step"])
    else:
        raise ValueError(f"kind {kind!r}")


def header(settings: dict[str, Any]) -> Record:
    """The first record."""
    return {"kind": "history", "schema": SCHEMA, "settings": settings}


def point_record(point: Point) -> Record:
    """Of one point."""
    numbers = {"step": point.step, "seconds": point.seconds, "spent": point.spent, "skipped": point.skipped}
    return {"kind": "point", **numbers, **encode_point_audit(point.audit)}


def failed_record(failed: Failed) -> Record:
    """Of one failure."""
    return {"kind": "failed", **vars(failed)}


def rewind_record(step: int) -> Record:
    """What was seen from `step` on is of no run any more."""
    return {"kind": "rewind", "step": step}
