"""A comparison as one page that needs nothing else, and as a directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...result.comparison import ComparisonData
from ...result.place import check_writable, write_all
from ..format import number
from ..page import Cell, Grid, Heading, exact, one_block, path, pictures, render_page
from ..render import check_formats, picture_files, picture_names
from .pictures import caption, figures
from .table import COLUMNS, entries, legend, summary, to_markdown, verdict_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "index.html"
PICTURES = ("errors", "layers", "spectra")


def to_html(found: ComparisonData, drawn: Mapping[str, Figure] | None = None, beside: Sequence[str] = ()) -> str:
    """One self-contained page in the style of the page of an audit; all text is escaped. drawn: the pictures by name,
    where they are drawn already. beside: files that the page links to."""
    drawn = figures(found) if drawn is None else drawn
    return render_page(
        "equiscope.report.comparison",
        "page.html.j2",
        title=f"Comparison of {', '.join(found.audits)}",
        facts=[f"Baseline: {found.baseline}", verdict_line(found).removeprefix("verdict: ")],
        beside=beside,
        notes=found.notes,
        outputs=_outputs(found),
        legend=legend(found),
        pictures=pictures(drawn, {name: caption(found, name) for name in drawn}),
        settings=_settings(found),
    )


def save(found: ComparisonData, directory: str | Path, formats: Sequence[str]) -> Path:
    """The directory, into which page, numbers, table and pictures were written, whole or not at all."""
    check_formats(formats)
    place = check_writable(directory)
    said = json.dumps(summary(found), indent=1, ensure_ascii=False, allow_nan=False)
    drawn = figures(found)
    contents = picture_files(drawn, formats)
    contents["comparison.json"] = said.encode("utf-8")
    contents["table.md"] = to_markdown(found).encode("utf-8")
    contents[PAGE] = to_html(found, drawn, tuple(contents)).encode("utf-8", "replace")
    write_all(place, contents, stale=lambda name: name in picture_names(PICTURES))
    return place


def _outputs(found: ComparisonData) -> Grid | None:
    rows = []
    for entry in entries(found):
        name = Cell(path(entry.name))
        rows.append(
            [
                name,
                *(
                    Cell(
                        column.cell(entry),
                        exact(column.value(entry)) if column.value else "",
                        f"{'left ' * column.left}{column.css(entry)}",
                    )
                    for column in COLUMNS[1:]
                ),
            ]
        )
    headings = [Heading(column.heading, column.left) for column in COLUMNS]
    return Grid("Errors of the outputs in each audit", headings, one_block(rows)) if rows else None


def _settings(found: ComparisonData) -> Grid | None:
    rows = [
        [Cell(path(key)), *(Cell(path(_value(value)), css="left name") for value in values)]
        for key, values in found.differing().items()
    ]
    headings = [Heading("setting"), *(Heading(name, left=True) for name in found.audits)]
    return Grid("Settings in which they differ", headings, one_block(rows)) if rows else None


def _value(value: object) -> str:
    return "-" if value is None else number(value) if isinstance(value, float) else str(value)
