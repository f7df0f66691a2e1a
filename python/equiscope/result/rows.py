"""The rows of an audit, one for each system, as a file that is read where it is asked for: JSON, one row a line."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from ..errors import DataError, fail
from .data import SystemRow

PIECE = 1 << 20
"""Bytes that are read at once."""

FEW = 4096
"""Up to so many are held in memory, and stand in ``audit.json``."""


class Rows(Sequence[SystemRow]):
    """Rows in an open file, which may be renamed or replaced by another; `handle` belongs to them, and is closed with
    them. Those of a new file grow by `append`, and are nowhere but on the disk.
    """

    def __init__(self, handle: int, place: Path) -> None:
        self._handle, self._place = handle, place
        weakref.finalize(self, os.close, handle)
        self._starts = array("q")
        self._end = 0
        self._digest = hashlib.sha256()
        for line in self._lines():
            self._note(line)

    def _note(self, line: bytes) -> None:
        self._starts.append(self._end)
        self._end += len(line)
        self._digest.update(line)

    @property
    def sha256(self) -> str:
        """Of the content of the file."""
        return self._digest.hexdigest()

    def append(self, row: SystemRow) -> None:
        """One more at the end. Raises `DataError` where there is no room for it."""
        line = encode(row)
        try:
            if os.pwrite(self._handle, line, self._end) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            expected = "room for the rows of all systems beside what is kept of them (resume=True goes on)"
            fail(DataError, "out", expected, f"none on the disk of {str(self._place)!r} ({error.strerror})")
        self._note(line)

    def content(self) -> Iterator[bytes]:
        """Of the file, in pieces."""
        at = 0
        while piece := os.pread(self._handle, PIECE, at):
            yield piece
            at += len(piece)

    def _lines(self) -> Iterator[bytes]:
        left = b""
        for piece in self.content():
            *whole, left = (left + piece).split(b"\n")
            yield from (line + b"\n" for line in whole)
        if left:
            yield left

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> SystemRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[SystemRow]: ...
    def __getitem__(self, index: int | slice) -> SystemRow | list[SystemRow]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        start, stop = self._starts[place], (*self._starts[place + 1 : place + 2], self._end)[0]
        return decode(os.pread(self._handle, stop - start, start))

    def __iter__(self) -> Iterator[SystemRow]:
        return map(decode, self._lines())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def opened(path: Path) -> Rows:
    """The rows in a file. Raises `OSError` where it cannot be read."""
    return Rows(os.open(path, os.O_RDONLY), path.parent)


def encoded(rows: Iterable[SystemRow]) -> Iterator[bytes]:
    """The content of a file of these rows, in pieces."""
    return rows.content() if isinstance(rows, Rows) else map(encode, rows)


def encode(row: SystemRow) -> bytes:
    """One line. JSON has no NaN and no infinity: they are strings in their place."""
    body = vars(row)
    try:
        text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_spelled(body), separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def decode(line: bytes) -> SystemRow:
    """The inverse of `encode`; any of the usual errors where it is not what that made."""
    body = json.loads(line)
    for table in (body["outputs"], body["layers"]):
        for name, values in table.items():
            table[name] = {key: float(value) if isinstance(value, str) else value for key, value in values.items()}
    return SystemRow(**body)


def _spelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spelled(inner) for key, inner in value.items()}
    return str(float(value)) if isinstance(value, float) and not math.isfinite(value) else value
