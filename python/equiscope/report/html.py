"""The audit as one page that needs nothing else: no script, no font and no picture from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..result.data import AuditData, Output, SystemRow, widest
from ..result.floor import assumed
from ..result.judge import AT_NOISE, Verdict
from .columns import columns_of
from .failures import consequence
from .format import count, number, percent, quantity, seconds, with_error
from .headline import data_name, headline
from .names import Names, Shown
from .orientation import describe
from .page import Cell, Grid, Heading, exact, name_cell, one_block, path, pictures, render_page
from .shares import share_cells, share_headings, share_values
from .statements import findings
from .view import PICTURES, figures
from .words import each_column, group_words, irrep_full

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST_SHOWN = 10
"""Systems that are printed; the others are seen by scrolling."""

SYSTEMS = 2000
"""Systems on the page. A browser slows down with more, and audit.json has them all."""

ORDER = "Worst first, by the largest ratio of a system's error to the pooled error of that output."

QUIET = (Verdict.EXACT, Verdict.VANISHES, Verdict.ZERO)
"""Outputs whose errors are all noise: no system is the worst of them."""

MESSAGES = 50
"""Failures and warnings on the page."""


COUNTED = ("evaluations", "checks")
"""Among the timings, what is no time."""


def to_html(audit: AuditData, drawn: Mapping[str, Figure] | None = None, beside: Sequence[str] = ()) -> str:
    """One self-contained HTML page: findings, tables, pictures, settings, definitions.

    All text of the audit is escaped. Pictures are inline SVG in the colours of the page, light or dark. drawn: the
    pictures by name, where they are drawn already. beside: names of files in the directory of the page, which then
    links to them.
    """
    drawn = figures(audit) if drawn is None else drawn
    model, data = str(audit.settings.get("model") or "a model"), data_name(audit)
    judged = (*audit.outputs.values(), *audit.declared_layers.values())
    return render_page(
        "equiscope.report",
        "page.html.j2",
        title=f"Symmetry audit of {model}",
        facts=[*([f"Data: {data}"] if data else []), *headline(audit)[1:]],
        beside=beside,
        findings=findings(audit),
        failures=audit.failures,
        failures_table=_failures(audit),
        consequence=consequence(audit),
        warnings=audit.warnings,
        notes=audit.notes,
        messages=MESSAGES,
        outputs=_errors(audit, "output", audit.listed),
        declared=_errors(audit, "layer", audit.declared_layers),
        assumed=any(map(assumed, judged)),
        voigt=any(output.representation == "voigt" for output in judged),
        deviations=_deviations(audit),
        parts=_parts(audit),
        layers=_layers(audit),
        names=Names(audit.layers).statement,
        systems=_systems(audit),
        order=ORDER if any(output.verdict not in QUIET for output in audit.outputs.values()) else "",
        unprinted=count(max(0, min(len(audit.systems), SYSTEMS) - WORST_SHOWN)).removeprefix("0"),
        omitted=count(len(audit.systems) - SYSTEMS) if len(audit.systems) > SYSTEMS else "",
        convergence=_convergence(audit),
        sampled=audit.sampled,
        pictures=pictures(drawn, {name: PICTURES[name].caption(audit) for name in drawn}),
        facts_tables=[(title, pairs) for title, pairs in _facts(audit) if pairs],
        **_terms(audit),
    )


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


def _failures(audit: AuditData) -> Grid:
    rows = [
        [
            Cell(path(failure.system)),
            Cell(failure.where, css="left"),
            Cell(failure.reason, css="left reason"),
            Cell(describe(failure.rotation), css="left reason"),
        ]
        for failure in audit.failures[:MESSAGES]
    ]
    headings = [Heading(text, left=True) for text in ("system", "where", "what happened", "orientation")]
    return Grid("Failures", headings, one_block(rows))


def _errors(audit: AuditData, noun: str, outputs: Mapping[str, Output]) -> Grid | None:
    """The columns that say something of `outputs`, a row for each of them."""
    if not outputs:
        return None
    columns, names = columns_of(audit, outputs), Names(audit.layers)
    rows = []
    for output in outputs.values():
        row = [name_cell(Shown(output.name, names[output.name].text if noun == "layer" else output.name))]
        for column in columns[1:]:
            text = column.page_cell(audit, output)
            css = ["left"] * column.left + ["name"] * column.name + ["quiet"] * (text == "-")
            css += [column.css(audit, output)] if column.css else []
            value = column.value(audit, output) if column.value and text != "-" else None
            name = column.cell(audit, output)
            row.append(Cell(path(name) + text.removeprefix(name) if column.name else text, exact(value), " ".join(css)))
        rows.append(row)
    headings = [Heading(column.heading or noun, column.left) for column in columns]
    return Grid(f"Equivariance errors of the {noun}s", headings, one_block(rows), stacks=noun == "output")


def _layers(audit: AuditData) -> Grid | None:
    if not audit.layers:
        return None
    chart = widest(audit.layers.values())
    groups = [[column] for column in range(len(chart.headings))]

    def row(shown: Shown) -> list[Cell]:
        layer = audit.layers[shown.name]
        cells = zip(share_cells(chart, layer, groups, 3, spelled=True), share_values(chart, layer, groups), strict=True)
        size = f"{count(layer.samples)} × {count(layer.channels)}"
        shares = [Cell(text, exact(value), "quiet" if text == "-" else "") for text, value in cells]
        return [name_cell(shown), *shares, Cell(size, str(layer.samples * layer.channels))]

    headings = [Heading(text) for text in ("layer", *share_headings(chart, groups, "unresolved"), "samples × channels")]
    blocks = [(block, list(map(row, rows))) for block, rows in Names(audit.layers).groups()]
    return Grid("Share of the power of each layer in each irrep", headings, blocks)


def _deviations(audit: AuditData) -> Grid | None:
    rows = [
        [
            Cell(path(name)),
            Cell(quantity(output, output.worst.deviation), exact(output.worst.deviation)),
            Cell(path(output.worst.system), css="left name"),
            Cell(describe(output.worst.rotation), css="left reason"),
        ]
        for name, output in audit.outputs.items()
        if output.worst is not None
    ]
    headings = [
        Heading("output"),
        Heading("deviation"),
        Heading("system", left=True),
        Heading("orientation", left=True),
    ]
    return Grid("Largest single deviations", headings, one_block(rows)) if rows else None


def _parts(audit: AuditData) -> Grid | None:
    rows = [
        [
            Cell(path(name)),
            Cell(irrep_full(output.chart, label), css="left"),
            Cell(
                with_error(part.rmse, part.rmse_error, "±") + (f" {output.unit}" if output.unit else ""),
                exact(part.rmse),
            ),
        ]
        for name, output in audit.outputs.items()
        if len(output.parts) > 1
        for label, part in output.parts.items()
    ]
    headings = [Heading("output"), Heading("irrep", left=True), Heading("RMSE")]
    return Grid("Equivariance error by irrep", headings, one_block(rows)) if rows else None


def _systems(audit: AuditData) -> Grid | None:
    ordered = sorted(audit.systems, key=lambda row: -_height(audit, row))[:SYSTEMS]
    if not ordered:
        return None
    names, layers = Names(audit.layers), bool(audit.layers)

    def row(system: SystemRow) -> list[Cell]:
        cells = [Cell(path(system.name)), Cell(count(system.rows))]
        for name in audit.outputs:
            rmse, relative = (system.outputs.get(name, {}).get(key) for key in ("rmse", "relative"))
            cells += [Cell(number(rmse), exact(rmse)), Cell(percent(relative), exact(relative))]
        return [*cells, _most_unresolved(system, names)] if layers else cells

    pair, last = [Heading("RMSE"), Heading("relative")], [Heading("most unresolved layer", left=True)] * layers
    named = [Heading(_with_unit(name, output), span=2) for name, output in audit.outputs.items()]
    above = [Heading(""), Heading(""), *named, *([Heading("")] * layers)] if named else []
    headings = [Heading("system"), Heading("rows"), *(pair * len(named)), *last]
    return Grid("Error of each system", headings, one_block(map(row, ordered)), above, rest=WORST_SHOWN)


def _height(audit: AuditData, row: SystemRow) -> float:
    """How far the worst output of a system stands above the pooled error; exact outputs do not count."""
    heights = [0.0]
    for name, output in audit.outputs.items():
        rmse = row.outputs.get(name, {}).get("rmse", math.nan)
        if math.isfinite(rmse) and output.rmse > 0 and output.verdict not in QUIET:
            heights.append(rmse / output.rmse)
    return max(heights)


def _most_unresolved(row: SystemRow, names: Names) -> Cell:
    shares = {
        name: values["unresolved"] / values["total"]
        for name, values in row.layers.items()
        if values.get("total", 0) > 0 and "unresolved" in values
    }
    if not shares:
        return Cell("-", css="left")
    name = max(shares, key=shares.__getitem__)
    return Cell(f"{names[name].text}: {percent(shares[name])}", f"{exact(shares[name])} {name}", "left")


def _convergence(audit: AuditData) -> Grid | None:
    if not audit.convergence:
        return None
    rows = []
    for step in audit.convergence:
        change, variances = step.get("change", step.get("precision")), step.get("variance", {})
        errors = [_root(variances.get(name)) for name in audit.outputs]
        rows.append(
            [
                Cell("-" if step.get("degree") is None else str(step["degree"])),
                Cell(count(step["rotations"]) if "rotations" in step else "-"),
                Cell(percent(change), exact(change)),
                *(Cell(number(error), exact(error)) for error in errors),
            ]
        )
    units = [f"RMSE of {_with_unit(name, output)}" for name, output in audit.outputs.items()]
    change = "largest standard error, relative" if audit.sampled else "largest change, relative"
    headings = [Heading(text) for text in ("degree", "rotations", change, *units)]
    return Grid("Grids tried", headings, one_block(rows))


def _with_unit(name: str, output: Output) -> str:
    return f"{name} / {output.unit}" if output.unit else name


def _root(variance: object) -> float | None:
    return math.sqrt(variance) if isinstance(variance, int | float) and variance >= 0 else None


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
