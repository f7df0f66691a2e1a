"""An audit as a directory: its numbers, its pictures as PNG, and its page."""

from __future__ import annotations

from pathlib import Path

from ..result.data import AuditData
from ..result.files import pack, write
from ..result.place import check_writable
from .html import to_html
from .render import render
from .view import figures, kinds

PAGE = "index.html"


def save(audit: AuditData, directory: str | Path) -> Path:
    """The directory, into which the audit was written.

    ``audit.json`` (all scalars), ``arrays-<hash>.safetensors`` (all tensors), one PNG file for each picture that the
    audit has numbers for (``layers.png``, ``spectra.png``, ``systems.png``, ``convergence.png``, and those of one's
    own) and ``index.html``. Every file is made in memory first, then written under a temporary name and renamed:
    whenever the writer dies, `load` gives the earlier audit or this one, and so it does beside a writer. Pictures of an
    earlier audit that this one does not have are removed. Raises `DataError` where the directory cannot be written,
    before anything is made.
    """
    path = check_writable(directory)
    numbers = pack(audit)
    drawn = figures(audit)
    page = to_html(audit, drawn)
    views = {f"{kind}.png": render(figure, "png") for kind, figure in drawn.items()}
    views[PAGE] = page.encode("utf-8", "replace")
    write(path, numbers, views, retired={f"{kind}.png" for kind in kinds()})
    return path
