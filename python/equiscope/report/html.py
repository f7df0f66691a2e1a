"""The audit as one page that needs nothing else: no script, no font and no picture from anywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import torch
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from ..result.data import AuditData, Output, SystemRow, widest
from ..result.floor import assumed
from ..result.judge import AT_NOISE, Verdict
from .columns import columns_of
from .format import count, number, percent, quantity, seconds, with_error
from .headline import data_name, headline
from .orientation import describe
from .render import inline
from .shares import share_cells, share_headings
from .statements import findings
from .view import PICTURES, figures
from .words import each_column, group_words, irrep_full

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST_SHOWN = 10
"""Systems in the open table; the others fold away."""

SYSTEMS = 2000
"""Systems on the page. A browser slows down with more, and audit.json has them all."""

UNBROKEN = 34
"""Characters up to which a name in a table stays on one line."""

QUIET = (Verdict.EXACT, Verdict.VANISHES, Verdict.ZERO)
"""Outputs whose errors are all noise: no system is the worst of them."""

MESSAGES = 50
"""Failures and warnings on the page."""


COUNTED = ("evaluations", "checks")
"""Among the timings, what is no time."""


def to_html(audit: AuditData, drawn: Mapping[str, Figure] | None = None) -> str:
    """One self-contained HTML page: findings, tables, pictures, settings, definitions.

    All text of the audit is escaped. Pictures are inline SVG in the colours of the page, light or dark.
    drawn: the pictures by name, where they are drawn already.
    """
    drawn = figures(audit) if drawn is None else drawn
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(code=code, path=path)
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    data, judged = data_name(audit), (*audit.outputs.values(), *audit.declared_layers.values())
    return template.render(
        model=str(audit.settings.get("model") or "a model"),
        facts=[*([f"Data: {data}"] if data else []), *headline(audit)[1:]],
        findings=findings(audit),
        failures=[
            {"system": f.system, "where": f.where, "reason": f.reason, "orientation": describe(f.rotation)}
            for f in audit.failures
        ],
        warnings=audit.warnings,
        messages=MESSAGES,
        outputs=_rows(audit, audit.outputs),
        declared=_rows(audit, audit.declared_layers),
        assumed=any(map(assumed, judged)),
        voigt=any(output.representation == "voigt" for output in judged),
        deviations=_deviations(audit),
        parts=_parts(audit),
        layers=_layers(audit),
        systems=_systems(audit),
        convergence=_convergence(audit),
        sampled=audit.sampled,
        convergence_outputs=list(audit.outputs),
        pictures=[
            {"svg": inline(figure, kind), "caption": PICTURES[kind].caption(audit)} for kind, figure in drawn.items()
        ],
        facts_tables=[(title, pairs) for title, pairs in _facts(audit) if pairs],
        **_terms(audit),
    )


def style_sheet() -> Markup:
    """That of the page of an audit, for the other pages."""
    page = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    found = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert found is not None
    return Markup(found[1])


def _terms(audit: AuditData) -> dict[str, Any]:
    """What the definitions depend on: the group, whether its irreps are numbered, and whether they have families."""
    chart = widest(spectrum for _, spectrum in audit.results())
    return {
        "group": chart.group,
        "group_words": group_words(chart),
        "column": each_column(chart),
        "pseudo": "pseudo" in chart.family_names,
        "degrees": chart.counts,
        "at_noise": int(AT_NOISE),
    }


def code(text: str) -> Markup:
    """Escaped text, with `...` as code, and numbers with an exponent that do not break in two."""
    safe = re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))).replace(" +- ", " ± ")
    return Markup(re.sub(r"(\d[\d.]*e[+-]\d+)", r'<span class="n">\1</span>', safe))


def path(name: str) -> Markup:
    """An escaped name; a long one may break after its dots, slashes and underscores."""
    if len(name) <= UNBROKEN:
        return Markup('<span class="n">{}</span>').format(name)
    return Markup("<wbr>").join(re.findall(r"[^._/]*[._/]?", name))


def _rows(audit: AuditData, outputs: Mapping[str, Output]) -> dict[str, Any]:
    """The columns that say something of `outputs`, and their cells, each with its classes."""
    columns = columns_of(audit, outputs)
    cells = [
        [
            {
                "text": column.cell(audit, output),
                "classes": " ".join(
                    [
                        *(["left"] if column.left and i else []),  # the first column is always on the left
                        *(["name"] if column.name else []),
                        *([column.css(audit, output)] if column.css else []),
                    ]
                ),
            }
            for i, column in enumerate(columns)
        ]
        for output in outputs.values()
    ]
    return {"columns": columns, "cells": cells}


def _layers(audit: AuditData) -> dict[str, Any]:
    chart = widest(audit.layers.values())
    groups = [[column] for column in range(len(chart.headings))]
    return {
        "headings": share_headings(chart, groups, "unresolved"),
        "rows": [
            {
                "name": name,
                "shares": share_cells(chart, layer, groups, 3, spelled=True),
                "samples": count(layer.samples),
                "channels": count(layer.channels),
            }
            for name, layer in audit.layers.items()
        ],
    }


def _deviations(audit: AuditData) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "size": quantity(output, output.worst.deviation),
            "system": output.worst.system,
            "orientation": describe(output.worst.rotation),
        }
        for name, output in audit.outputs.items()
        if output.worst is not None
    ]


def _parts(audit: AuditData) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "irrep": irrep_full(output.chart, label),
            "rmse": with_error(part.rmse, part.rmse_error, "±") + (f" {output.unit}" if output.unit else ""),
        }
        for name, output in audit.outputs.items()
        if len(output.parts) > 1
        for label, part in output.parts.items()
    ]


def _systems(audit: AuditData) -> dict[str, Any]:
    ordered = sorted(audit.systems, key=lambda row: -_height(audit, row))
    rows = [
        {
            "name": row.name,
            "rows": count(row.rows),
            "cells": [
                cell
                for name in audit.outputs
                for cell in (
                    number(row.outputs.get(name, {}).get("rmse")),
                    percent(row.outputs.get(name, {}).get("relative")),
                )
            ],
            "unresolved": _most_unresolved(row),
        }
        for row in ordered[:SYSTEMS]
    ]
    judged = [name for name, output in audit.outputs.items() if output.verdict not in QUIET]
    order = "Worst first, by the largest ratio of a system's error to the pooled error of that output."
    return {
        "outputs": [f"{name} / {o.unit}" if o.unit else name for name, o in audit.outputs.items()],
        "layers": bool(audit.layers),
        "shown": rows[:WORST_SHOWN],
        "rest": rows[WORST_SHOWN:],
        "omitted": count(len(ordered) - SYSTEMS) if len(ordered) > SYSTEMS else "",
        "order": order if judged else "",
    }


def _height(audit: AuditData, row: SystemRow) -> float:
    """How far the worst output of a system stands above the pooled error; exact outputs do not count."""
    heights = [0.0]
    for name, output in audit.outputs.items():
        rmse = row.outputs.get(name, {}).get("rmse", math.nan)
        if math.isfinite(rmse) and output.rmse > 0 and output.verdict not in QUIET:
            heights.append(rmse / output.rmse)
    return max(heights)


def _most_unresolved(row: SystemRow) -> str:
    shares = {
        name: values["unresolved"] / values["total"]
        for name, values in row.layers.items()
        if values.get("total", 0) > 0 and "unresolved" in values
    }
    if not shares:
        return "-"
    name = max(shares, key=shares.__getitem__)
    return f"{name}: {percent(shares[name])}"


def _convergence(audit: AuditData) -> list[dict[str, Any]]:
    rows = []
    for step in audit.convergence:
        variance = [step.get("variance", {}).get(name) for name in audit.outputs]
        rows.append(
            {
                "degree": "-" if step.get("degree") is None else step["degree"],
                "rotations": count(step["rotations"]) if "rotations" in step else "-",
                "change": percent(step.get("change", step.get("precision"))),
                "errors": [number(math.sqrt(v)) if isinstance(v, int | float) and v >= 0 else "-" for v in variance],
            }
        )
    return rows


def _facts(audit: AuditData) -> list[tuple[str, list[tuple[str, str]]]]:
    times = [(key, count(value) if key in COUNTED else seconds(value)) for key, value in audit.timings.items()]
    return [
        ("Settings", [(key, _value(value)) for key, value in audit.settings.items()]),
        ("Environment", [(key, _value(value)) for key, value in audit.environment.items()]),
        ("Time", times),
    ]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(inner) for inner in value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, torch.Tensor):
        return f"tensor {tuple(value.shape)}"
    return "-" if value is None else str(value)
