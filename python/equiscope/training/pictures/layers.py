"""Layers, then outputs, against the columns of irreps, at chosen steps: where the power goes as the model learns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, NullLocator

from ...groups.group import Chart
from ...report.format import percent
from ...report.names import Names
from ...report.palette import INK, PAPER, SMALL, Options
from ...report.render import hover
from ...report.rowlabels import LINE, RowLabels
from ...report.sheet import Sheet
from ...report.style import cells, finish, plain, powers, scale_of
from ...result.data import Spectrum, widest
from ...result.floor import sector_floor, unresolved_floor, unresolved_share
from ..data import HistoryData, Point
from ..view import HistoryPicture, register
from ._axes import COLUMN, place, short

MOST = 8
"""Steps shown when nobody chooses any, as far as they have room: first, last, and between them evenly on the axis of
steps."""

PANEL, NAMES = 0.5, 0.36
"""Inches that a panel takes at least; share of a width that names may take."""

ROW, TALLEST, AROUND = 0.17, 9.0, 1.0
"""Inches: height of a row, of all rows together, and of what is around them."""

HEADING, UPRIGHT, WORD = 0.13, 0.1, 0.6
"""Inches that the heading of a column takes, one that stands upright, and a title that says "step"."""

FAINTEST = 1e-6
"""Share at the dark end of the scale."""


@register
class LayersOverSteps(HistoryPicture):
    """A panel for each step. Grey: within noise or its own error."""

    name, order = "layers", 2
    chooses = ("steps",)

    def caption(self, history: HistoryData) -> str:
        return (
            "Share of the power of each layer, in order of execution, then of each output, in every column of irreps "
            "(both parities together), at several steps. The last column of a panel is the power above lmax; grey is "
            f"what lies within noise or its own error. {Names(history.layers).statement}"
        )

    def lacks(self, history: HistoryData) -> tuple[str, str] | None:
        return None if history.points else ("a point", "none")

    def draw(
        self, history: HistoryData, sheet: Sheet, names: Sequence[str] | None, steps: Sequence[int] | None
    ) -> None:
        rows = [*history.layers, *history.outputs]
        chart = widest(spectrum for point in history for _, spectrum in point.audit.results())
        across = sheet.wide(COLUMN)
        labels = RowLabels(history.layers, history.outputs, SMALL - 0.5, room=NAMES * across)
        room = across - labels.width - 0.2
        points = [history.point(step) for step in steps] if steps else _chosen(history, _most(chart, room))
        line = max(ROW, LINE * labels.lines)
        height = sheet.tall(min(line * len(rows), TALLEST) + AROUND) - AROUND
        size: Options = {"width": COLUMN, "height": height + AROUND}
        panels = list(sheet.panels(1, len(points), **size, sharey=True, gridspec_kw={"wspace": 0.03})[0])
        width = room / len(points)
        mesh = None
        for axes, point in zip(panels, points, strict=True):
            shares, quiet = _cells(point, rows, chart)
            mesh = _panel(axes, shares, quiet)
            hover(mesh, _told(point, rows, chart, shares, quiet))
            _finish(axes, chart, point, width, axes is panels[0])
        labels.draw(panels[0], range(len(rows)), height / len(rows))
        assert mesh is not None
        _bar(sheet.figure, panels, mesh, height)


def _most(chart: Chart, room: float) -> int:
    """Panels in so many inches: headings that are names cannot be thinned out."""
    if chart.counts:
        return max(1, min(MOST, int(room / PANEL)))
    return max(1, min(MOST, int(room / (UPRIGHT * (len(chart.headings) + 1)))))


def _chosen(history: HistoryData, most: int) -> list[Point]:
    at = place([point.step for point in history])
    wanted = np.linspace(at[0], at[-1], min(most, len(history))) if most > 1 else at[-1:]
    return [history.points[i] for i in sorted({int(np.abs(at - each).argmin()) for each in wanted})]


def _cells(point: Point, rows: list[str], chart: Chart) -> tuple[np.ndarray, np.ndarray]:
    """``(rows, columns + 1)`` shares, NaN where a row has none at this step, and which of them are quiet."""
    shares = np.full((len(rows), len(chart.headings) + 1), np.nan)
    quiet = np.zeros(shares.shape, dtype=bool)
    for name, spectrum in point.audit.results():
        i = rows.index(name)
        shares[i], quiet[i] = _row(spectrum)
    return shares, quiet


def _told(point: Point, rows: list[str], chart: Chart, shares: np.ndarray, quiet: np.ndarray) -> list[str]:
    """What each cell says where the pointer rests, row by row."""
    columns = [*(chart.title(column) for column in range(len(chart.headings))), "above lmax"]
    return [
        f"step {point.step}, {name}, {heading}: {percent(float(share))}" + " (within noise or its error)" * bool(low)
        for name, values, within in zip(rows, shares, quiet, strict=True)
        for heading, share, low in zip(columns, values, within, strict=True)
    ]


def _row(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    chart, total = spectrum.chart, spectrum.pooled_total
    power, floor = chart.by_column(spectrum.pooled_power), chart.by_column(sector_floor(spectrum))
    quiet = [*(power <= floor).tolist(), spectrum.pooled_unresolved <= unresolved_floor(spectrum)]
    shares = [*chart.by_column(spectrum.fractions).tolist(), unresolved_share(spectrum)]
    return np.array(shares), np.array(quiet) | (total <= 0)


def _panel(axes: Axes, shares: np.ndarray, quiet: np.ndarray) -> QuadMesh:
    return cells(axes, shares, quiet, FAINTEST, edgecolors=PAPER, linewidth=0.4 if len(shares) <= 60 else 0.0)


def _finish(axes: Axes, chart: Chart, point: Point, width: float, first: bool) -> None:
    """Title and headings of one panel, `width` inches wide."""
    symbol = chart.axis if chart.counts else ""  # names say what they are
    finish(axes, title=f"step {short(point.step)}" if first and width > WORD else short(point.step), xlabel=symbol)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, left=False)
    last = len(chart.headings)
    if not chart.counts:
        axes.set_xticks(range(last + 1), [*map(plain, chart.headings), "above"], rotation=90)
        return
    step = max(1, math.ceil(HEADING * (last + 1) / width))
    ticks = [tick for tick in range(0, last, step) if last - tick >= step]
    axes.set_xticks([*ticks, last], [*(chart.headings[tick] for tick in ticks), ">"])


def _bar(figure: Figure | SubFigure, panels: list[Axes], mesh: QuadMesh, height: float) -> None:
    """The scale of colours below the panels, a tenth of an inch high."""
    bar = figure.colorbar(
        scale_of(mesh), ax=panels, location="bottom", extend="min", fraction=0.1 / height, pad=0.02, aspect=24
    )
    bar.set_label("share of power", fontsize=SMALL, color=INK)
    bar.ax.xaxis.set_major_locator(LogLocator(numticks=8))
    bar.ax.xaxis.set_major_formatter(powers())
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(which="both", labelsize=SMALL, colors=INK, width=0.6, length=2.5)
    bar.outline.set_visible(False)
