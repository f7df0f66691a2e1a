"""The file of a metatomic model, looked at before anything is imported that could read it."""

from __future__ import annotations

import zipfile
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import DataError, fail
from .exchanged import hint


def check_archive(model: str | PathLike[str], data: Any = None) -> Path:
    """The path of `model`, where a complete archive of torch lies."""
    path = Path(model)
    if not path.is_file():
        expected = "the file of an exported metatomic model"
        fail(DataError, "model", expected, f"{path}, which is not a file{hint(data)}")
    if not zipfile.is_zipfile(path):
        expected = "the complete file of an exported metatomic model"
        fail(DataError, "model", expected, f"{path}, which is no archive of torch{hint(data)}")
    return path
