"""Layers in order of execution, then outputs, against the irreps: share of power, in decades of colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from ...groups.group import Chart
from ...result.data import AuditData, Output, Spectrum, widest
from ...result.floor import sector_floor, unresolved_floor, unresolved_share
from ...result.verdict import targets
from ..palette import INK, MAP, PAPER, RULE, SIZE, SMALL, Options
from ..style import finish, legend, new_figure, plain, powers_of_ten
from ..view import Picture, register
from ..words import axis_title, each_column, family_title

FAINTEST = 1e-12
"""Share at the dark end of the scale, unless every share stands above it: in amplitude 1e-6, the least that
float32 can show. What is fainter has the colour of the end."""

ROW, LEAST_ROW, TALLEST = 0.2, 0.045, 14.0
"""Inches: height of a row, least height where there are many, height of all rows together."""

FEW, FEW_ROW = 4, 0.3
"""Up to so many rows, they are so many inches high, so that the scale of colours beside them can be read."""

LEVEL = 3
"""Letters of a column's heading that fit under it; longer ones stand upright."""


@register
class Layers(Picture):
    """A panel for each family of irreps, sigma = +1 and -1, and a column for the power above lmax.
    Grey: within noise or its own error."""

    name, order = "layers", 1

    def caption(self, audit: AuditData) -> str:
        chart = widest(spectrum for _, spectrum in audit.results())
        where = each_column(chart) if chart.counts else f"each {each_column(chart)}"
        return (
            "Where irreps live. Rows are layers in order of execution, then outputs; colour is the share "
            f"of the row's power in {where}, on a log scale. The last column holds the power above lmax."
        )

    def lacks(self, audit: AuditData) -> tuple[str, str] | None:
        return None if audit.layers or audit.outputs else ("a layer or an output", "none")

    def draw(self, audit: AuditData, names: Sequence[str] | None = None) -> Figure:
        shown = _Shares(audit)
        panels = _panels(shown)
        low = min(shown.faintest(), 1e-2)
        mesh = None
        for i, axes in enumerate(panels):
            mesh = _panel(axes, *shown.panel(i), low)
            _finish(axes, shown, i)
        _rows(panels[0], shown.names, shown.places, len(audit.layers), shown.row)
        declared = [
            (place, spectrum)
            for place, (_, spectrum) in zip(shown.places, audit.results(), strict=True)
            if isinstance(spectrum, Output)
        ]
        for place, output in declared:
            _targets(output, shown.chart, panels, place)
        figure = panels[0].get_figure()
        assert isinstance(figure, Figure) and mesh is not None
        _bar(figure, panels, mesh, low, shown)
        keys: list[object] = [Patch(facecolor=RULE, label="within noise or its error")]
        if declared:
            ring: Options = {"markerfacecolor": PAPER, "markeredgecolor": INK, "markersize": 4, "markeredgewidth": 0.7}
            keys.append(Line2D([], [], marker="o", color="none", label="declared irrep", **ring))
        legend(figure, keys, loc="outside lower center", ncols=2)
        return figure


