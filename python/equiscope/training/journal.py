"""A file that grows by whole lines: each is on the disk before the next is begun, and says whether it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError, fail
from ..result.files import CHECKSUM, checksum


class Journal:
    """Records as JSON, one a line, each with its checksum. Nothing that was written is written again.

    Whoever is killed while it writes leaves a torn last line, which no reader takes for a record, and which the next
    writer cuts off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records, self._end, self._size = _read(path)
        """Those that were there when it was opened; where the last whole line ends; and the file."""

    def append(self, record: Mapping[str, Any]) -> None:
        """One record at the end, on the disk when this returns. Raises `DataError` where it cannot be written, or where
        another run has written since: two histories in one file would be none."""
        line = json.dumps({CHECKSUM: checksum(record), **record}, allow_nan=False).encode("ascii") + b"\n"
        try:
            with open(self.path, "ab") as file:
                if os.fstat(file.fileno()).st_size != self._size:
                    fail(DataError, str(self.path), "a history that one run writes", "one that another run has changed")
                file.truncate(self._end)
                self._size = self._end
                try:
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
                finally:
                    self._size = os.fstat(file.fileno()).st_size
        except OSError as error:
            fail(DataError, str(self.path), "a file that can be written", str(error.strerror))
        self._end = self._size


def _read(path: Path) -> tuple[list[dict[str, Any]], int, int]:
    """The records of a file, where the last whole line ends, and its size; nothing of a file that is not there."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0, 0
    except OSError as error:
        fail(DataError, str(path), "a readable file", str(error.strerror))
    end = content.rfind(b"\n") + 1
    return [_record(path, i, line) for i, line in enumerate(content[:end].splitlines())], end, len(content)


def _record(path: Path, i: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
        whole = checksum(record) == record[CHECKSUM]
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        fail(DataError, f"{path}, line {i + 1}", "a line as it was written", "an altered one: its checksum differs")
    return {key: value for key, value in record.items() if key != CHECKSUM}
