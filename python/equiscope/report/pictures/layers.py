"""Layers in order of execution, then outputs, against the irreps: share of power, in decades of colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from ...groups.group import Chart
from ...result.data import AuditData, Output, Spectrum, widest
from ...result.floor import sector_floor, unresolved_floor, unresolved_share
from ...result.verdict import targets
from ..format import percent
from ..names import Names
from ..palette import INK, PAPER, RULE, SIZE, SMALL, Options
from ..render import hover
from ..rowlabels import LINE, RowLabels
from ..sheet import Sheet
from ..style import cells, finish, plain, powers, scale_of, text_width
from ..view import Picture, register
from ..words import axis_title, each_column, family_title

FAINTEST = 1e-12
"""Share at the dark end of the scale, unless every share stands above it: in amplitude 1e-6, the least that
float32 can show. What is fainter has the colour of the end."""

ROW, LEAST_ROW, TALLEST = 0.2, 0.045, 14.0
"""Inches: height of a row, least height where there are many, height of all rows together."""

FEW, FEW_ROW = 4, 0.3
"""Up to so many rows, they are so many inches high, so that the scale of colours beside them can be read."""

NAMES, BAR_BESIDE, BELOW = 0.36, 5.0, 0.4
"""Share of a width that names may take; inches from which the scale of colours stands beside the cells; inches that it
takes below them."""

LONGEST = 6.0
"""Inches that names may take where nobody said how wide the picture is."""

HEADING = 0.2
"""Inches from one heading to the next."""

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
            f"of the row's power in {where}, on a log scale. The last column holds the power above lmax. "
            + Names(audit.layers).statement
        )

    def lacks(self, audit: AuditData) -> tuple[str, str] | None:
        return None if audit.layers or audit.outputs else ("a layer or an output", "none")

    def draw(self, audit: AuditData, sheet: Sheet, names: Sequence[str] | None = None) -> None:
        shown = _Shares(audit)
        declared = [
            (place, spectrum)
            for place, (_, spectrum) in zip(shown.places, audit.results(), strict=True)
            if isinstance(spectrum, Output)
        ]
        layout = _Layout(shown, sheet)
        panels = layout.panels(_keys(bool(declared)))
        low = min(shown.faintest(), 1e-2)
        mesh = None
        for i, axes in enumerate(panels):
            mesh = _panel(axes, *shown.panel(i), low)
            hover(mesh, shown.told(i))
            _finish(axes, shown, i, layout.cell)
        layout.labels.draw(panels[0], shown.places, layout.row)
        for place, output in declared:
            _targets(output, shown.chart, panels, place)
        assert mesh is not None
        _bar(panels, mesh, low, layout)


def _keys(declared: bool) -> list[Artist]:
    keys: list[Artist] = [Patch(facecolor=RULE, label="within noise or its error")]
    if declared:
        ring: Options = {"markerfacecolor": PAPER, "markeredgecolor": INK, "markersize": 4, "markeredgewidth": 0.7}
        keys.append(Line2D([], [], marker="o", color="none", label="declared irrep", **ring))
    return keys


class _Shares:
    """What the cells show: the share of each row in each column and family, and above lmax, and what is quiet."""

    def __init__(self, audit: AuditData) -> None:
        found = audit.results()
        self.chart = widest(spectrum for _, spectrum in found)
        gap = 1 if audit.layers and audit.outputs else 0
        self.places = [i + (gap if i >= len(audit.layers) else 0) for i in range(len(found))]
        self.count = self.places[-1] + 1
        self.names = [name for name, _ in found]
        self.layers, self.outputs = list(audit.layers), list(audit.outputs)
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

    def panel(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Shares of one panel and which of them are quiet: families first, then what lies above lmax."""
        if i == len(self.chart.family_names):
            return self._above, self._above_quiet
        return self._share[:, : self.width(i), i], self._quiet[:, : self.width(i), i]

    def told(self, i: int) -> list[str]:
        """What each cell of a panel says, row by row: ``blocks.0, l=2, pseudo: 1.3e-4``."""
        values, quiet = self.panel(i)
        chart = self.chart
        above = i == len(chart.family_names)
        columns = ["above lmax"] if above else [chart.title(column) for column in range(values.shape[1])]
        family = "" if above or not chart.family_names[i] else f", {chart.family_names[i]}"
        told = np.full(values.shape, "", dtype=object)
        for name, place in zip(self.names, self.places, strict=True):
            for column, heading in enumerate(columns):
                share = percent(float(values[place, column]))
                within = " (within noise or its error)" if quiet[place, column] else ""
                told[place, column] = f"{name}, {heading}{family}: {share}{within}"
        return told.reshape(-1).tolist()

    def width(self, family: int) -> int:
        """Columns up to the last one in which a family has an irrep."""
        return 1 + max(c for c, f in zip(self.chart.columns, self.chart.families, strict=True) if f == family)

    def faintest(self) -> float:
        """The decade in which the smallest share above the floors lies."""
        share, above = self._share, self._above
        loud = np.concatenate([share[~self._quiet & (share > 0)], above[~self._above_quiet & (above > 0)]])
        return max(FAINTEST, float(10 ** math.floor(math.log10(loud.min())))) if loud.size else FAINTEST


