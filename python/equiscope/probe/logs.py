"""What the logs of all processes of a run hold, by the places of systems in the data."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors import DataError, fail
from ..result.log import Line, line_at, lines
from .book import Notes, Values
from .entry import Entry, decode
from .left import LeftOut

FILES = 1 << 16
"""Logs that there may be."""


def log_of(directory: Path, rank: int) -> Path:
    """Where a process writes."""
    return directory / f"systems.rank{rank}.log"


def joined(digests: Iterable[str]) -> str:
    """One digest of many, in order."""
    found = sha256()
    for digest in digests:
        found.update(digest.encode("ascii"))
    return found.hexdigest()[:16]


class Logs:
    """All of them as one: `scan` takes in what was written since the last time. Memory is 16 bytes for a system."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._paths: list[Path] = []
        self._read: list[int] = []
        self._where = array("q")
        """By place: ``start of the line * FILES + number of the log``; -1 where there is none."""
        self._digests = array("Q")
        self._count = 0
        self._sessions: list[tuple[int, int]] = []
        """Log and last line of each time that a process wrote."""
        self._open: dict[int, int] = {}
        """By log, the last of its sessions."""
        self._begun: int | None = None
        self.record: Values | None = None
        """What the run is."""
        self.left: set[str] = set()
        """Digests of the model as sessions left it, that were changed by being called."""
        self.end: int | None = None
        """How many systems the data have, where they have been read to their end."""

    def __len__(self) -> int:
        """Systems that ended."""
        return self._count

    def __contains__(self, place: int) -> bool:
        return place < len(self._where) and self._where[place] >= 0

    def ended(self) -> bytes:
        """By place, whether the system there ended."""
        return bytes(where >= 0 for where in self._where)

    @property
    def stop(self) -> int:
        """Place behind the last system that ended."""
        return len(self._where)

    def digest(self, place: int) -> str:
        """Of the system there."""
        return f"{self._digests[place]:016x}"

    def data(self) -> str:
        """A digest of all systems, in order."""
        return joined(f"{digest:016x}" for digest in self._digests)

    def told(self) -> str:
        """How many systems ended, in words."""
        count = None if self.record is None else self.record["head"]["count"]
        return f"{len(self)} systems" if count is None else f"{len(self)} of {count} systems"

    def scan(self) -> None:
        """Take in what was written since the last time."""
        for path in sorted(self._directory.glob("systems.rank*.log")):
            if path not in self._paths:
                self._paths.append(path)
                self._read.append(0)
        for i, path in enumerate(self._paths):
            for line in lines(path, self._read[i]):
                self._take(i, line)
                self._read[i] = line.stop

    def _take(self, log: int, line: Line) -> None:
        if line.mark == "run":
            self.record = self.record or line.record
            return
        if not line.start or (line.mark != "session" and log not in self._open):
            self._refuse(log, line)
        if line.mark == "session":
            self._open[log] = len(self._sessions)
            self._sessions.append((log, -1))
            return
        if line.mark == "left":
            self.left.add(line.record["model"])
            return
        if line.mark == "end":
            self.end = line.record["systems"]
            return
        self._sessions[self._open[log]] = (log, line.start)
        where = line.start * FILES + log
        for part in line.mark.split(","):
            place, _, digest = part.partition(":")
            if place == "begun":
                self._begun = where
            elif digest:
                self._put(int(place), where, int(digest, 16))

    def _refuse(self, log: int, line: Line) -> None:
        """Lines were lost at the beginning of a log, without which those behind say nothing."""
        what = "the session that wrote it" if line.start else "the record of the run"
        expected = f"{what} before anything else (without that file, its systems are evaluated again)"
        fail(DataError, f"{self._paths[log]}, byte {line.start}", expected, f"a line of {line.mark!r:.60}")

    def _put(self, place: int, where: int, digest: int) -> None:
        missing = place + 1 - len(self._where)
        self._where.extend([-1] * missing)
        self._digests.extend([0] * missing)
        self._count += self._where[place] < 0
        self._where[place], self._digests[place] = where, digest

    @property
    def begun(self) -> Values | None:
        """What the first systems showed."""
        found: Values | None = None if self._begun is None else self._at(self._begun)["begun"]
        return found

    def entries(self, first: int, stop: int) -> Iterator[Entry]:
        """Of the systems that ended among the places ``first:stop``, in their order."""
        last, held = -1, dict[int, Any]()
        for place in range(first, min(stop, len(self._where))):
            where = self._where[place]
            if where < 0:
                continue
            if where != last:
                last, held = where, {body["place"]: body for body in self._at(where)["entries"]}
            yield decode(held[place])

    def _at(self, where: int) -> Any:
        start, log = divmod(where, FILES)
        return line_at(self._paths[log], start)

    def notes(self) -> list[Notes]:
        """The last ones of each time that a process wrote."""
        bodies = [self._at(start * FILES + log)["notes"] for log, start in self._sessions if start >= 0]
        return [Notes(**{**body, "left": LeftOut(**body["left"])}) for body in bodies]

    def clear(self) -> None:
        """Remove the files, and forget them."""
        for path in self._paths:
            with suppress(OSError):
                os.unlink(path)
        self.__init__(self._directory)  # type: ignore[misc]
