"""A diagnosis as one page that needs nothing else, in the style of the page of an audit."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined

from ..report.html import code, path, style_sheet
from ..report.render import inline
from .words import HEADINGS, cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .diagnosis import Diagnosis


def to_html(diagnosis: Diagnosis, drawn: Figure | None, audit: str | None) -> str:
    """What became of each sector, with the picture where one is `drawn`, and a link to the page of the `audit`; all
    text is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(code=code, path=path)
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        style=style_sheet(),
        model=_model(diagnosis),
        findings=diagnosis.findings(),
        headings=HEADINGS,
        rows=[cells(sector) for sector in diagnosis.sectors],
        picture=None if drawn is None else inline(drawn, "diagnosis"),
        settings=diagnosis.settings,
        audit=audit,
    )


def _model(diagnosis: Diagnosis) -> Any:
    settings = {} if diagnosis.audit is None else diagnosis.audit.settings
    return settings.get("model") or "a model"
