"""A file that grows by whole lines, each with its checksum: what a run has finished, whatever becomes of the run.

A line is ``<checksum> <mark> <JSON>``: 16 digits of the sha256 of what follows the first space, a word without spaces
that says what the line is about, and the record. Whoever is killed while a line is written leaves a torn last one,
which no reader takes for a record and the next writer cuts off.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError, fail

if sys.platform != "win32":
    import fcntl

SYNC = 1.0
"""Seconds after which lines are brought to the disk: a process that dies loses none, a machine that dies these."""

DIGITS = 16
"""Of the checksum."""


@dataclass(frozen=True)
class Line:
    """One whole line."""

    start: int
    """Where it begins in the file."""
    stop: int
    mark: str
    text: bytes

    @property
    def record(self) -> Any:
        return json.loads(self.text)


class Log:
    """The writer of such a file, one at a time. Raises `DataError` where another process writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = open(path, "a+b", buffering=0)
        except OSError as error:
            fail(DataError, "out", "a directory that files can be written to", f"{str(path)!r} ({error.strerror})")
        if not taken(self._file):
            self._file.close()
            fail(DataError, "out", "a directory that no other process writes to", repr(str(path)))
        self._end = 0
        for line in lines(path):
            self._end = line.stop
        self._synced = time.monotonic()
        os.ftruncate(self._file.fileno(), self._end)

    def append(self, mark: str, record: Any) -> None:
        """One line at the end. What is not written as a whole, for want of room on the disk, is taken back, and the
        lines before it stay."""
        body = f"{mark} {json.dumps(record, separators=(',', ':'))}\n".encode("ascii")
        content = _digest(body) + b" " + body
        try:
            written = 0
            while written < len(content):
                written += self._file.write(content[written:]) or 0
            self._end += len(content)
            if time.monotonic() - self._synced > SYNC:
                self.sync()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), self._end)
            expected = "room for what comes next (all systems before are kept there, and resume=True goes on)"
            fail(DataError, "out", expected, f"{str(self.path.parent)!r} ({error.strerror})")

    @property
    def size(self) -> int:
        """Bytes that were written so far."""
        return self._end

    def sync(self) -> None:
        """All lines are on the disk when this returns."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Another process may write it from now on."""
        with contextlib.suppress(OSError):
            self.sync()
        self._file.close()


def lines(path: Path, start: int = 0) -> Iterator[Line]:
    """The whole lines of a file from `start` on, where one begins; a torn last one is left out.

    Raises `DataError` naming the place of a line that was altered.
    """
    try:
        with open(path, "rb") as file:
            file.seek(start)
            yield from _lines(path, file, start)
    except OSError as error:
        fail(DataError, str(path), "a readable file", str(error.strerror))


def _lines(path: Path, file: BufferedReader, start: int) -> Iterator[Line]:
    altered: int | None = None
    for content in file:
        if altered is not None:
            # a machine that died may have left any last line
            expected = "a line as it was written (without that file, its systems are evaluated again)"
            fail(DataError, f"{path}, byte {altered}", expected, "an altered one")
        checksum, _, body = content.partition(b" ")
        if not content.endswith(b"\n") or checksum != _digest(body):
            altered = start
            continue
        mark, _, text = body.partition(b" ")
        yield Line(start, start + len(content), mark.decode("ascii"), text)
        start += len(content)


def line_at(path: Path, start: int) -> Any:
    """The record of the line that begins there, which was seen to be whole."""
    with open(path, "rb") as file:
        file.seek(start)
        return json.loads(file.readline().split(b" ", 2)[2])


def taken(file: BinaryIO) -> bool:
    """Whether the lock of an open file could be taken, which it keeps until it is closed or its process ends. True
    where the system has none."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_taken(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    if sys.platform == "win32":
        return False
    try:
        with open(path, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest()[:DIGITS].encode("ascii")
