"""A history as one page that needs nothing else: no script, no font and no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..report.format import percent, seconds, with_error
from ..report.page import Cell, Grid, Heading, exact, one_block, pictures, render_page
from ..result.data import Output
from ..result.judge import AT_NOISE, Verdict
from .statements import findings
from .view import PICTURES, figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .data import HistoryData


def to_html(history: HistoryData, drawn: Mapping[str, Figure] | None = None, beside: Sequence[str] = ()) -> str:
    """One self-contained HTML page: findings, pictures, a table of points, settings. All text is escaped.

    drawn: the pictures by name, where they are drawn already. beside: files that the page links to.
    """
    drawn = figures(history) if drawn is None else drawn
    last = history.points[-1] if history.points else None
    model = str(last.audit.settings.get("model") or "a model") if last else "a model"
    return render_page(
        "equiscope.training",
        "page.html.j2",
        title=f"Symmetry of {model} over training",
        facts=_facts(history),
        beside=beside,
        findings=findings(history),
        failures=history.failures,
        warnings=list(dict.fromkeys(warning for point in history for warning in point.audit.warnings)),
        pictures=pictures(drawn, {name: PICTURES[name].caption(history) for name in drawn}),
        points=_points(history),
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


def _points(history: HistoryData) -> Grid | None:
    if not history.points:
        return None
    skipped = any(point.skipped for point in history)
    units = {name: history.curves(name).unit if name in history.outputs else None for name in history.listed}
    named = [Heading(f"{name} / {unit}" if unit else name, span=3) for name, unit in units.items()]
    before = [Heading("skipped before")] * skipped
    three = [Heading("RMSE"), Heading("relative"), Heading("verdict", left=True)]
    rows = []
    for point in history:
        row = [Cell(str(point.step)), Cell(seconds(point.seconds), exact(point.seconds))]
        row += [Cell(str(point.skipped or ""))] * skipped
        for name in history.listed:
            row += _errors(point.audit.listed.get(name))
        rows.append(row)
    above = [Heading("")] * (2 + skipped) + named if named else []
    headings = [Heading("step"), Heading("time"), *before, *(three * len(named))]
    return Grid("Audits over training", headings, one_block(rows), above)


def _errors(output: Output | None) -> list[Cell]:
    if output is None:
        return [Cell("")] * 3
    verdict = Cell(str(output.verdict), css=f"left {_ink(output.verdict)}".strip())
    rmse = Cell(with_error(output.rmse, output.rmse_error, "±"), exact(output.rmse))
    return [rmse, Cell(percent(output.relative), exact(output.relative)), verdict]


def _ink(verdict: Verdict) -> str:
    return "good" if verdict.is_kept else "poor" if verdict.is_broken else ""


def _settings(history: HistoryData) -> list[tuple[str, Any]]:
    settings = history.settings
    asked = {key: value for key, value in settings.get("asked", {}).items() if key != "batch_rows"}
    own = [(key, settings.get(key)) for key in ("batch_rows", "budget")]
    versions = settings.get("environment", {}).get("versions", {})
    return [*asked.items(), *own, ("versions", ", ".join(f"{name} {version}" for name, version in versions.items()))]
