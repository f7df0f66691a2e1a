"""A comparison as one table, in the terminal, in Markdown and on the page: a row for each output of each audit."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.text import Text

from ...result.comparison import ComparisonData
from ...result.data import Output
from ...result.floor import assumed
from ...result.judge import Verdict
from ...result.paired import LEVEL, Difference, Standing
from .. import typeset
from ..columns import grade
from ..format import margin, number, percent, with_error
from ..notebook import Shown, cell
from ..table import ASSUMED, READABLE, SHORTEST, add_column, bullets, fit, ruled, show, terminal_width
from .pictures import kinds, plot

MANY = 5
"""Differences from which we say how many of them chance alone would show."""


@dataclass(frozen=True)
class Entry:
    """One output in one audit, and how it differs from the baseline."""

    name: str
    audit: str
    output: Output
    difference: Difference | None
    is_baseline: bool


@dataclass(frozen=True)
class Column:
    """A heading, and what stands under it."""

    heading: str
    cell: Callable[[Entry], str]
    left: bool = False
    spare: int = 0
    """Above 0 where a narrow terminal goes without it: 1 goes first."""
    css: Callable[[Entry], str] = lambda entry: ""
    value: Callable[[Entry], float | None] | None = None
    """The number in the cell with all its digits, which the page shows where the pointer rests, and sorts by."""


def _rmse(entry: Entry) -> str:
    output = entry.output
    if output.verdict is Verdict.UNMEASURED:
        return "-"
    written = with_error(output.rmse, output.rmse_error, "±", assumed(output))
    return f"{written} {output.unit}" if output.unit else written


def _relative(entry: Entry) -> str:
    return "-" if entry.output.verdict is Verdict.UNMEASURED else percent(entry.output.relative)


def _change(entry: Entry) -> str:
    if entry.is_baseline:
        return "baseline"
    if entry.difference is None:
        return "-"
    value, error = entry.difference.value, entry.difference.error
    unit = f" {entry.output.unit}" if entry.output.unit else ""
    return f"{'+' if value > 0 else ''}{number(value)} ± {margin(abs(value), error) if error else '0'}{unit}"


def _lower(entry: Entry) -> str:
    found = entry.difference
    return "-" if found is None else f"{found.lower} of {found.systems}"


def _chance(entry: Entry) -> str:
    return "-" if entry.difference is None or entry.difference.p is None else number(entry.difference.p, 2)


def _standing(entry: Entry) -> str:
    found = entry.difference
    if found is None:
        return "-"
    if not found.standing.is_seen:
        return found.standing.value
    where = " on these systems" if found.standing is Standing.HERE else ""
    return f"{'better' if found.value < 0 else 'worse'}{where}"


def _ink(entry: Entry) -> str:
    found = entry.difference
    if found is None or not found.standing.is_seen:
        return ""
    return "exact" if found.value < 0 else "moderate"


COLUMNS = (
    Column("output", lambda entry: entry.name, left=True),
    Column("audit", lambda entry: entry.audit, left=True),
    Column("verdict", lambda entry: entry.output.verdict.value, left=True, spare=2, css=lambda e: grade(e.output)),
    Column("RMSE", _rmse, value=lambda entry: entry.output.rmse),
    Column("relative", _relative, spare=3, value=lambda entry: entry.output.relative),
    Column("difference", _change, spare=5, value=lambda e: e.difference.value if e.difference else None),
    Column("lower in", _lower, spare=1),
    Column("p", _chance, spare=4),
    Column("compared", _standing, left=True, css=_ink),
)


NAMES = [0, 1]
"""Columns whose cells a narrow terminal may break in lines."""


def entries(found: ComparisonData) -> list[Entry]:
    """Every output of every audit, outputs in order, the audits of one beside each other."""
    return [
        Entry(name, audit, report.listed[name], found.differences.get(name, {}).get(audit), audit == found.baseline)
        for name in found.listed
        for audit, report in found.audits.items()
        if name in report.listed
    ]


def verdict_line(found: ComparisonData) -> str:
    """What is better and what is worse than the baseline, in one line."""
    if not found.differences:
        return f"verdict: no output can be compared with {found.baseline}"
    told = []
    for audit in found.audits:
        own = {name: others[audit] for name, others in found.differences.items() if audit in others}
        seen = {name: difference.value for name, difference in own.items() if difference.standing.is_seen}
        better, worse = ([name for name, value in seen.items() if (value < 0) == wanted] for wanted in (True, False))
        parts = [f"{', '.join(names)} {word}" for word, names in (("better", better), ("worse", worse)) if names]
        told += [f"{audit}: {', '.join(parts)}"] if parts else []
    return f"verdict: {'; '.join(told) or 'no difference seen'}; against {found.baseline}"


def to_rich(found: ComparisonData, width: int) -> Group:
    """As a rich renderable for `width` columns."""
    parts: list[Any] = [Text(f"equiscope comparison of {', '.join(found.audits)}"), Text()]
    shown, rows = list(COLUMNS), entries(found)
    while True:
        heads = [column.heading for column in shown]
        cells = [[column.cell(entry).replace("±", "+-") for column in shown] for entry in rows]
        spare = min((column for column in shown if column.spare), key=lambda column: column.spare, default=None)
        if fit(cells, heads, width, 1, NAMES, READABLE if spare else SHORTEST) or spare is None:
            break
        shown.remove(spare)
    if rows:
        table = ruled(1)
        for i, column in enumerate(shown):
            add_column(table, column.heading, *(line[i] for line in cells), right=not column.left)
        for line in cells:
            table.add_row(*map(Text, line))
        parts += [table, Text(legend(found), style="dim")]
    if said := found.notes:
        parts += [Text(), Text("Not compared, and to be known", style="bold"), *bullets(said, "")]
    return Group(*parts)


def legend(found: ComparisonData) -> str:
    """What stands in the columns."""
    told = (
        f"difference: RMSE minus that of {found.baseline}, on the systems that both have; lower in: systems with the "
        "smaller error; p: signed ranks over systems; better and worse: beyond the errors of both measurements, and "
        f"with p < {LEVEL} or else on these systems alone"
    )
    if any(assumed(entry.output) for entry in entries(found)):
        told += f"; {ASSUMED}"
    count = sum(len(others) for others in found.differences.values())
    if count >= MANY:
        told += f". Of {count} differences that are none, {LEVEL * count:.1f} would be seen by chance"
    return told


def to_text(found: ComparisonData, width: int | None = None) -> str:
    """The table in plain characters; what does not fit into `width` sticks out."""
    console = Console(
        file=io.StringIO(),
        width=width or terminal_width(),
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        show(to_rich(found, console.width), console)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")


def typeset_columns(found: ComparisonData) -> list[typeset.Column]:
    """The table for papers and notes."""
    rows = entries(found)
    units = any(entry.output.unit for entry in rows)
    return [
        typeset.Column("output", [entry.name for entry in rows]),
        typeset.Column("audit", [entry.audit for entry in rows]),
        typeset.Column("verdict", [entry.output.verdict.value for entry in rows]),
        typeset.Column("RMSE", [typeset.rmse(entry.output) for entry in rows]),
        *([typeset.Column("unit", [entry.output.unit or "" for entry in rows])] if units else []),
        typeset.Column("relative", [typeset.Measured(entry.output.relative) for entry in rows]),
        typeset.Column("difference", [_taken(entry) for entry in rows]),
        typeset.Column("lower in", [_lower(entry) for entry in rows]),
        typeset.Column("p", [_chance(entry) for entry in rows]),
        typeset.Column("compared", [_standing(entry) for entry in rows]),
    ]


def _taken(entry: Entry) -> typeset.Cell:
    if entry.difference is None:
        return "baseline" if entry.is_baseline else "-"
    return typeset.Measured(entry.difference.value, entry.difference.error)


def to_markdown(found: ComparisonData) -> str:
    """A table of GitHub's Markdown, and the notes as a list."""
    said = "\n".join(f"- {note}" for note in found.notes)
    return f"{typeset.markdown(typeset_columns(found))}\n{legend(found)}\n" + (f"\n{said}\n" if said else "")