class _Layout:
    """Where names, cells and the scale of colours go, in the inches that the sheet has."""

    def __init__(self, shown: _Shares, sheet: Sheet) -> None:
        self.sheet = sheet
        self.widths = [*(shown.width(family) for family in range(len(shown.chart.family_names))), 1]
        self.count = shown.count
        self.labels = RowLabels(shown.layers, shown.outputs)
        if self.labels.width > LONGEST:
            self.labels = RowLabels(shown.layers, shown.outputs, room=LONGEST)
        headings = len(shown.chart.headings)
        cell = 0.27 if headings <= 13 else max(0.13, 3.4 / headings)
        self._width = max(self.labels.width + cell * sum(self.widths) + 1.5, 5.2)
        across = sheet.wide(self._width)
        self.below = sheet.bounded and across < BAR_BESIDE
        """Whether the scale of colours stands below the panels."""
        if sheet.bounded:
            self.labels = RowLabels(shown.layers, shown.outputs, room=NAMES * across)
        beside = 0.35 if self.below else 1.1
        self.cell = (across - self.labels.width - beside) / sum(self.widths)
        """Inches that a column is wide."""
        self._around = 1.15 + BELOW * self.below
        most = max(ROW, LINE * self.labels.lines)
        row = min(most, max(TALLEST / self.count, LEAST_ROW)) if self.count > FEW else max(FEW_ROW, most)
        self._height = row * self.count + self._around
        self.row = (sheet.tall(self._height) - self._around) / self.count
        """Inches that a row is high."""

    def panels(self, keys: list[Artist]) -> list[Axes]:
        """The empty panels."""
        options: Options = {"sharey": True, "width_ratios": self.widths, "gridspec_kw": {"wspace": 0.02}}
        size: Options = {"width": self._width, "height": self._height}
        return list(self.sheet.panels(1, len(self.widths), **size, keys=keys, **options)[0])


def _panel(axes: Axes, values: np.ndarray, quiet: np.ndarray, low: float) -> QuadMesh:
    return cells(axes, values, quiet, low, edgecolors=PAPER, linewidth=0.6 if values.shape[0] <= 80 else 0.0)


def _finish(axes: Axes, shown: _Shares, i: int, cell: float) -> None:
    """Title and headings of panel `i`, whose columns are so many inches wide."""
    chart = shown.chart
    above = i == len(chart.family_names)
    room = cell * shown.width(i) if not above else 0.0
    title, xlabel = ("", "") if above else (family_title(chart, i), axis_title(chart))
    finish(
        axes,
        title=title if text_width(title, SIZE) <= room else title.split(",")[0],
        xlabel=xlabel if text_width(xlabel, SIZE) <= room else f"${chart.axis}$",
    )
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, left=False)
    if above:
        axes.set_xticks([0], [f">{chart.lmax}" if chart.counts else "above"])
        return
    if chart.counts:
        step = max(1, math.ceil(HEADING / cell))
        # the heading of the power above lmax, beside the last panel, takes more than its cell
        free = shown.width(i) - (max(math.ceil(HEADING / cell) - 1, 0) if i == len(chart.family_names) - 1 else 0)
        axes.set_xticks(range(0, free, step))
        return
    upright = max(map(len, chart.headings)) > LEVEL
    headings = list(map(plain, chart.headings))[: shown.width(i)]
    axes.set_xticks(range(len(headings)), headings, rotation=90 if upright else 0)


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


def _bar(panels: list[Axes], mesh: QuadMesh, low: float, layout: _Layout) -> None:
    """The scale of colours, with as many labels as it has room for: on the right from the top, or below the panels."""
    count, tall, few = layout.count, layout.row * layout.count, layout.count <= FEW
    options: Options = (
        {"location": "bottom", "fraction": 0.1 / tall, "pad": 0.02, "aspect": 30, "shrink": 0.9}
        if layout.below
        else {
            "fraction": 0.04,
            "pad": 0.015,
            "aspect": min(25, 6 + 2 * count),
            "shrink": min(1.0, max(0.35, 3.5 / tall)),
            "anchor": (0.0, 1.0),
        }
    )
    bar = layout.sheet.figure.colorbar(scale_of(mesh), ax=panels, extend="min", **options)
    upright = few and not layout.below
    bar.set_label("share of\npower" if upright else "share of power", fontsize=SMALL if few else SIZE, color=INK)
    room = 6.0 if layout.below else min(6.0, max(2.0, tall / 0.3))
    depth = -math.log10(low)
    step = max(1, math.ceil(depth / room))
    axis = bar.ax.xaxis if layout.below else bar.ax.yaxis
    axis.set_major_locator(FixedLocator([10.0**-k for k in range(0, int(depth) + 1, step)]))
    axis.set_major_formatter(powers())
    axis.set_minor_locator(NullLocator())
    bar.ax.tick_params(which="both", labelsize=SMALL, colors=INK, width=0.6, length=2.5)
    bar.outline.set_visible(False)
