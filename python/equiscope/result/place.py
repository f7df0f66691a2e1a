"""Where an audit is written: checked before anything is computed, and then written whole or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ..errors import DataError, fail


def check_writable(directory: str | Path) -> Path:
    """`directory` as a path, created where it is missing, known to accept files.

    To be called before anything is computed, so that no audit is lost for want of a place. Raises `DataError`
    naming the path when it is a file, lies under one, cannot be created, or refuses a file.
    """
    path = Path(directory)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:
        _refuse(path, error)
    return path


def write_all(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Every file of `contents` in `directory`: all under temporary names first, then renamed in the order
    given.

    Whatever fails before the first renaming, a full disk above all, leaves the directory as it was.
    """
    temporary = {name: directory / f".{name}.{secrets.token_hex(4)}.tmp" for name in contents}
    try:
        for name, content in contents.items():
            with open(temporary[name], "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name, path in temporary.items():
            os.replace(path, directory / name)
    except OSError as error:
        _refuse(directory, error)
    finally:
        for path in temporary.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _refuse(path: Path, error: Exception) -> NoReturn:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    fail(DataError, "directory", "a directory that files can be written to", f"{str(path)!r} ({reason})")
