"""An audit as a directory: its numbers, its tables, its pictures, and its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..result.data import AuditData
from ..result.files import NUMBERS, pack, write
from ..result.place import check_writable
from .html import to_html
from .render import check_formats, picture_files, picture_names
from .rows import TABLES, comma_separated, rows
from .view import figures, kinds
from .xyz import FILE as WORST
from .xyz import worst_xyz

PAGE = "index.html"


def save(audit: AuditData, directory: str | Path, formats: Sequence[str] = ("png",)) -> Path:
    """The directory, into which the audit was written.

    ``audit.json`` (all scalars), ``arrays-<hash>.safetensors`` (all tensors), ``outputs.csv``, ``layers.csv`` and
    ``systems.csv`` (see `Audit.to_csv`), a file for each picture that the audit has numbers for and each of `formats`
    (``layers.png``, ``spectra.png``, ``systems.png``, ``worst.png``, ``convergence.png``, and those of one's own),
    ``worst.xyz`` with the systems of the largest errors (`worst_xyz`) and ``index.html``. Every file is made in memory
    first, then written under a temporary name and renamed: whenever the writer dies, `load` gives the earlier audit or
    this one, and so it does beside a writer. What an earlier audit had of these and this one does not have is removed.
    Raises `ArgumentError` for another format, and `DataError` where the directory cannot be written, before anything is
    made.
    """
    check_formats(formats)
    path = check_writable(directory)
    numbers = pack(audit)
    drawn = figures(audit)
    views = picture_files(drawn, formats)
    views |= {f"{table}.csv": comma_separated(*rows(audit, table)).encode("utf-8", "replace") for table in TABLES}
    if frames := worst_xyz(audit):
        views[WORST] = frames.encode("utf-8")
    beside = (NUMBERS, numbers.arrays_name, *views)
    views[PAGE] = to_html(audit, drawn, beside).encode("utf-8", "replace")
    write(path, numbers, views, retired={WORST, *picture_names(kinds())})
    return path
