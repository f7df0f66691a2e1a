"""The audit as a table for terminals: one row per output, one per layer, then what to say about them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from typing import Any

from rich.box import Box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..result.data import Audit, Output, Spectrum
from ..result.floor import sector_floor, unresolved_floor, unresolved_share
from ..result.verdict import Verdict, verdict, worst_row
from .findings import findings
from .format import count, elide_paths, number, seconds, short_share, with_error

NARROW, WIDE = 80, 120
"""Widths between which a terminal that does not say its own is laid out; from `WIDE` on shares get 3
digits."""

NAME = 20
"""Characters of a layer's name that must stay before the highest degrees are put into one column."""

MESSAGES = 20
"""Failures and warnings shown before the rest is only counted: the page and the files hold all of them."""

LEGEND = (
    "Layers: share of power per degree l; pseudo: with sigma = -1; last column: above lmax, unresolved; "
    "-: at or below noise or aliasing"
)

CONTAINERS = ("list", "tuple", "generator", "dict")
"""Names of data that tell a reader nothing."""

RULED = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A rule under the header and nothing else, in ASCII so that every console can print it."""

STYLES = {
    Verdict.EXACT: "green",
    Verdict.WRONG: "bold red",
    Verdict.STOCHASTIC: "yellow",
    Verdict.UNMEASURED: "red",
}


def to_text(audit: Audit, width: int | None = None) -> str:
    """The table in plain characters, at most `width` columns wide (default: the terminal, 80 to 140)."""
    width = width or min(max(shutil.get_terminal_size((100, 24)).columns, NARROW), 140)
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(to_rich(audit, width))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def to_rich(audit: Audit, width: int | None = None) -> Any:
    """The same as a rich renderable, laid out for `width` columns (default: the terminal)."""
    width = width or min(max(shutil.get_terminal_size((100, 24)).columns, NARROW), 140)
    parts: list[Any] = [Text(line) for line in headline(audit)]
    if audit.outputs:
        parts += [Text(), _errors(audit, "output", audit.outputs, width)]
    if audit.layers:
        declared = declared_layers(audit)
        if declared:
            parts += [Text(), _errors(audit, "layer", declared, width)]
        parts += [Text(), _layers(audit, width), Text(LEGEND, style="dim")]
    said = findings(audit)
    if said:
        parts += [Text(), Text("Findings", style="bold"), *_bullets(said, "")]
    if audit.failures:
        lines = [f"{failure.system}: {failure.where}: {failure.reason}" for failure in audit.failures]
        parts += [Text(), Text(f"Failures ({len(lines)})", style="bold red"), *_bullets(lines, "red")]
    if audit.warnings:
        parts += [
            Text(),
            Text(f"Warnings ({len(audit.warnings)})", style="bold yellow"),
            *_bullets(audit.warnings, "yellow"),
        ]
    return Group(*parts)


def headline(audit: Audit) -> list[str]:
    """What was audited and how, in two or three lines."""
    get = audit.settings.get
    data = get("data") if get("data") not in CONTAINERS else None
    lines = [f"equiscope audit of {get('model') or 'a model'}" + (f" on {data}" if data else "")]
    facts = [f"{count(len(audit.systems))} system{'s' if len(audit.systems) != 1 else ''}"]
    facts += [f"lmax {get('lmax')}"] if get("lmax") is not None else []
    if get("degree") is not None:
        facts.append(f"grid degree {get('degree')}")
        facts[-1] += f" ({count(get('rotations'))} rotations)" if get("rotations") else ""
    elif get("estimator") == "monte-carlo":
        facts.append(f"Monte Carlo, {count(get('rotations'))} random rotations each (seed {get('seed')})")
    facts += [str(get(key)) for key in ("dtype", "device") if get(key)]
    lines.append(", ".join(facts))
    time = audit.timings
    if "total" in time:
        lines.append(
            seconds(time["total"])
            + (f", {seconds(time['model'])} in the model" if "model" in time else "")
            + (f", {count(time['evaluations'])} evaluations" if "evaluations" in time else "")
        )
    return lines


def _table(gap: int) -> Table:
    """An empty table with `gap` blanks between columns; the box draws one of them."""
    return Table(box=RULED, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0), header_style="bold")


def _column(table: Table, name: str, *cells: str, right: bool = True) -> None:
    """A column just as wide as its widest cell; nothing in it wraps or is cut."""
    width = max(len(cell) for cell in (name, *cells))
    table.add_column(Text(name), justify="right" if right else "left", width=width, no_wrap=True, overflow="crop")


def declared_layers(audit: Audit) -> dict[str, Output]:
    """The layers that declare a representation, so that they have an error."""
    return {name: layer for name, layer in audit.layers.items() if isinstance(layer, Output)}


def _errors(audit: Audit, noun: str, outputs: Mapping[str, Output], width: int) -> Table:
    """One row per output, or per layer with a representation."""
    rows = []
    for name, output in outputs.items():
        row = worst_row(audit, name)
        rows.append(
            [
                name,
                output.representation,
                count(output.samples),
                with_error(output.rmse, output.standard_error),
                number(output.relative),
                number(output.noise_floor),
                unresolved_cell(output, 3),
                row.name if row else "-",
            ]
        )
    heads = [noun, "as", "samples", "RMSE", "relative", "noise"]
    heads += ["unresolved", "worst system"] if width >= 100 else ["unres.", "worst"]
    gap = 2 if width >= WIDE else 1
    _fit(rows, heads, width, gap, elastic=(0, 7, 1))
    table = _table(gap)
    for i, head in enumerate(heads):
        _column(table, head, *(row[i] for row in rows), right=i not in (0, 1, 7))
    for row, output in zip(rows, outputs.values(), strict=True):
        table.add_row(*(Text(cell) for cell in row), style=STYLES.get(verdict(output), ""))
    return table


def _fit(rows: list[list[str]], heads: list[str], width: int, gap: int, elastic: tuple[int, ...]) -> None:
    """Shorten the cells of the elastic columns, the widest first, until a row fits into `width`."""
    widths = [max(len(head), *(len(row[i]) for row in rows)) for i, head in enumerate(heads)]
    while sum(widths) + gap * (len(widths) - 1) > width:
        i = max(elastic, key=widths.__getitem__)
        if widths[i] <= max(len(heads[i]), 6):
            break
        widths[i] -= 1
    for i in elastic:
        for row, cell in zip(rows, elide_paths([row[i] for row in rows], widths[i]), strict=True):
            row[i] = cell


def unresolved_cell(spectrum: Spectrum, digits: int) -> str:
    """Share of the power above lmax, or a dash where it does not exceed noise."""
    total = spectrum.pooled_total
    floor = unresolved_floor(spectrum) / total if total > 0 else 0.0
    return short_share(unresolved_share(spectrum), floor, digits)


def _layers(audit: Audit, width: int) -> Table:
    for digits in (3, 2) if width >= WIDE else (2,):
        heads, rows, whole = _grouped(audit, width, digits)
        if whole:
            break
    _fit(rows, heads, width, 1, elastic=(0,))
    table = _table(1)
    for i, head in enumerate(heads):
        _column(table, head, *(row[i] for row in rows), right=i > 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _grouped(audit: Audit, width: int, digits: int) -> tuple[list[str], list[list[str]], bool]:
    """Heads and rows with as many degrees in columns of their own as fit by the names, and whether all do."""
    lmax = max(layer.lmax for layer in audit.layers.values())
    longest = max(len(name) for name in audit.layers)
    for columns in range(lmax + 1, 0, -1):
        groups = [[lam] for lam in range(columns)]
        groups[-1] = list(range(columns - 1, lmax + 1))
        heads = ["layer", *(_span(group) for group in groups), "pseudo", f">{lmax}"]
        rows = [[name, *shares_of(layer, groups, digits)] for name, layer in audit.layers.items()]
        rest = sum(max(map(len, column)) + 1 for column in list(zip(heads, *rows, strict=True))[1:])
        if rest + min(longest, NAME) <= width:
            break
    return heads, rows, columns == lmax + 1


def _span(group: list[int]) -> str:
    return f"l={group[0]}" if len(group) == 1 else f"{group[0]}-{group[-1]}"


def shares_of(layer: Spectrum, groups: list[list[int]], digits: int) -> list[str]:
    """Cells of one row: the share of each group of degrees, the pseudo share, the unresolved share."""
    total = layer.pooled_total
    if total <= 0:
        return ["0"] * (len(groups) + 2)
    power, floor = layer.pooled_power, sector_floor(layer)
    cells = []
    for group in groups:
        inside = [lam for lam in group if lam <= layer.lmax]
        share = float(power[inside].sum()) / total
        cells.append(short_share(share, float(floor[inside].max()) / total if inside else 0.0, digits))
    pseudo = power[:, 1]
    loud = pseudo > floor
    cells.append(short_share(float(pseudo.sum()) / total if bool(loud.any()) else 0.0, 0.0, digits))
    cells.append(unresolved_cell(layer, digits))
    return cells


def _bullets(lines: list[str], style: str) -> list[Any]:
    shown = lines[:MESSAGES]
    if len(lines) > MESSAGES:
        shown = [*shown, f"... and {len(lines) - MESSAGES} more"]
    return [_bullet(line, style) for line in shown]


def _bullet(line: str, style: str) -> Any:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    grid.add_row(Text("-"), Text(line, style=style))
    return Padding(grid, (0, 0))
