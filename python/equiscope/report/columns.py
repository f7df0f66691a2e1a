"""The columns of the tables of outputs and of declared layers, in the terminal and on the page.

To print another number, add a `Column` to `COLUMNS` at the place where it should stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..result.data import AuditData, Output
from ..result.floor import assumed, unresolved_share
from ..result.judge import Verdict
from ..result.verdict import per_row, rotations_alone, system_error, untouched, worst_row
from .format import count, number, percent, with_error
from .shares import unresolved_cell

Cell = Callable[[AuditData, Output], str]

NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Column:
    """One column: what stands over it, and what stands in it for an output of an audit."""

    heading: str
    """On the page; empty: what the rows are, "output" or "layer"."""
    cell: Cell
    terminal: tuple[str, str] | None
    """Headings in a wide and in a narrow terminal; None: on the page alone."""
    terminal_cell: Cell | None = None
    """What the terminal shows, where that differs: plain ASCII, and as short as it goes."""
    left: bool = False
    """Text, and so aligned to the left."""
    elastic: int = 0
    """Above 0 where a narrow terminal may break the cells in lines: of columns that are equally wide, 1 goes first."""
    name: bool = False
    """Whether it holds names, which the page may break in two."""
    css: Cell | None = None
    """Class of the cell on the page."""
    spare: int = 0
    """Above 0 where a terminal that is too narrow has it below the others: 1 goes first."""
    value: Callable[[AuditData, Output], float | None] | None = None
    """The number in the cell with all its digits, which the page shows where the pointer rests, and sorts by."""
    has_unit: bool = False
    """Whether the cell on the page ends in the unit of the output."""
    with_value: bool = False
    """Whether `value` stands on the page behind what the cell says."""
    shown: Callable[[AuditData, list[Output]], bool] | None = None
    """Whether it says anything of these outputs; None: always."""

    def page_cell(self, audit: AuditData, output: Output) -> str:
        """The cell as it stands on the page."""
        text = self._said(self.cell, audit, output)
        value = self.value(audit, output) if self.with_value and self.value else None
        text += f" {number(value)}" if value is not None else ""
        unit = (output.unit or "").replace(" ", NO_BREAK)
        return f"{text} {unit}" if self.has_unit and unit and text != "-" else text

    def in_terminal(self, audit: AuditData, output: Output) -> str:
        """The cell as a terminal shows it."""
        return self._said(self.terminal_cell or self.cell, audit, output)

    def _said(self, cell: Cell, audit: AuditData, output: Output) -> str:
        return "-" if self.value is not None and output.name in audit.unmeasured else cell(audit, output)


SLIGHT, STRONG = 1e-2, 1e-1
"""Relative errors between the grades of a broken symmetry: below a hundredth it is lost in the errors of most models, a
tenth is more than training on rotated data leaves."""


def grade(output: Output) -> str:
    """A word for the colour of a verdict."""
    if untouched(output):
        return Verdict.ZERO.name.lower()
    if output.verdict is not Verdict.BROKEN:
        return output.verdict.name.lower()
    return "slight" if output.relative < SLIGHT else "moderate" if output.relative < STRONG else "strong"


def _worst(audit: AuditData, output: Output) -> str:
    row = worst_row(audit, output.name)
    return row.name if row else "-"


def _worst_error(audit: AuditData, output: Output) -> float | None:
    row = worst_row(audit, output.name)
    return system_error(row, output.name) if row else None


def _rmse(audit: AuditData, output: Output) -> str:
    return with_error(output.rmse, output.rmse_error, "±", assumed(output))


def _rmse_in_terminal(audit: AuditData, output: Output) -> str:
    written = with_error(output.rmse, output.rmse_error, assumed=assumed(output))
    return f"{written} {output.unit}" if output.unit else written


def _verdict(audit: AuditData, output: Output) -> str:
    state = output.verdict
    return f"{state.value} by {percent(output.relative)}" if state is Verdict.BROKEN else state.value


def _of_spread(audit: AuditData, output: Output) -> str:
    return percent(output.rmse / output.spread) if output.spread else "-"


def _of_reference(audit: AuditData, output: Output) -> str:
    return percent(output.rmse / output.reference_rmse) if output.reference_rmse else "-"


def _per_row(audit: AuditData, output: Output) -> str:
    found = per_row(audit, output.name)
    return f"{number(found[0])} {found[1]}" if found else "-"


def _rotations(audit: AuditData, output: Output) -> str:
    return number(output.rmse_rotations) if rotations_alone(output) is not None else "-"


def _any(cell: Cell) -> Callable[[AuditData, list[Output]], bool]:
    """A column that is shown where one of its cells says something."""
    return lambda audit, outputs: any(cell(audit, output) != "-" for output in outputs)


COLUMNS = (
    Column("", lambda audit, output: output.name, ("", ""), left=True, elastic=1, name=True),
    Column(
        "transforms as",
        lambda audit, output: "voigt (tensor)" if output.representation == "voigt" else output.representation,
        ("as", "as"),
        left=True,
        elastic=3,
        spare=7,
    ),
    Column(
        "verdict",
        _verdict,
        ("verdict", "verdict"),
        terminal_cell=lambda audit, output: output.verdict.value,
        left=True,
        css=lambda audit, output: grade(output),
        spare=5,
    ),
    Column("samples", lambda audit, output: count(output.samples), ("samples", "samples"), spare=1),
    Column(
        "RMSE",
        _rmse,
        ("RMSE", "RMSE"),
        terminal_cell=_rmse_in_terminal,
        value=lambda audit, output: output.rmse,
        has_unit=True,
    ),
    Column(
        "relative",
        lambda audit, output: percent(output.relative),
        ("relative", "relative"),
        terminal_cell=lambda audit, output: number(output.relative),
        spare=8,
        value=lambda audit, output: output.relative,
    ),
    Column("of its spread", _of_spread, None, shown=_any(_of_spread)),
    Column("of the model's error", _of_reference, ("of error", "of error"), shown=_any(_of_reference), spare=6),
    Column("per atom", _per_row, None, shown=_any(_per_row)),
    Column(
        "rotations alone",
        _rotations,
        ("rot. alone", "rot."),
        shown=_any(_rotations),
        spare=6,
        value=lambda audit, output: output.rmse_rotations,
        has_unit=True,
    ),
    Column(
        "noise floor",
        lambda audit, output: number(output.noise_floor),
        ("noise", "noise"),
        spare=2,
        value=lambda audit, output: output.noise_floor,
        has_unit=True,
    ),
    Column(
        "unresolved",
        lambda audit, output: unresolved_cell(output, 3),
        ("unresolved", "unres."),
        spare=3,
        value=lambda audit, output: unresolved_share(output),
    ),
    Column(
        "worst system",
        _worst,
        ("worst system", "worst"),
        left=True,
        elastic=2,
        name=True,
        spare=4,
        value=_worst_error,
        with_value=True,
        has_unit=True,
    ),
)


def columns_of(audit: AuditData, outputs: Mapping[str, Output]) -> list[Column]:
    """Those of `COLUMNS` that say something of these outputs."""
    return [column for column in COLUMNS if column.shown is None or column.shown(audit, list(outputs.values()))]