def to_latex(found: ComparisonData) -> str:
    """A ``tabular`` with the rules of booktabs."""
    return typeset.latex(typeset_columns(found))


def to_notebook(found: ComparisonData) -> str:
    """Verdict, table and errors for a cell of a notebook."""
    table = Shown(
        [column.heading for column in COLUMNS],
        [column.left for column in COLUMNS],
        [[column.cell(entry) for column in COLUMNS] for entry in entries(found)],
    )
    (kind, *_) = kinds(found)
    title = f"equiscope comparison of {', '.join(found.audits)}"
    return cell(title, [verdict_line(found)], found.notes, table, plot(found, kind))


def summary(found: ComparisonData) -> dict[str, Any]:
    """JSON values; numbers that are not finite are null."""
    return {
        "comparison": 1,
        "baseline": found.baseline,
        "outputs": [
            {
                "output": entry.name,
                "audit": entry.audit,
                "verdict": entry.output.verdict.value,
                "unit": entry.output.unit,
                "rmse": _finite(entry.output.rmse),
                "rmse_error": _finite(entry.output.rmse_error),
                "relative": _finite(entry.output.relative),
                "difference": None if entry.difference is None else _numbers(entry.difference),
            }
            for entry in entries(found)
        ],
        "layers": found.layers,
        "settings": found.differing(),
        "notes": found.notes,
        "verdict": verdict_line(found),
    }


def _numbers(found: Difference) -> dict[str, Any]:
    return {
        "value": _finite(found.value),
        "error": _finite(found.error),
        "p": found.p,
        "systems": found.systems,
        "lower_in": found.lower,
        "standing": found.standing.value,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
