"""A comparison as one page that needs nothing else, and as a directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined

from ...result.comparison import ComparisonData
from ...result.place import check_writable, write_all
from ..format import number
from ..html import code, path, style_sheet
from ..render import inline, render
from .pictures import caption, kinds, plot
from .table import COLUMNS, entries, legend, summary, to_markdown, verdict_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "index.html"
PICTURES = ("errors", "layers", "spectra")


def to_html(found: ComparisonData, drawn: Mapping[str, Figure] | None = None) -> str:
    """One self-contained page in the style of the page of an audit; all text is escaped.

    drawn: the pictures by name, where they are drawn already.
    """
    drawn = _figures(found) if drawn is None else drawn
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(code=code, path=path)
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    rows = entries(found)
    return template.render(
        style=style_sheet(),
        names=list(found.audits),
        baseline=found.baseline,
        verdict=verdict_line(found).removeprefix("verdict: "),
        notes=found.notes,
        columns=COLUMNS,
        rows=[
            [{"text": column.cell(entry), "css": f"{'left ' * column.left}{column.css(entry)}"} for column in COLUMNS]
            for entry in rows
        ],
        legend=legend(found),
        pictures=[{"svg": inline(figure, kind), "caption": caption(found, kind)} for kind, figure in drawn.items()],
        settings=[(key, [_value(value) for value in values]) for key, values in found.differing().items()],
    )


def save(found: ComparisonData, directory: str | Path) -> Path:
    """The directory, into which page, numbers, table and pictures were written, whole or not at all."""
    place = check_writable(directory)
    said = json.dumps(summary(found), indent=1, ensure_ascii=False, allow_nan=False)
    drawn = _figures(found)
    page = to_html(found, drawn)
    contents = {f"{kind}.png": render(figure, "png") for kind, figure in drawn.items()}
    contents["comparison.json"] = said.encode("utf-8")
    contents["table.md"] = to_markdown(found).encode("utf-8")
    contents[PAGE] = page.encode("utf-8", "replace")
    write_all(place, contents, stale=lambda name: name in {f"{kind}.png" for kind in PICTURES})
    return place


def _figures(found: ComparisonData) -> dict[str, Figure]:
    return {kind: plot(found, kind) for kind in kinds(found)}


def _value(value: object) -> str:
    return "-" if value is None else number(value) if isinstance(value, float) else str(value)
