"""A history as one page that needs nothing else: no script, no font and no picture from anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from ..report.format import percent, seconds, with_error
from ..report.render import inline
from ..result.judge import AT_NOISE, Verdict
from .statements import findings
from .view import PICTURES, figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .data import HistoryData


def to_html(history: HistoryData, drawn: Mapping[str, Figure] | None = None) -> str:
    """One self-contained HTML page: findings, pictures, a table of points, settings. All text is escaped.

    drawn: the pictures by name, where they are drawn already.
    """
    drawn = figures(history) if drawn is None else drawn
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = _code
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    last = history.points[-1] if history.points else None
    return template.render(
        model=str(last.audit.settings.get("model") or "a model") if last else "a model",
        facts=_facts(history),
        findings=findings(history),
        failures=history.failures,
        warnings=list(dict.fromkeys(warning for point in history for warning in point.audit.warnings)),
        pictures=[
            {"svg": inline(figure, name), "caption": PICTURES[name].caption(history)} for name, figure in drawn.items()
        ],
        outputs=[(name, history.curves(name).unit) for name in history.outputs],
        rows=_rows(history),
        skipped=any(point.skipped for point in history),
        settings=[(key, value) for key, value in _settings(history) if value is not None],
        at_noise=int(AT_NOISE),
    )


def _facts(history: HistoryData) -> list[str]:
    if not history.points:
        return []
    first, last = history.points[0], history.points[-1]
    audited = f"{len(last.audit.systems)} systems, {len(history.layers)} layers"
    return [
        f"{len(history)} points, from step {first.step} to step {last.step}, in {seconds(last.seconds)}.",
        f"Data: {last.audit.settings.get('data') or 'a held-out set'} ({audited}).",
    ]


def _rows(history: HistoryData) -> list[dict[str, Any]]:
    rows = []
    for point in history:
        cells = []
        for name in history.outputs:
            output = point.audit.outputs.get(name)
            if output is None:
                cells += [("", ""), ("", ""), ("", "")]
                continue
            cells += [(with_error(output.rmse, output.rmse_error, "±"), ""), (percent(output.relative), "")]
            cells.append((str(output.verdict), _ink(output.verdict)))
        rows.append({"step": point.step, "time": seconds(point.seconds), "skipped": point.skipped, "cells": cells})
    return rows


def _ink(verdict: Verdict) -> str:
    return "good" if verdict.is_kept else "poor" if verdict.is_broken else ""


def _settings(history: HistoryData) -> list[tuple[str, Any]]:
    settings = history.settings
    asked = {key: value for key, value in settings.get("asked", {}).items() if key != "batch_rows"}
    own = [(key, settings.get(key)) for key in ("batch_rows", "budget")]
    versions = settings.get("environment", {}).get("versions", {})
    return [*asked.items(), *own, ("versions", ", ".join(f"{name} {version}" for name, version in versions.items()))]


def _code(text: str) -> Markup:
    """Escaped text, with `...` as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))).replace(" +- ", " ± "))