class _Shares:
    """What the cells show: the share of each row in each column and family, and above lmax, and what is quiet."""

    def __init__(self, audit: AuditData) -> None:
        found = audit.results()
        self.chart = widest(spectrum for _, spectrum in found)
        gap = 1 if audit.layers and audit.outputs else 0
        self.places = [i + (gap if i >= len(audit.layers) else 0) for i in range(len(found))]
        self.count = self.places[-1] + 1
        self.row = min(ROW, max(TALLEST / self.count, LEAST_ROW)) if self.count > FEW else FEW_ROW
        self.names = [name for name, _ in found]
        self._share = np.full((self.count, len(self.chart.headings), len(self.chart.family_names)), np.nan)
        self._above = np.full((self.count, 1), np.nan)
        self._quiet = np.zeros(self._share.shape, dtype=bool)
        self._above_quiet = np.zeros(self._above.shape, dtype=bool)
        for place, (_, spectrum) in zip(self.places, found, strict=True):
            self._fill(place, spectrum)

    def _fill(self, place: int, spectrum: Spectrum) -> None:
        own, total = spectrum.chart, spectrum.pooled_total
        columns = [self.chart.headings.index(heading) for heading in own.headings]
        self._share[place, columns] = own.by_family(spectrum.fractions).numpy()
        power = own.by_family(spectrum.pooled_power)
        self._quiet[place, columns] = (power <= own.by_family(sector_floor(spectrum))).numpy() | (total <= 0)
        self._above[place, 0] = unresolved_share(spectrum)
        self._above_quiet[place, 0] = spectrum.pooled_unresolved <= unresolved_floor(spectrum) or total <= 0

    @property
    def cell(self) -> float:
        """Inches that a column is wide."""
        columns = len(self.chart.headings)
        return 0.27 if columns <= 13 else max(0.13, 3.4 / columns)

    def panel(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Shares of one panel and which of them are quiet: families first, then what lies above lmax."""
        if i == len(self.chart.family_names):
            return self._above, self._above_quiet
        return self._share[:, : self.width(i), i], self._quiet[:, : self.width(i), i]

    def width(self, family: int) -> int:
        """Columns up to the last one in which a family has an irrep."""
        return 1 + max(c for c, f in zip(self.chart.columns, self.chart.families, strict=True) if f == family)

    def faintest(self) -> float:
        """The decade in which the smallest share above the floors lies."""
        share, above = self._share, self._above
        loud = np.concatenate([share[~self._quiet & (share > 0)], above[~self._above_quiet & (above > 0)]])
        return max(FAINTEST, float(10 ** math.floor(math.log10(loud.min())))) if loud.size else FAINTEST


def _panels(shown: _Shares) -> list[Axes]:
    """The empty panels of a new figure."""
    widths = [shown.width(family) for family in range(len(shown.chart.family_names))]
    longest = max(map(len, shown.names))
    width = 0.065 * longest + shown.cell * (sum(widths) + 1) + 1.5
    figure = new_figure(max(width, 5.2), shown.row * shown.count + 1.15)
    ratios = [*map(float, widths), 1.0]
    return list(figure.subplots(1, len(ratios), sharey=True, width_ratios=ratios, gridspec_kw={"wspace": 0.02}))


def _panel(axes: Axes, values: np.ndarray, quiet: np.ndarray, low: float) -> QuadMesh:
    edges = (np.arange(values.shape[1] + 1) - 0.5, np.arange(values.shape[0] + 1) - 0.5)
    line: Options = {"edgecolors": PAPER, "linewidth": 0.6 if values.shape[0] <= 80 else 0.0}
    grey = np.where(quiet & ~np.isnan(values), 1.0, np.nan)
    axes.pcolormesh(*edges, np.ma.masked_invalid(grey), cmap=ListedColormap([RULE]), vmin=0, vmax=2, **line)
    shown = np.ma.masked_where(quiet | np.isnan(values), np.maximum(values, low * (1 - 1e-9)))
    mesh = axes.pcolormesh(*edges, shown, cmap=colormaps[MAP], norm=LogNorm(low, 1.0), **line)
    axes.set_ylim(values.shape[0] - 0.5, -0.5)
    return mesh


def _finish(axes: Axes, shown: _Shares, i: int) -> None:
    """Title and headings of panel `i`."""
    chart = shown.chart
    above = i == len(chart.family_names)
    finish(axes, title="" if above else family_title(chart, i), xlabel="" if above else axis_title(chart))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, left=False)
    if above:
        axes.set_xticks([0], [f"$>{chart.lmax}$" if chart.counts else "above"])
        return
    if chart.counts:
        axes.set_xticks(range(0, shown.width(i), max(1, math.ceil(0.2 / shown.cell))))
        return
    upright = max(map(len, chart.headings)) > LEVEL
    headings = list(map(plain, chart.headings))[: shown.width(i)]
    axes.set_xticks(range(len(headings)), headings, rotation=90 if upright else 0)


def _rows(axes: Axes, labels: list[str], places: list[int], first_output: int, row: float) -> None:
    """Row labels, as many as can be read; outputs in the darker ink."""
    step = max(1, math.ceil(0.115 / row))
    kept = [i for i in range(len(places)) if i >= first_output or i % step == 0]
    axes.set_yticks([places[i] for i in kept], [plain(labels[i]) for i in kept])
    for i, tick in zip(kept, axes.get_yticklabels(), strict=True):
        tick.set_color(INK)
        tick.set_fontsize(min(SMALL, max(5.0, 72 * row * step * 0.8)))
        tick.set_fontweight("bold" if i >= first_output else "normal")


def _targets(output: Output, chart: Chart, panels: list[Axes], place: int) -> None:
    """A ring in every cell of row `place` that `output` is declared to fill."""
    for label in targets(output):
        if label in output.chart:
            panels[chart.family(label)].plot(
                chart.column(label),
                place,
                "o",
                color=PAPER,
                markeredgecolor=INK,
                markersize=3.6,
                markeredgewidth=0.7,
                clip_on=False,
            )


def _bar(figure: Figure, panels: list[Axes], mesh: QuadMesh, low: float, shown: _Shares) -> None:
    """The scale of colours, with as many labels as its height takes."""
    count, row = shown.count, shown.row
    bar = figure.colorbar(
        mesh,
        ax=panels,
        extend="min",
        fraction=0.04,
        pad=0.015,
        aspect=min(25, 6 + 2 * count),
        shrink=min(1.0, max(0.35, 3.5 / (row * count))),
        anchor=(0.0, 1.0),
    )
    bar.set_label(
        "share of power" if count > FEW else "share of\npower",
        fontsize=SIZE if count > FEW else SMALL,
        color=INK,
    )
    depth = -math.log10(low)
    step = max(1, math.ceil(depth / min(6.0, max(2.0, row * count / 0.3))))
    bar.ax.yaxis.set_major_locator(FixedLocator([10.0**-k for k in range(0, int(depth) + 1, step)]))
    bar.ax.yaxis.set_major_formatter(powers_of_ten())
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(which="both", labelsize=SMALL, colors=INK, width=0.6, length=2.5)
    bar.outline.set_visible(False)
