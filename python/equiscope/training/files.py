"""A history as a directory: its records, its page, its pictures, its table."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ..report.render import check_formats, picture_files, picture_names
from ..result.place import check_writable, write_all
from .data import HistoryData
from .html import to_html
from .journal import Journal
from .stored import FILE, header, point_record
from .tables import to_csv
from .view import figures, pictures

PAGE, TABLE = "index.html", "history.csv"


def save(history: HistoryData, directory: str | Path, formats: Sequence[str] = ("png",)) -> Path:
    """The directory, with the files of `History.save`; they are written whole or not at all."""
    check_formats(formats)
    path = check_writable(directory)
    if not (path / FILE).exists():
        _write_records(history, path / FILE)
    drawn = figures(history)
    contents = {TABLE: to_csv(history).encode("utf-8", "replace")}
    contents |= picture_files(drawn, formats)
    contents[PAGE] = to_html(history, drawn, (FILE, *contents)).encode("utf-8", "replace")
    names = picture_names(picture.name for picture in pictures())
    write_all(path, contents, stale=lambda name: name in names)
    return path


def _write_records(history: HistoryData, path: Path) -> None:
    """All records at once, under their name only when the last is there."""
    growing = path.with_suffix(".new")
    growing.unlink(missing_ok=True)
    journal = Journal(growing)
    journal.append(header(history.settings))
    for point in history:
        journal.append(point_record(point))
    shutil.move(growing, path)
