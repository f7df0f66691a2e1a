"""The numbers of an audit in rows: what its frames and its CSV files hold."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ArgumentError, fail
from ..groups.group import Chart, Label
from ..result.data import AuditData, Output, Spectrum, widest
from ..result.floor import sector_floor

Row = dict[str, Any]

SCALARS = (
    "rmse", "rmse_error", "relative", "rmse_rotations", "inversion", "symmetrised", "spread", "reference_rmse",
)  # fmt: skip
"""Of an output alone."""

FORMULA = re.compile(r"[=+\-@\t\r]")
"""What a spreadsheet takes for the beginning of a formula."""


def rows(audit: AuditData, table: str) -> tuple[list[str], list[Row]]:
    """Columns and rows of one of `TABLES`; a row may lack columns."""
    if not isinstance(table, str) or table not in TABLES:
        fail(ArgumentError, "table", f"one of {', '.join(TABLES)}", repr(table))
    columns, found = TABLES[table](audit)
    return list(dict.fromkeys([*columns, *(key for row in found for key in row)])), found


def comma_separated(columns: Sequence[str], found: Iterable[Row]) -> str:
    """Lines of comma-separated values (RFC 4180 but for line ends, which are ``\\n``), the first of them `columns`.

    Numbers have all their digits, ``nan`` and ``inf`` included; what a row lacks is empty. Text that a spreadsheet
    would take for a formula begins with an apostrophe there.
    """
    lines = [_line(columns)]
    lines += [_line([_cell(row.get(column)) for column in columns]) for row in found]
    return "".join(lines)


def _line(cells: Sequence[Any]) -> str:
    buffer = io.StringIO(newline="")
    # a lone carriage return is quoted only where line ends hold one
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def kind_of(audit: AuditData, name: str, spectrum: Spectrum) -> str:
    """``"output"`` or ``"layer"``."""
    return "layer" if audit.layers.get(name) is spectrum else "output"


def entries(chart: Chart, label: Label) -> dict[str, Any]:
    """What a label says about each axis of an array of power: ``{"l": 1, "sigma": -1}``."""
    found = label if isinstance(label, tuple) and len(chart.axes) > 1 else (label,)
    return dict(zip(chart.axes, found, strict=True))


def scalar(spectrum: Spectrum, key: str) -> float:
    """One of `SCALARS`; NaN where there is none."""
    value = getattr(spectrum, key) if isinstance(spectrum, Output) else None
    return math.nan if value is None else float(value)


def _unit(spectrum: Spectrum) -> str:
    return (spectrum.unit or "") if isinstance(spectrum, Output) else ""


def _outputs(audit: AuditData) -> tuple[list[str], list[Row]]:
    found = []
    for name, output in [*audit.listed.items(), *audit.declared_layers.items()]:
        worst = output.worst
        found.append(
            {
                "name": name,
                "kind": kind_of(audit, name, output),
                "representation": output.representation,
                "unit": _unit(output),
                "verdict": output.verdict.value,
                **{key: scalar(output, key) for key in SCALARS},
                "errors_assumed": output.errors_assumed,
                "depends": output.depends,
                "noise": output.noise,
                "noise_floor": output.noise_floor,
                "size": output.size,
                "total": output.pooled_total,
                "unresolved": output.pooled_unresolved,
                "unresolved_error": output.unresolved_error,
                "samples": output.samples,
                "channels": output.channels,
                "components": output.components,
                "dtype": output.dtype,
                "degree": output.degree,
                "worst_system": worst.system if worst else "",
                "worst_deviation": worst.deviation if worst else math.nan,
            }
        )
    return ["name", "kind", "representation", "unit", "verdict", *SCALARS], found


def _layers(audit: AuditData) -> tuple[list[str], list[Row]]:
    found = []
    for name, spectrum in audit.results():
        chart, power, share = spectrum.chart, spectrum.pooled_power, spectrum.fractions
        floor, error = sector_floor(spectrum), spectrum.power_error
        own = {"name": name, "kind": kind_of(audit, name, spectrum), "unit": _unit(spectrum)}
        for label, symbol in zip(chart.labels, chart.symbols, strict=True):
            place = chart.place(label)
            numbers = {"power": power[place], "power_error": error[place], "share": share[place], "floor": floor[place]}
            values = {key: float(value) for key, value in numbers.items()}
            found.append({**own, **entries(chart, label), "irrep": symbol, **values})
    axes = widest(spectrum for _, spectrum in audit.results()).axes
    return ["name", "kind", "unit", *axes, "irrep", "power", "power_error", "share", "floor"], found


def _systems(audit: AuditData) -> tuple[list[str], list[Row]]:
    units = {name: _unit(spectrum) for name, spectrum in audit.results()}
    found: list[Row] = [
        {"system": row.name, "rows": row.rows, "name": name, "kind": kind, "unit": units.get(name, ""), **values}
        for row in audit.systems
        for kind, table in (("output", row.outputs), ("layer", row.layers))
        for name, values in table.items()
    ]
    return ["system", "rows", "name", "kind", "unit"], found


TABLES = {"outputs": _outputs, "layers": _layers, "systems": _systems}
"""By name: a row per output and declared layer; per layer or output and irrep; per system and output or layer."""
