"""Layers, then outputs, against the columns of irreps, at chosen steps: where the power goes as the model learns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ...groups.group import Chart
from ...report.palette import INK, MAP, PAPER, RULE, SMALL, Options
from ...report.style import finish, new_figure, plain, powers_of_ten
from ...result.data import Spectrum, widest
from ...result.floor import sector_floor, unresolved_floor, unresolved_share
from ..data import HistoryData, Point
from ..view import HistoryPicture, register
from ._axes import COLUMN, place, short

MOST = 4
"""Steps shown when nobody chooses any: first, last, and between them evenly on the axis of steps."""

ROW, TALLEST, AROUND = 0.17, 9.0, 1.0
"""Inches: height of a row, of all rows together, and of what is around them."""

HEADING, UPRIGHT, LETTER, WORD = 0.13, 0.1, 0.055, 0.6
"""Inches that the heading of a column takes, one that stands upright, a letter of a name, and a title that says
"step"."""

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
            "what lies within noise or its own error."
        )

    def lacks(self, history: HistoryData) -> tuple[str, str] | None:
        return None if history.points else ("a point", "none")

    def draw(self, history: HistoryData, names: Sequence[str] | None, steps: Sequence[int] | None) -> Figure:
        rows = [*history.layers, *history.outputs]
        chart = widest(spectrum for point in history for _, spectrum in point.audit.results())
        room = COLUMN - LETTER * max(map(len, rows)) - 0.1
        points = [history.point(step) for step in steps] if steps else _chosen(history, _most(chart, room))
        height = min(ROW * len(rows), TALLEST)
        figure = new_figure(COLUMN, height + AROUND)
        panels = figure.subplots(1, len(points), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.03})[0]
        width = room / len(points)
        mesh = None
        for axes, point in zip(panels, points, strict=True):
            mesh = _panel(axes, *_cells(point, rows, chart))
            _finish(axes, chart, point, width, axes is panels[0])
        _labels(panels[0], rows, len(history.layers), height / len(rows))
        assert mesh is not None
        _bar(figure, list(panels), mesh, height)
        return figure


def _most(chart: Chart, room: float) -> int:
    """Panels in so many inches: headings that are names cannot be thinned out."""
    return MOST if chart.counts else max(1, min(MOST, int(room / (UPRIGHT * (len(chart.headings) + 1)))))


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


def _row(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    chart, total = spectrum.chart, spectrum.pooled_total
    power, floor = chart.by_column(spectrum.pooled_power), chart.by_column(sector_floor(spectrum))
    quiet = [*(power <= floor).tolist(), spectrum.pooled_unresolved <= unresolved_floor(spectrum)]
    shares = [*chart.by_column(spectrum.fractions).tolist(), unresolved_share(spectrum)]
    return np.array(shares), np.array(quiet) | (total <= 0)


def _panel(axes: Axes, shares: np.ndarray, quiet: np.ndarray) -> QuadMesh:
    line: Options = {"edgecolors": PAPER, "linewidth": 0.4 if len(shares) <= 60 else 0.0}
    edges = (np.arange(shares.shape[1] + 1) - 0.5, np.arange(shares.shape[0] + 1) - 0.5)
    grey = np.where(quiet & ~np.isnan(shares), 1.0, np.nan)
    axes.pcolormesh(*edges, np.ma.masked_invalid(grey), cmap=ListedColormap([RULE]), vmin=0, vmax=2, **line)
    shown = np.ma.masked_where(quiet | np.isnan(shares), np.maximum(shares, FAINTEST))
    mesh = axes.pcolormesh(*edges, shown, cmap=colormaps[MAP], norm=LogNorm(FAINTEST, 1.0), **line)
    axes.set_ylim(shares.shape[0] - 0.5, -0.5)
    return mesh


def _finish(axes: Axes, chart: Chart, point: Point, width: float, first: bool) -> None:
    """Title and headings of one panel, `width` inches wide."""
    symbol = f"${chart.axis}$" if chart.counts else ""  # names say what they are
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
    axes.set_xticks([*ticks, last], [*(chart.headings[tick] for tick in ticks), "$>$"])


def _labels(axes: Axes, rows: list[str], first_output: int, height: float) -> None:
    """Names of rows, as many as can be read; outputs in bold."""
    step = max(1, math.ceil(0.1 / height))
    kept = [i for i in range(len(rows)) if i >= first_output or i % step == 0]
    axes.set_yticks(kept, [plain(rows[i]) for i in kept])
    for i, tick in zip(kept, axes.get_yticklabels(), strict=True):
        tick.set_color(INK)
        room = height if i >= first_output else height * step
        tick.set_fontsize(min(SMALL - 0.5, max(5.0, 72 * room * 0.8)))
        tick.set_fontweight("bold" if i >= first_output else "normal")


def _bar(figure: Figure, panels: list[Axes], mesh: QuadMesh, height: float) -> None:
    """The scale of colours below the panels, a tenth of an inch high."""
    bar = figure.colorbar(mesh, ax=panels, location="bottom", extend="min", fraction=0.1 / height, pad=0.02, aspect=24)
    bar.set_label("share of power", fontsize=SMALL, color=INK)
    bar.ax.xaxis.set_major_locator(LogLocator(numticks=8))
    bar.ax.xaxis.set_major_formatter(powers_of_ten())
    bar.ax.xaxis.set_minor_formatter(NullFormatter())
    bar.ax.tick_params(which="both", labelsize=SMALL, colors=INK, width=0.6, length=2.5)
    bar.outline.set_visible(False)
