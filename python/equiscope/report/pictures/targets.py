"""Spectra of labels, predictions and errors, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ...result.data import AuditData, Output
from ...result.floor import sector_floor
from ..palette import INK, MARK, PROPER, RULE, Options
from ..sheet import Sheet
from ..style import decades, finish, fitted, plain, text_width
from ..view import Picture, register

COLUMNS = 3

PANEL, AROUND = 2.45, 0.3
"""Inches that a panel is wide, its labels included, where nobody says how wide they all are; and around all of them."""

FAINTEST = 1e-14
"""Least share drawn: round-off lies below."""

STYLES: dict[str, Options] = {
    "labels": {"color": INK, "marker": "_", "markersize": 11, "markeredgewidth": 1.8},
    "prediction": {"color": PROPER, "marker": "o", "markersize": 4.5},
    "error": {"color": MARK, "marker": "x", "markersize": 4.5, "markeredgewidth": 1.2},
}


@register
class Targets(Picture):
    """One panel per output with labels: power in each irrep, over that of all labels."""

    name, order = "targets", 2.5

    def caption(self, audit: AuditData) -> str:
        return (
            "Outputs against their labels. A label has power in its own irreps alone; the error there is wrong values, "
            "and elsewhere broken symmetry."
        )

    def lacks(self, audit: AuditData) -> tuple[str, str] | None:
        return None if _labelled(audit) else ("an output with labels", "none")

    def draw(self, audit: AuditData, sheet: Sheet, names: Sequence[str] | None = None) -> None:
        found = _labelled(audit)
        columns = sheet.across(len(found), COLUMNS)
        rows = math.ceil(len(found) / columns)
        wanted = max(PANEL * columns, 3.6) + AROUND
        panel = (sheet.wide(wanted) - AROUND) / columns - AROUND
        keys = [Line2D([], [], linestyle="none", label=label, **style) for label, style in STYLES.items()]
        grid = sheet.panels(rows, columns, width=wanted, height=min(2.05, 0.75 * panel + 0.6) * rows + 0.4, keys=keys)
        for i, axes in enumerate(grid.flat):
            if i >= len(found):
                axes.set_axis_off()
                continue
            _draw(axes, found[i], panel)
            ylabel = "power over that of the labels" if i % columns == 0 else ""
            finish(axes, grid="y", title=fitted(found[i].name, panel), ylabel=ylabel)
            decades(axes, "y")


def _labelled(audit: AuditData) -> list[Output]:
    return [output for output in audit.outputs.values() if output.target is not None and _size(output) > 0]


def _size(output: Output) -> float:
    assert output.target is not None
    return sum(sector.target for sector in output.target.sectors.values())


def _draw(axes: Axes, output: Output, panel: float) -> None:
    target, chart, size = output.target, output.chart, _size(output)
    assert target is not None
    labels = np.zeros(len(chart.labels))
    for label, sector in target.sectors.items():
        if label in chart:
            labels[chart.labels.index(label)] = sector.target / size
    floor = sector_floor(output).reshape(-1).numpy() / size
    values = {
        "labels": labels,
        "prediction": output.pooled_power.reshape(-1).numpy() / size,
        "error": target.error_power.reshape(-1).numpy() / size,
    }
    errors = values["error"][values["error"] > FAINTEST]
    low = 0.3 * min(float(errors.min(initial=1e-2)), 1e-2)
    edges = np.append(np.arange(len(floor)) - 0.5, len(floor) - 0.5)
    axes.set_yscale("log")
    axes.fill_between(edges, np.append(floor, floor[-1]), low, step="post", color=RULE, alpha=0.6, linewidth=0)
    for name, shift in zip(STYLES, (0.0, -0.14, 0.14), strict=True):
        shown = values[name] > low
        axes.plot(np.flatnonzero(shown) + shift, values[name][shown], linestyle="none", **STYLES[name])
    axes.set_ylim(low, 4.0)
    axes.set_xlim(-0.5, len(floor) - 0.5)
    upright = sum(text_width(symbol) + 0.06 for symbol in chart.symbols) > panel
    axes.set_xticks(range(len(floor)), [plain(symbol) for symbol in chart.symbols], rotation=90 if upright else 0)
