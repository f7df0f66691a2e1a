"""A diagnosis as one page that needs nothing else, in the style of the page of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..report.page import Cell, Grid, Heading, one_block, pictures, render_page
from .words import HEADINGS, cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .diagnosis import Diagnosis

CAPTION = (
    "Above: share of each target that can be read from a layer. Below: share of the power of the layer in that sector. "
    "The output stands last."
)


def to_html(diagnosis: Diagnosis, drawn: Mapping[str, Figure], beside: Sequence[str], audit: str | None) -> str:
    """What became of each sector, with the pictures that are `drawn`, and links to the files `beside` the page and to
    the page of the `audit`; all text is escaped."""
    rows = [[Cell(text, css="left") for text in cells(sector)] for sector in diagnosis.sectors]
    headings = [Heading(heading, left=True) for heading in HEADINGS]
    return render_page(
        "equiscope.diagnose",
        "page.html.j2",
        title=f"Diagnosis of {_model(diagnosis)}",
        facts=["Which parts of its targets it fails to produce, and in which layer they are lost."],
        beside=beside,
        findings=diagnosis.findings(),
        sectors=Grid("What became of each sector of the targets", headings, one_block(rows)),
        pictures=pictures(drawn, dict.fromkeys(drawn, CAPTION)),
        settings=diagnosis.settings,
        audit=audit,
    )


def _model(diagnosis: Diagnosis) -> Any:
    settings = {} if diagnosis.audit is None else diagnosis.audit.settings
    return settings.get("model") or "a model"
