"""Share of the power in every irrep over steps, of each output and layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ...groups.group import Chart
from ...report.names import Names
from ...report.palette import FAINT, INK, MAP, MARKERS, SMALL, Options
from ...report.sheet import Sheet
from ...report.style import decades, finish, fitted, plain
from ...report.words import family_title
from ...result.data import widest
from ..data import Curves, HistoryData
from ..view import HistoryPicture, register
from ._axes import COLUMN, panels, place, step_axis

MOST = 12
"""Panels when nobody names any: all outputs, then layers from first to last."""

COLUMNS, MOST_COLUMNS = 2, 4
"""Panels side by side in a column of text, and in any width."""

PANEL = 0.85
"""Inches that a panel is high."""

AROUND = 0.7
"""Inches beside all panels."""

FAINTEST = 1e-8
"""Least share at the foot of a panel: a hundred thousandth of the amplitude."""

LINES: tuple[Any, ...] = ("solid", (0, (3, 1.5)), (0, (1, 1)))
"""By family."""


@register
class Sectors(HistoryPicture):
    """A panel for each output and layer, a line for each irrep. What is within noise or its own error is left out."""

    name, order = "sectors", 3
    chooses = ("names",)

    def caption(self, history: HistoryData) -> str:
        left_out = len(history.outputs) + len(history.layers) - len(_chosen(history))
        rest = f" {left_out} more layers are in history.csv." if left_out > 0 else ""
        return (
            "Share of the power in each irrep over training, outputs in bold, then layers in order of execution. "
            f"What lies within noise, or within its own error, is left out.{rest} {Names(history.layers).statement}"
        )

    def lacks(self, history: HistoryData) -> tuple[str, str] | None:
        return None if history.points else ("a point", "none")

    def draw(
        self, history: HistoryData, sheet: Sheet, names: Sequence[str] | None, steps: Sequence[int] | None
    ) -> None:
        curves = [history.curves(name) for name in names or _chosen(history)]
        chart = widest(spectrum for point in history for _, spectrum in point.audit.results())
        columns = sheet.across(len(curves), MOST_COLUMNS if sheet.bounded else COLUMNS)
        shown = Names(history.layers)
        rows = math.ceil(len(curves) / columns)
        every = np.concatenate([curve.steps.numpy() for curve in curves])
        width = (sheet.wide(COLUMN) - AROUND) / columns
        bold = [curve.name in history.outputs for curve in curves]
        titles = [fitted(shown[curve.name].text, width, bold=own) for curve, own in zip(curves, bold, strict=True)]
        grid = panels(sheet, rows, columns, PANEL, _keys(chart), titles)
        low = min(_draw(axes, curve) for axes, curve in zip(grid.flat, curves, strict=False))
        for i, axes in enumerate(grid.flat):
            if i >= len(curves):
                axes.set_axis_off()
                continue
            last = i + columns >= len(curves)
            step_axis(axes, every, label=last)
            finish(
                axes,
                grid="y",
                title=titles[i],
                bold=bold[i],
                xlabel="step" if last else "",
                ylabel="share" if i % columns == 0 else "",
            )
            axes.set_ylim(low, 2.0)
            decades(axes, "y")


def _chosen(history: HistoryData) -> list[str]:
    layers, room = history.layers, max(0, MOST - len(history.outputs))
    picks = np.unique(np.linspace(0, len(layers) - 1, min(room, len(layers))).round().astype(int))
    return [*history.outputs, *(layers[i] for i in picks)]


def _colour(chart: Chart, column: int) -> Any:
    """Ink for the first column, of what is invariant; then along the map, between what is too dark for a line on dark
    paper and too bright for one on white."""
    return INK if column == 0 else colormaps[MAP](0.25 + 0.65 * (column - 1) / max(len(chart.headings) - 2, 1))


def _line(chart: Chart, column: int, family: int) -> Options:
    return {
        "color": _colour(chart, column),
        "linestyle": LINES[family % len(LINES)],
        "marker": MARKERS[column % len(MARKERS)],
        "markersize": 2.6,
        "markerfacecolor": _colour(chart, column) if family == 0 else "none",
        "markeredgewidth": 0.6,
        "linewidth": 0.9,
    }


ABOVE: Options = {"color": FAINT, "marker": "_", "markersize": 5, "linewidth": 0.8}
"""The power above lmax."""


def _keys(chart: Chart) -> list[Artist]:
    keys: list[Artist] = [
        Line2D([], [], label=plain(chart.title(column)), **_line(chart, column, 0))
        for column in range(len(chart.headings))
    ]
    keys.append(Line2D([], [], label="above", **ABOVE))
    for family, name in enumerate(chart.family_names):
        if family and name:
            keys.append(
                Line2D(
                    [],
                    [],
                    color=INK,
                    linewidth=0.9,
                    linestyle=LINES[family % len(LINES)],
                    label=family_title(chart, family),
                )
            )
    return keys


def _draw(axes: Axes, curve: Curves) -> float:
    """The lines of one panel; where its vertical axis should start."""
    axes.set_yscale("log")
    at, chart = place(curve.steps), curve.chart
    points = len(curve)
    shares = curve.shares.reshape(points, -1).numpy()
    floors = np.maximum(curve.share_floors.reshape(points, -1).numpy(), FAINTEST)
    seen = np.where(shares > floors, shares, np.nan)
    for i in range(len(chart.labels)):
        axes.plot(at, seen[:, i], **_line(chart, chart.columns[i], chart.families[i]))
    above = np.where(curve.above.numpy() > np.maximum(curve.above_floor.numpy(), FAINTEST), curve.above.numpy(), np.nan)
    axes.plot(at, above, **ABOVE)
    loud = np.concatenate([seen.reshape(-1), above])
    loud = loud[np.isfinite(loud)]
    if not loud.size:
        axes.text(0.5, 0.5, "nothing above noise", transform=axes.transAxes, ha="center", color=FAINT, fontsize=SMALL)
    return float(10 ** math.floor(math.log10(min([*loud.tolist(), 1e-2])))) * 0.7
