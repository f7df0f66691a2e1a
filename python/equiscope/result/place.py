"""Where an audit is written: checked before anything is computed, and then written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import NoReturn

from ..errors import DataError, DTypeError, fail
from ..interrupts import undisturbed

if sys.platform != "win32":
    import fcntl

ABANDONED = 86400.0
"""Seconds after which a temporary file has no writer any more: files are written in minutes at most."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp", re.DOTALL)


def check_writable(directory: str | Path, argument: str = "directory") -> Path:
    """`directory`, which the user gave as `argument`, as a path, created where it is missing, known to accept files.

    To be called before anything is computed, so that no audit is lost for want of a place. Temporary files that a
    writer left behind when it was killed are removed once they are a day old. Raises `DataError` naming the path when
    it is a file, lies under one, cannot be created, or refuses a file.
    """
    if not isinstance(directory, str | PathLike):
        fail(DTypeError, argument, "the path of a directory", repr(directory))
    path = Path(directory)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
        _sweep(path)
    except (OSError, ValueError) as error:
        _refuse(path, error, argument)
    return path


def write_all(directory: Path, contents: Mapping[str, bytes | Iterable[bytes]], stale: Callable[[str], bool]) -> None:
    """Every file of `contents` in `directory`, renamed into place in the order given; then `stale` ones go.

    All are first written under temporary names: whatever fails before the first renaming, a full disk above all,
    leaves the directory as it was. Ctrl-C waits until renaming and removing are done, and a second writer too. A death
    between two renamings leaves the files up to there new and the others old, also after a loss of power, so that
    the order decides what a reader can make of them. `stale` is asked about the names that are not in `contents`.
    """
    temporary = {name: directory / f".{name}.{secrets.token_hex(4)}.tmp" for name in contents}
    try:
        for name, content in contents.items():
            with open(temporary[name], "xb") as file:
                file.writelines([content] if isinstance(content, bytes) else content)
                file.flush()
                os.fsync(file.fileno())
        with _alone(directory), undisturbed():
            for name, path in temporary.items():
                os.replace(path, directory / name)
                _sync(directory)
            for name in sorted(os.listdir(directory)):
                if name not in contents and stale(name):
                    _remove(directory / name)
    except OSError as error:
        _refuse(directory, error)
    finally:
        for path in temporary.values():
            _remove(path)


def _sweep(directory: Path) -> None:
    with suppress(OSError):
        for name in filter(_TEMPORARY.fullmatch, os.listdir(directory)):
            if time.time() - (directory / name).stat().st_mtime > ABANDONED:
                _remove(directory / name)


def _remove(path: Path) -> None:
    """A file that will not go does no harm: no name leads to it."""
    with suppress(OSError):
        os.unlink(path)


def _sync(directory: Path) -> None:
    """Bring the names in `directory` to the disk, where the system can."""
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One writer at a time, where the system locks directories: none removes what another has just put there."""
    if sys.platform == "win32":
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _refuse(path: Path, error: Exception, argument: str = "directory") -> NoReturn:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    fail(DataError, argument, "a directory that files can be written to", f"{str(path)!r} ({reason})")
