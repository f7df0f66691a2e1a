"""The columns of the tables of outputs and of declared layers, in the terminal and on the page.

To print another number, add a `Column` to `COLUMNS` at the place where it should stand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..result.data import AuditData, Output
from ..result.verdict import system_error, verdict, worst_row
from .format import count, number, percent, with_error
from .shares import unresolved_cell

Cell = Callable[[AuditData, Output], str]


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
    """Above 0 where a narrow terminal may shorten the cells: of columns that are equally wide, 1 goes first."""
    name: bool = False
    """Whether it holds names, which the page may break in two."""
    css: Cell | None = None
    """Class of the cell on the page."""


def _worst(audit: AuditData, output: Output) -> str:
    row = worst_row(audit, output.name)
    return row.name if row else "-"


def _worst_error(audit: AuditData, output: Output) -> str:
    row = worst_row(audit, output.name)
    return number(system_error(row, output.name)) if row else "-"


COLUMNS = (
    Column("", lambda audit, output: output.name, ("", ""), left=True, elastic=1, name=True),
    Column("transforms as", lambda audit, output: output.representation, ("as", "as"), left=True, elastic=3),
    Column(
        "verdict",
        lambda audit, output: verdict(output).value,
        None,
        left=True,
        css=lambda audit, output: verdict(output).name.lower(),
    ),
    Column("samples", lambda audit, output: count(output.samples), ("samples", "samples")),
    Column(
        "RMSE",
        lambda audit, output: with_error(output.rmse, output.rmse_error or None, "±"),
        ("RMSE", "RMSE"),
        terminal_cell=lambda audit, output: with_error(output.rmse, output.rmse_error or None, "+-"),
    ),
    Column(
        "relative",
        lambda audit, output: percent(output.relative),
        ("relative", "relative"),
        terminal_cell=lambda audit, output: number(output.relative),
    ),
    Column("noise floor", lambda audit, output: number(output.noise_floor), ("noise", "noise")),
    Column("unresolved", lambda audit, output: unresolved_cell(output, 3), ("unresolved", "unres.")),
    Column("worst system", _worst, ("worst system", "worst"), left=True, elastic=2, name=True),
    Column("its RMSE", _worst_error, None),
)
