"""A history as text and as comma-separated values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..report.format import percent, seconds, with_error
from ..report.rows import comma_separated, kind_of
from ..result.data import Output, Spectrum, widest
from ..result.floor import unresolved_share

if TYPE_CHECKING:
    from .data import HistoryData

GAP = "  "

ERRORS: dict[str, Callable[[Output], Any]] = {
    "representation": lambda output: output.representation,
    "unit": lambda output: output.unit or "",
    "rmse": lambda output: output.rmse,
    "rmse_error": lambda output: output.rmse_error,
    "relative": lambda output: output.relative,
    "noise_floor": lambda output: output.noise_floor,
    "verdict": lambda output: str(output.verdict),
}
"""Columns of a file that are empty for a layer without a representation."""


def to_text(history: HistoryData) -> str:
    """A line for each point, with the RMSE of each output, its relative size, and the verdict."""
    if not history.points:
        return "no points"
    head = ["step", "time"]
    for name in history.listed:
        head += [f"{name}", "relative", "verdict"]
    rows = [
        head,
        *([str(point.step), seconds(point.seconds), *_cells(history, point.audit.listed)] for point in history),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _cells(history: HistoryData, outputs: dict[str, Output]) -> list[str]:
    cells = []
    for name in history.listed:
        output = outputs.get(name)
        if output is None:
            cells += ["", "", ""]
        else:
            cells += [with_error(output.rmse, output.rmse_error), percent(output.relative), str(output.verdict)]
            cells[-3] += f" {output.unit}" if output.unit else ""
    return cells


def to_csv(history: HistoryData) -> str:
    """A row for each point and each output or layer; shares of irreps by their symbols, ``share 1o``."""
    chart = widest(spectrum for point in history for _, spectrum in point.audit.results())
    shares = [f"share {chart.symbol(label)}" for label in chart.labels]
    columns = ["step", "seconds", "kind", "name", *ERRORS, *shares, "share above"]
    found = []
    for point in history:
        for name, spectrum in [*point.audit.layers.items(), *point.audit.listed.items()]:
            own = {"step": point.step, "seconds": point.seconds, "kind": kind_of(point.audit, name, spectrum)}
            numbers = {key: cell(spectrum) for key, cell in ERRORS.items()} if isinstance(spectrum, Output) else {}
            power = dict(zip(shares, _shares(spectrum), strict=False))
            found.append({**own, "name": name, **numbers, **power, "share above": unresolved_share(spectrum)})
    return comma_separated(columns, found)


def _shares(spectrum: Spectrum) -> list[float]:
    return [float(share) for share in spectrum.fractions.reshape(-1)]
