"""The rows of an audit, one for each system, as a file that is read where it is asked for: JSON, one row a line."""

from __future__ import annotations

import hashlib
import json
import math
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload

from .data import SystemRow

FEW = 4096
"""Up to so many are held in memory, and stand in ``audit.json``."""


class Rows(Sequence[SystemRow]):
    """Rows in a file that stays open, so that it may be renamed, and replaced by another.

    A new one of no name grows by `append` and is nowhere but on the disk.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._starts = array("q")
        self._end = 0
        self._digest = hashlib.sha256()
        file.seek(0)
        for line in file:
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
        """One more at the end."""
        line = encode(row)
        self._file.seek(self._end)
        self._file.write(line)
        self._note(line)

    def content(self) -> Iterator[bytes]:
        """Of the file, in pieces."""
        self._file.flush()
        handle, at = self._file.fileno(), 0
        while piece := os.pread(handle, 1 << 20, at):
            yield piece
            at += len(piece)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> SystemRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[SystemRow]: ...
    def __getitem__(self, index: int | slice) -> SystemRow | list[SystemRow]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        self._file.seek(self._starts[index])
        return decode(self._file.readline())

    def __iter__(self) -> Iterator[SystemRow]:
        left = b""
        for piece in self.content():
            *whole, left = (left + piece).split(b"\n")
            yield from map(decode, whole)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def opened(path: Path) -> Rows:
    """The rows in a file. Raises `OSError` where it cannot be read."""
    return Rows(open(path, "rb"))


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
