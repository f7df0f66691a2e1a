"""The audit as one page that needs nothing else: no script, no font and no picture from anywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import torch
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from ..result.data import Audit, Output, SystemRow
from ..result.floor import ROUND_OFF
from ..result.verdict import AT_NOISE, Verdict, system_error, verdict, worst_row
from .findings import findings
from .format import count, e3nn_name, number, percent, seconds, sector_name, with_error
from .orientation import describe
from .plots import available, plot
from .style import FAINT, INK, PAPER, RULE, render
from .table import CONTAINERS, declared_layers, headline, shares_of, unresolved_cell

WORST_SHOWN = 10
"""Systems in the open table; the others fold away."""

SYSTEMS = 2000
"""Systems on the page. A browser slows down with more, and audit.json has them all."""

UNBROKEN = 34
"""Characters up to which a name in a table stays on one line."""

MESSAGES = 50
"""Failures and warnings on the page."""

CAPTIONS = {
    "layers": "Where irreps live. Rows are layers in order of execution, then outputs; colour is the share "
    "of the row's power in degree l, on a log scale. The last column holds the power above lmax.",
    "spectra": "Spectra of the outputs and of selected layers. Content of an output outside its declared "
    "irreps is symmetry breaking.",
    "systems": "Equivariance error of each system.",
    "convergence": "What a finer grid of rotations changes, on the systems that the degree was chosen with.",
}


def to_html(audit: Audit) -> str:
    """One self-contained HTML page: findings, tables, pictures, settings, definitions.

    All text of the audit is escaped. Pictures are inline SVG in the colours of the page, light or dark.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(code=_code, path=_path)
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    degrees = range(max((layer.lmax for layer in audit.layers.values()), default=-1) + 1)
    data = audit.settings.get("data")
    return template.render(
        model=str(audit.settings.get("model") or "a model"),
        facts=[*([f"Data: {data}"] if data and data not in CONTAINERS else []), *headline(audit)[1:]],
        findings=findings(audit),
        failures=[
            {"system": f.system, "where": f.where, "reason": f.reason, "orientation": describe(f.rotation)}
            for f in audit.failures
        ],
        warnings=audit.warnings,
        messages=MESSAGES,
        at_noise=int(AT_NOISE),
        round_off=int(ROUND_OFF),
        outputs=_outputs(audit, audit.outputs),
        declared=_outputs(audit, declared_layers(audit)),
        deviations=_deviations(audit),
        parts=_parts(audit),
        degrees=list(degrees),
        layers=[
            {
                "name": name,
                "shares": shares_of(layer, [[lam] for lam in degrees], 3),
                "samples": count(layer.samples),
                "channels": count(layer.channels),
            }
            for name, layer in audit.layers.items()
        ],
        systems=_systems(audit),
        convergence=_convergence(audit),
        sampled=audit.settings.get("estimator") == "monte-carlo",
        convergence_outputs=list(audit.outputs),
        pictures=[{"svg": svg(audit, kind), "caption": CAPTIONS[kind]} for kind in available(audit)],
        facts_tables=[(title, pairs) for title, pairs in _facts(audit) if pairs],
    )


def svg(audit: Audit, kind: str) -> Markup:
    """The picture as inline SVG: ids of its own, colours of the page, no style and no metadata that would
    leak."""
    figure = plot(audit, kind)
    width = figure.get_size_inches()[0]
    text = render(figure, "svg").decode("utf-8")
    text = re.sub(r"<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    for tag in ("metadata", "style"):
        text = re.sub(rf"\s*<{tag}.*?</{tag}>", "", text, flags=re.DOTALL)
    for colour, variable in ((INK, "ink"), (FAINT, "faint"), (RULE, "rule"), (PAPER, "paper")):
        text = text.replace(colour, f"var(--{variable})")
    names: dict[str, str] = {}
    for found in re.findall(r'\bid="([^"]+)"', text):
        names.setdefault(found, f"{kind}-{len(names)}")
    text = re.sub(r'\bid="([^"]+)"', lambda m: f'id="{names[m[1]]}"', text)
    text = re.sub(r'href="#([^"]+)"', lambda m: f'href="#{names[m[1]]}"', text)
    text = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{names[m[1]]})", text)
    size = f'style="width: {width:.2f}in; min-width: {0.72 * width:.2f}in; max-width: 100%"'
    text = re.sub(r'^<svg ([^>]*?)width="[^"]*"', rf'<svg {size} role="img" aria-label="{kind}" \1', text, count=1)
    text = re.sub(r'^(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1)
    return Markup(text)


def _code(text: str) -> Markup:
    """Escaped text, with `...` as code, and numbers with an exponent that do not break in two."""
    safe = re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"(\d[\d.]*e[+-]\d+)", r'<span class="n">\1</span>', safe))


def _path(name: str) -> Markup:
    """An escaped name; a long one may break after its dots, slashes and underscores."""
    if len(name) <= UNBROKEN:
        return Markup('<span class="n">{}</span>').format(name)
    return Markup("<wbr>").join(re.findall(r"[^._/]*[._/]?", name))


def _outputs(audit: Audit, outputs: Mapping[str, Output]) -> list[dict[str, Any]]:
    rows = []
    for name, output in outputs.items():
        row = worst_row(audit, name)
        rows.append(
            {
                "name": name,
                "representation": output.representation,
                "verdict": verdict(output),
                "samples": count(output.samples),
                "rmse": with_error(output.rmse, output.standard_error, "±"),
                "relative": percent(output.relative),
                "noise": number(output.noise_floor),
                "unresolved": unresolved_cell(output, 3),
                "worst": row.name if row else "-",
                "worst_rmse": number(system_error(row, name)) if row else "-",
            }
        )
    return rows


def _deviations(audit: Audit) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "size": number(output.worst.deviation),
            "system": output.worst.system,
            "orientation": describe(output.worst.rotation),
        }
        for name, output in audit.outputs.items()
        if output.worst is not None
    ]


def _parts(audit: Audit) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "irrep": f"{sector_name(sector)} ({e3nn_name(*sector)})",
            "rmse": with_error(part.rmse, part.standard_error, "±"),
        }
        for name, output in audit.outputs.items()
        if len(output.parts) > 1
        for sector, part in output.parts.items()
    ]


def _systems(audit: Audit) -> dict[str, Any]:
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
    judged = [name for name, output in audit.outputs.items() if verdict(output) is not Verdict.EXACT]
    order = "Worst first, by the largest ratio of a system's error to the pooled error of that output."
    return {
        "outputs": list(audit.outputs),
        "layers": bool(audit.layers),
        "shown": rows[:WORST_SHOWN],
        "rest": rows[WORST_SHOWN:],
        "omitted": count(len(ordered) - SYSTEMS) if len(ordered) > SYSTEMS else "",
        "order": order if judged else "",
    }


def _height(audit: Audit, row: SystemRow) -> float:
    """How far the worst output of a system stands above the pooled error; exact outputs do not count."""
    heights = [0.0]
    for name, output in audit.outputs.items():
        rmse = row.outputs.get(name, {}).get("rmse", math.nan)
        if math.isfinite(rmse) and output.rmse > 0 and verdict(output) is not Verdict.EXACT:
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


def _convergence(audit: Audit) -> list[dict[str, Any]]:
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


def _facts(audit: Audit) -> list[tuple[str, list[tuple[str, str]]]]:
    times = [(key, count(value) if key == "evaluations" else seconds(value)) for key, value in audit.timings.items()]
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
