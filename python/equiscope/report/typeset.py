"""Tables for papers and notes: LaTeX and Markdown, every number of a column in one format."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..result.data import AuditData, Output
from ..result.floor import assumed

FIXED = (1e-3, 1e5)
"""Sizes between which a column of numbers is written without powers of ten."""

DIGITS = 3
"""Of a number that has no error."""

MOST_DIGITS = 8
"""Of a number that has an error. One that is smaller yet is no more than the rounding of sums, and is not written."""

ASSUMED = "Marked errors assume that the spectrum goes on decaying as this one grid shows it."

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "\n": " ", "\r": " ", "\t": " ", "±": r"$\pm$", "Å": r"\AA{}",
}  # fmt: skip
"""What a letter is in LaTeX, where it is not itself."""


@dataclass(frozen=True)
class Measured:
    """A number in a cell."""

    value: float
    error: float = 0.0
    assumed: bool = False
    """Whether the error rests on an assumption."""

    @property
    def known(self) -> bool:
        return math.isfinite(self.value)

    @property
    def shown_error(self) -> float:
        """0 where it is not written."""
        return self.error if self.error >= 10.0 ** (1 - MOST_DIGITS) * abs(self.value) else 0.0


Cell = str | Measured


@dataclass(frozen=True)
class Column:
    """A heading, and what stands under it: text, or numbers alone and text where there is none."""

    heading: str
    cells: Sequence[Cell]

    @property
    def numeric(self) -> bool:
        return any(isinstance(cell, Measured) for cell in self.cells)


def outputs_table(audit: AuditData) -> list[Column]:
    """The outputs of an audit, then its declared layers."""
    found = [*audit.listed.items(), *audit.declared_layers.items()]
    units = any(output.unit for _, output in found)
    return [
        Column("output", [name for name, _ in found]),
        Column("transforms as", [output.representation for _, output in found]),
        Column("verdict", [output.verdict.value for _, output in found]),
        Column("RMSE", [rmse(output) for _, output in found]),
        *([Column("unit", [output.unit or "" for _, output in found])] if units else []),
        Column("relative", [Measured(output.relative) for _, output in found]),
        Column("noise floor", [Measured(output.noise_floor) for _, output in found]),
    ]


def rmse(output: Output) -> Measured:
    """The error of an output, with its own."""
    return Measured(output.rmse, output.rmse_error, assumed(output))


def latex(columns: Sequence[Column]) -> str:
    """A ``tabular`` with the rules of the package booktabs; text is escaped."""
    cells = [_written(column, _latex_number, _latex_text) for column in columns]
    heads = " & ".join(_latex_text(column.heading) for column in columns)
    body = [f"{' & '.join(row)} \\\\" for row in zip(*cells, strict=True)]
    layout = "".join("r" if column.numeric else "l" for column in columns)
    lines = [f"\\begin{{tabular}}{{{layout}}}", "\\toprule", f"{heads} \\\\", "\\midrule", *body]
    return "\n".join([*_note(columns, "% "), *lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def markdown(columns: Sequence[Column]) -> str:
    """A table of GitHub's Markdown."""
    cells = [_written(column, _markdown_number, _markdown_text) for column in columns]
    rows = [[_markdown_text(column.heading) for column in columns]]
    rows += [["---:" if column.numeric else "---" for column in columns]]
    rows += [list(row) for row in zip(*cells, strict=True)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
    return "\n".join([table, *(f"{line}\n" for line in _note(columns, "\\*: "))])


def _note(columns: Sequence[Column], sign: str) -> list[str]:
    numbers = [cell for each in columns for cell in each.cells if isinstance(cell, Measured)]
    return [sign + ASSUMED] if any(cell.assumed and cell.shown_error for cell in numbers) else []


Number = Callable[[str, str, str, bool], str]
"""Of digits, digits of the error, a power of ten ("" for none), and whether the error rests on an assumption."""


def _written(column: Column, number: Number, text: Callable[[str], str]) -> list[str]:
    """The cells of a column. All its numbers have powers of ten, or none has."""
    sizes = [abs(cell.value) for cell in column.cells if isinstance(cell, Measured) and cell.known and cell.value]
    fixed = all(FIXED[0] <= size < FIXED[1] for size in sizes)
    return [
        text(cell) if isinstance(cell, str) else _number(cell, number, fixed=fixed) if cell.known else text("-")
        for cell in column.cells
    ]


def _number(cell: Measured, written: Number, *, fixed: bool) -> str:
    """Two digits of the error say where a number ends; without one, or with one that is not known, it has three."""
    value, error = cell.value, cell.shown_error
    bounded = bool(error) and math.isfinite(error)
    size = _decade(value) if value else 0
    last = _decade(error) - 1 if bounded else size - DIGITS + 1
    if value and _decade(round(value, -last) or value) > size:  # 9.999 is written as 10.0
        size, last = size + 1, last if bounded else last + 1
    power = 0 if fixed else size
    places = max(power - last, 0)
    around = f"{error * 10.0**-power:.{places}f}" if bounded else "inf" if error else ""
    digits = f"{value * 10.0**-power:.{places}f}" if value or bounded else "0"
    return written(digits, around, str(power) if power else "", cell.assumed)


def _decade(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _latex_number(digits: str, error: str, power: str, assumed: bool) -> str:
    star = r"^{\ast}" if assumed and error else ""
    spread = "\\infty" if error == "inf" else error
    number = f"{digits} \\pm {spread}{star}" if error else digits
    if not power:
        return f"${number}$"
    return f"$({number}) \\times 10^{{{power}}}$" if error else f"${number} \\times 10^{{{power}}}$"


def _markdown_number(digits: str, error: str, power: str, assumed: bool) -> str:
    star = "\\*" if assumed and error else ""
    exponent = f"e{int(power):+03d}" if power else ""
    if not error:
        return digits + exponent
    return f"({digits} ± {error}{star}){exponent}" if exponent else f"{digits} ± {error}{star}"


def _latex_text(text: str) -> str:
    escaped = "".join(SPECIAL.get(letter, letter) for letter in text)
    # after the end of a row a bracket would be read as its argument, an asterisk as a part of it
    return f"{{}}{escaped}" if escaped.lstrip().startswith(("[", "*")) else escaped


def _markdown_text(text: str) -> str:
    for letter in "\\`*_<|$~":
        text = text.replace(letter, f"\\{letter}")
    return " ".join(text.split())
