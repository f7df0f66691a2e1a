"""A comparison as one page that needs nothing else, and as a directory."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ...result.comparison import ComparisonData
from ...result.place import check_writable, write_all
from ..format import number
from ..html import code, path
from ..render import check_formats, inline, picture_files, picture_names
from .pictures import caption, kinds, plot
from .table import COLUMNS, entries, legend, summary, to_markdown, verdict_line

PAGE = "index.html"
PICTURES = ("errors", "layers", "spectra")


def to_html(found: ComparisonData) -> str:
    """One self-contained page in the style of the page of an audit; all text is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(code=code, path=path)
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    rows = entries(found)
    return template.render(
        style=_style(),
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
        pictures=[{"svg": inline(plot(found, kind), kind), "caption": caption(found, kind)} for kind in kinds(found)],
        settings=[(key, [_value(value) for value in values]) for key, values in found.differing().items()],
    )


def save(found: ComparisonData, directory: str | Path, formats: Sequence[str]) -> Path:
    """The directory, into which page, numbers, table and pictures were written, whole or not at all."""
    check_formats(formats)
    place = check_writable(directory)
    said = json.dumps(summary(found), indent=1, ensure_ascii=False, allow_nan=False)
    contents = picture_files({kind: plot(found, kind) for kind in kinds(found)}, formats)
    contents["comparison.json"] = said.encode("utf-8")
    contents["table.md"] = to_markdown(found).encode("utf-8")
    contents[PAGE] = to_html(found).encode("utf-8", "replace")
    write_all(place, contents, stale=lambda name: name in picture_names(PICTURES))
    return place


def _style() -> Markup:
    """The one style sheet, of the page of an audit."""
    page = files("equiscope.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    found = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert found is not None
    return Markup(found[1])


def _value(value: object) -> str:
    return "-" if value is None else number(value) if isinstance(value, float) else str(value)
