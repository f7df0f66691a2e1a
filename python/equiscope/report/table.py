"""The audit as a table for terminals: one row per output, one per layer, then what to say about them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import Box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..groups.group import Chart
from ..result.data import AuditData, Output, widest
from ..result.floor import assumed
from .columns import Column, columns_of, grade
from .failures import failures_alike
from .finding import Finding, Severity
from .format import broken
from .headline import headline
from .names import Names
from .palette import Options
from .shares import share_cells, share_change, share_headings
from .statements import findings
from .words import MARKS, each_column

NARROW, WIDE = 80, 120
"""Widths between which a terminal that does not say its own is laid out; from `WIDE` on shares get 3 digits."""

READABLE, SHORTEST = 12, 6
"""Characters of a name on one line before a column goes below that can, and when there is none left."""

LAYERS, ENDS = 24, 5
"""Layers in the table, and how many of them are first and last ones; the page has all."""

NAME = 28
"""Characters of a layer's name that stay on one line before the highest degrees are put into one column."""

INDENT = "  "
"""Before the further lines of a name that takes several."""

MESSAGES = 20
"""Failures and warnings shown before the rest is only counted: the page and the files hold all of them."""

ASSUMED = "*: an error that assumes the spectrum goes on decaying as this one grid shows it"

RULED = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A rule under the header and nothing else, in ASCII so that every console can print it."""

MARKED = {Severity.WARNING: ("!", "yellow"), Severity.FINDING: ("-", ""), Severity.NOTE: ("-", "dim")}
"""Bullet and style of a sentence, by what it is to the reader."""

STYLES = {
    "exact": "green",
    "vanishes": "green",
    "zero": "yellow",
    "moderate": "yellow",
    "strong": "red",
    "wrong": "bold red",
    "stochastic": "yellow",
    "jumps": "yellow",
    "unmeasured": "red",
}
"""By `grade`: nothing of a slight error."""


def to_text(audit: AuditData, width: int | None = None) -> str:
    """The table in plain characters, at most `width` columns wide (default: the terminal, 80 to 140)."""
    plain: Options = {"color_system": None, "force_terminal": False, "legacy_windows": False}
    console = Console(file=io.StringIO(), width=width or terminal_width(), **plain)
    with console.capture() as capture:
        show(to_rich(audit, console.width), console)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")


def show(parts: Group, console: Console) -> None:
    """Print `parts`; a table that has nothing more to give sticks out of a narrow console rather than losing digits."""
    unbounded = console.options.update(width=10 * WIDE)
    tables = [part for part in parts.renderables if isinstance(part, Table)]
    widths = [console.measure(table, options=unbounded).maximum for table in tables]
    narrow, console.width = console.width, max([console.width, *widths])
    console.print(parts)
    console.width = narrow


def to_rich(audit: AuditData, width: int | None = None) -> Group:
    """The same as a rich renderable, laid out for `width` columns (default: the terminal)."""
    width = width or terminal_width()
    parts: list[Any] = [Text(line) for line in headline(audit)]
    if audit.listed:
        parts += [Text(), *_errors(audit, "output", audit.listed, width)]
        if any(map(assumed, audit.outputs.values())):
            parts.append(Text(ASSUMED, style="dim"))
    if audit.layers:
        if audit.declared_layers:
            parts += [Text(), *_errors(audit, "layer", audit.declared_layers, width)]
        parts += [Text(), _layers(audit, width), *(Text(line, style="dim") for line in _legend(audit))]
    said = findings(audit)
    if said:
        parts += [Text(), Text("Findings", style="bold"), *bullets(said, "")]
    if audit.failures:
        head = Text(f"Failures ({len({failure.system for failure in audit.failures})})", style="bold red")
        parts += [Text(), head, *bullets(failures_alike(audit.failures), "red")]
    for title, lines, style in (("Warnings", audit.warnings, "yellow"), ("Notes", audit.notes, "dim")):
        if lines:
            parts += [Text(), Text(f"{title} ({len(lines)})", style=f"bold {style}"), *bullets(lines, style)]
    return Group(*parts)


def terminal_width() -> int:
    """Columns of the terminal, within what is laid out."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, NARROW), 140)


def _legend(audit: AuditData) -> list[str]:
    """What the columns of the table of layers are, how its rows are named, and which they are."""
    chart = widest(audit.layers.values())
    lines = [_columns(chart), Names(audit.layers).statement.replace("`", "")]
    if left_out := len(audit.layers) - len(_told(audit)):
        lines.append(
            f"{left_out} more layers in index.html. Here: the first and last {ENDS}, and those whose shares differ "
            "most from the one before"
        )
    return [line for line in lines if line]


def _columns(chart: Chart) -> str:
    families = "".join(
        f"{name}: with {MARKS[name][0]}; " if name in MARKS else f"{name}: in irreps of that family; "
        for name in chart.family_names[1:]
    )
    return (
        f"Layers: share of power per {each_column(chart)}; {families}last column: above lmax, unresolved; "
        "-: within noise or its error; ~: known to one digit at best"
    )


def ruled(gap: int) -> Table:
    """An empty table with `gap` blanks between columns; the box draws one of them."""
    return Table(box=RULED, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0), header_style="bold")


def add_column(table: Table, name: str, *cells: str, right: bool = True) -> None:
    """A column just as wide as its widest line; nothing in it wraps by itself or is cut."""
    width = max(len(line) for cell in (name, *cells) for line in cell.split("\n"))
    table.add_column(Text(name), justify="right" if right else "left", width=width, no_wrap=True, overflow="crop")


def _errors(audit: AuditData, noun: str, outputs: Mapping[str, Output], width: int) -> list[Table]:
    """One row per output, or per layer with a representation; columns that do not fit are a table below."""
    name, *left = [column for column in columns_of(audit, outputs) if column.terminal is not None]
    tables = []
    while left:
        table, shown = _beside(audit, noun, outputs, width, [name, *left])
        tables.append(table)
        left = [column for column in left if column not in shown]
    return tables


def _beside(
    audit: AuditData, noun: str, outputs: Mapping[str, Output], width: int, columns: list[Column]
) -> tuple[Table, list[Column]]:
    """A table of those of `columns` that fit into `width` beside the first one, one of them at least, and which."""
    gap = 2 if width >= WIDE else 1
    shown = list(columns)
    while True:
        heads = [_head(column, width) or noun for column in shown]
        rows = [[column.in_terminal(audit, output) for column in shown] for output in outputs.values()]
        elastic = sorted((i for i, column in enumerate(shown) if column.elastic), key=lambda i: shown[i].elastic)
        spared = [column for column in shown if column.spare] if len(shown) > 2 else []
        if fit(rows, heads, width, gap, elastic, READABLE if spared else SHORTEST) or not spared:
            break
        shown.remove(min(spared, key=lambda column: column.spare))
    table = ruled(gap)
    for i, head in enumerate(heads):
        add_column(table, head, *(row[i] for row in rows), right=not shown[i].left)
    for row, output in zip(rows, outputs.values(), strict=True):
        table.add_row(*(Text(cell) for cell in row), style=STYLES.get(grade(output), ""))
    return table, shown


def _head(column: Column, width: int) -> str:
    assert column.terminal is not None
    return column.terminal[0 if width >= 100 else 1]


def fit(
    rows: list[list[str]], heads: list[str], width: int, gap: int, elastic: list[int], least: int = SHORTEST
) -> bool:
    """Break the cells of the elastic columns into lines, the widest column first, until a row fits into `width`, and
    whether it does: lines of names keep `least` letters, and no letter or digit is lost."""
    widths = [max(len(head), *(len(row[i]) for row in rows)) for i, head in enumerate(heads)]
    while sum(widths) + gap * (len(widths) - 1) > width:
        i = max(elastic, key=widths.__getitem__)
        if widths[i] <= max(len(heads[i]), least):
            break
        widths[i] -= 1
    for i in elastic:
        for row in rows:
            row[i] = broken(row[i], widths[i], INDENT)
    return sum(widths) + gap * (len(widths) - 1) <= width


def _layers(audit: AuditData, width: int) -> Table:
    for digits in (3, 2) if width >= WIDE else (2,):
        heads, rows, whole = _grouped(audit, width, digits)
        if whole:
            break
    fit(rows, heads, width, 1, elastic=[0])
    table = ruled(1)
    for i, head in enumerate(heads):
        add_column(table, head, *(row[i] for row in rows), right=i > 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _grouped(audit: AuditData, width: int, digits: int) -> tuple[list[str], list[list[str]], bool]:
    """Heads and rows with as many columns of the chart by themselves as fit by the names, and whether all do."""
    chart = widest(audit.layers.values())
    count = len(chart.headings)
    last = f">{chart.lmax}" if chart.counts else "unres."
    names, shown = Names(audit.layers), _told(audit)
    longest = max(len(names[name].text) for name in shown)
    for columns in range(count, 0, -1):
        groups = [[column] for column in range(columns)]
        groups[-1] = list(range(columns - 1, count))
        heads = ["layer", *share_headings(chart, groups, last)]
        rows = [[names[name].text, *share_cells(chart, audit.layers[name], groups, digits)] for name in shown]
        rest = sum(max(map(len, column)) + 1 for column in list(zip(heads, *rows, strict=True))[1:])
        if rest + min(longest, NAME) <= width:
            break
    return heads, rows, columns == count


def _told(audit: AuditData) -> list[str]:
    """Layers in the table: all where they are few, else the ends and where most changes, in order of execution."""
    names = list(audit.layers)
    if len(names) <= LAYERS:
        return names
    inner = range(ENDS, len(names) - ENDS)
    changes = {i: share_change(audit.layers[names[i - 1]], audit.layers[names[i]]) for i in inner}
    most = sorted(inner, key=lambda i: -changes[i])[: LAYERS - 2 * ENDS]
    return [names[i] for i in (*range(ENDS), *sorted(most), *range(len(names) - ENDS, len(names)))]


def bullets(lines: Sequence[str], style: str) -> list[Padding]:
    """Sentences as a list, the first `MESSAGES` of them; what warns among findings is marked."""
    shown = [*lines[:MESSAGES]]
    if len(lines) > MESSAGES:
        shown.append(f"... and {len(lines) - MESSAGES} more")
    return [_bullet(line, style) for line in shown]


def _bullet(line: str, style: str) -> Padding:
    mark, own = MARKED[line.severity] if isinstance(line, Finding) else ("-", style)
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    grid.add_row(Text(mark, style=own), Text(line, style=own))
    return Padding(grid, (0, 0))
