"""The pictures of a comparison: errors, what changed in which layer, spectra over each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from ...errors import ArgumentError, fail
from ...result.comparison import ComparisonData
from ...result.data import Spectrum
from ...result.floor import sector_floor
from ..format import number
from ..names import Names
from ..palette import FAINT, INK, MARKERS, PAPER, RULE, SERIES, SMALL, Options
from ..render import hover, settle
from ..rowlabels import LINE, RowLabels
from ..sheet import Sheet
from ..style import decades, finish, fitted, plain, text_width
from ..words import axis_title

CHANGES = "RdBu_r"
"""Diverging: blue for less, red for more, paper for the same; told apart by colour-blind readers."""

DECADES = 2.0
"""Changes of a share by more than so many powers of ten have the colour of the end."""

PANELS, SPECTRA = 3, 9
"""Side by side; spectra that are drawn, outputs first, of layers those evenly from first to last."""

HEADING = 0.16
"""Inches from one heading of a column to the next."""

SPAN = 10.0
"""Largest over smallest value from which an axis is logarithmic."""

NAME = 1.3
"""Inches of the name of an audit on one line."""

NAMES, BAR_BESIDE = 0.36, 5.0
"""Share of a width that names may take, and inches from which the scale of colours stands beside the cells."""


def kinds(found: ComparisonData) -> list[str]:
    """Those that there are numbers for."""
    have = {
        "errors": bool(found.outputs),
        "layers": bool(found.layers),
        "spectra": bool(_common(found)),
    }
    return [kind for kind, there in have.items() if there]


def plot(
    found: ComparisonData,
    kind: str,
    ax: Axes | Figure | SubFigure | None = None,
    width: float | str | None = None,
) -> Figure:
    """The figure, made without pyplot."""
    if kind not in DRAWN or kind not in kinds(found):
        fail(ArgumentError, "kind", f"one of {', '.join(kinds(found))}", repr(kind))
    sheet = Sheet(ax, width)
    DRAWN[kind](found, sheet)
    return sheet.whole


def figures(found: ComparisonData) -> dict[str, Figure]:
    """All pictures that there are numbers for, laid out once for every format they are written in."""
    drawn = {kind: plot(found, kind) for kind in kinds(found)}
    settle(drawn.values())
    return drawn


def caption(found: ComparisonData, kind: str) -> str:
    """What a reader of the page is told."""
    if kind == "errors":
        over = "over the number in the name of each audit" if found.steps else "of each audit"
        return f"RMSE of each output {over}; bars hold the truth in 95 of 100 cases. Hollow: not above noise."
    if kind == "layers":
        return (
            f"How the share of power of each layer differs from {found.baseline}, in powers of ten: red for more, blue "
            "for less. Grey: within noise or error in both. A share that only one of them has counts as large as the "
            f"noise of the other. {Names(found.layers).statement}".strip()
        )
    return "Share of power of each degree, both sigma together. What lies within noise or its error is not drawn."


# -- errors ------------------------------------------------------------------------------------------------------


def _errors(found: ComparisonData, sheet: Sheet) -> None:
    names, steps = found.outputs, found.steps
    columns = sheet.across(len(names), PANELS)
    rows = math.ceil(len(names) / columns)
    wanted = max(2.5 * columns, 3.6)
    panel = sheet.wide(wanted) / columns - 0.6
    grid = sheet.panels(rows, columns, width=wanted, height=2.1 * rows + (0.1 if steps else 0.5))
    for i, axes in enumerate(grid.flat):
        if i >= len(names):
            axes.set_axis_off()
            continue
        _error(axes, found, names[i], panel)


def _error(axes: Axes, found: ComparisonData, name: str, panel: float) -> None:
    """One panel, `panel` inches wide."""
    audits, steps = list(found.audits), found.steps
    places = np.asarray(steps if steps is not None else range(len(audits)), dtype=float)
    order = np.argsort(places)
    points = []
    for i in order:
        output = found.audits[audits[i]].outputs.get(name)
        if output is None or not (output.rmse > 0 and math.isfinite(output.rmse)):
            continue
        colour = SERIES[0] if steps is not None else SERIES[i % len(SERIES)]
        face = colour if output.verdict.is_broken else "none"
        error = output.rmse_error if math.isfinite(output.rmse_error) else 0.0
        low = min(error, 0.999 * output.rmse)
        marks: Options = {"color": colour, "marker": "o", "markersize": 4.5, "markerfacecolor": face, "capsize": 2}
        axes.errorbar(places[i], output.rmse, yerr=[[low], [error]], linewidth=1.0, zorder=3, **marks)
        points.append((places[i], output.rmse, output.unit))
    if steps is not None and points:
        axes.plot([x for x, _, _ in points], [y for _, y, _ in points], color=SERIES[0], linewidth=1.0)
    unit = next((unit for _, _, unit in points if unit), None)
    finish(
        axes,
        grid="y",
        title=fitted(name, panel),
        ylabel=plain(f"RMSE / {unit}" if unit else "RMSE"),
        xlabel="step" if steps is not None else "",
    )
    _scales(axes, [y for _, y, _ in points], places, [] if steps is not None else audits, panel)


def _scales(axes: Axes, values: list[float], places: np.ndarray, names: list[str], panel: float) -> None:
    """Errors from 0 on, or in decades where they span some; names, or steps in decades where they do."""
    if values and max(values) < SPAN * min(values):
        axes.set_ylim(0, 1.2 * max(values))
        # a common factor over the axis would cover the name of the panel
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 2)))
    else:
        axes.set_yscale("log")
        decades(axes, "y")
    if names:
        axes.set_xlim(-0.6, len(names) - 0.4)
        upright = sum(text_width(plain(name)) + 0.08 for name in names) > panel
        axes.set_xticks(range(len(names)), [fitted(name, NAME, SMALL) for name in names], color=INK)
        axes.tick_params(axis="x", rotation=90 if upright else 0)
    elif places.min() > 0 and places.max() > SPAN * places.min():
        axes.set_xscale("log")


# -- layers ------------------------------------------------------------------------------------------------------


def _layers(found: ComparisonData, sheet: Sheet) -> None:
    others = [name for name in found.audits if name != found.baseline]
    base = found.audits[found.baseline]
    columns = _columns([report.layers[name] for report in found.audits.values() for name in found.layers])
    labels = RowLabels(found.layers, ())
    wanted = 1.4 + labels.width + len(others) * max(0.28 * columns, 1.2)
    below = sheet.bounded and sheet.wide(wanted) < BAR_BESIDE
    if sheet.bounded:
        labels = RowLabels(found.layers, (), room=NAMES * sheet.wide(wanted))
    around = 1.1 + 0.4 * below
    row = max(0.2, LINE * labels.lines)
    height = sheet.tall(min(max(row * len(found.layers), 0.8), 14.0) + around) - around
    panel = (sheet.wide(wanted) - labels.width - (0.2 if below else 1.0)) / len(others)
    keys = [Patch(facecolor=RULE, label="within noise or error")]
    grid = sheet.panels(1, len(others), width=wanted, height=height + around, keys=keys, sharey=True)[0]
    colours = colormaps[CHANGES].with_extremes(bad=RULE)
    for axes, other in zip(grid, others, strict=True):
        rows = [_change(base.layers[name], found.audits[other].layers[name], columns) for name in found.layers]
        cells = np.ma.masked_invalid(np.stack(rows))
        mesh = axes.pcolormesh(
            cells, cmap=colours, norm=CenteredNorm(halfrange=DECADES), edgecolor=PAPER, linewidth=0.6, clip_on=False
        )
        hover(mesh, _told(found, other, cells))
        axes.set_ylim(len(found.layers), 0)
        chart = base.layers[found.layers[0]].chart
        finish(axes, xlabel=axis_title(chart), title=fitted(other, panel))
        step = max(1, math.ceil(HEADING * columns / panel)) if chart.counts else 1
        axes.set_xticks(
            np.arange(0, columns, step) + 0.5,
            list(map(plain, chart.headings[:columns:step])),
            rotation=0 if chart.counts or panel > sum(map(text_width, chart.headings)) else 90,
        )
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    labels.draw(grid[0], [row + 0.5 for row in range(len(found.layers))], height / len(found.layers))
    _scale(sheet, list(grid), mesh, height, below=below)


def _scale(sheet: Sheet, panels: list[Axes], mesh: QuadMesh, height: float, *, below: bool) -> None:
    """The scale of colours, beside or below the panels, which are `height` inches high."""
    beside: Options = {"shrink": min(1.0, 1.4 / height), "aspect": 12, "anchor": (0.0, 1.0)}
    under: Options = {"location": "bottom", "fraction": 0.1 / height, "pad": 0.02, "aspect": 30, "shrink": 0.9}
    bar = sheet.figure.colorbar(mesh, ax=panels, extend="both", **(under if below else beside))
    bar.set_label("share, decades", fontsize=SMALL, color=INK)
    bar.ax.tick_params(labelsize=SMALL, colors=INK, width=0.6, length=2.5)
    bar.outline.set_visible(False)


def _told(found: ComparisonData, other: str, cells: np.ma.MaskedArray) -> list[str]:
    """What each cell says where the pointer rests, row by row."""
    chart = found.audits[found.baseline].layers[found.layers[0]].chart
    return [
        f"{other}, {name}, {chart.title(column)}: "
        + ("within noise or error" if np.ma.is_masked(change) else f"{change:+.3g} decades")
        for name, row in zip(found.layers, cells, strict=True)
        for column, change in enumerate(row)
    ]


def _change(base: Spectrum, other: Spectrum, columns: int) -> np.ndarray:
    """log10 of the ratio of shares of each column; NaN where neither is above its floor."""
    (a, fa), (b, fb) = (_shares(spectrum, columns) for spectrum in (base, other))
    quiet = (a <= fa) & (b <= fb)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log10(np.maximum(b, fb) / np.maximum(a, fa))
    return np.where(quiet, np.nan, np.clip(ratio, -10 * DECADES, 10 * DECADES))


def _shares(spectrum: Spectrum, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of the power in each column, all families together, and what noise and errors could make of it."""
    chart, total = spectrum.chart, spectrum.pooled_total
    if total <= 0:
        return np.zeros(columns), np.zeros(columns)
    power = chart.by_column(spectrum.pooled_power / total).numpy()
    floor = chart.by_column(sector_floor(spectrum) / total).numpy()
    return power[:columns], floor[:columns]


def _columns(spectra: Sequence[Spectrum]) -> int:
    """Columns that all of them have."""
    return min(len(spectrum.chart.headings) for spectrum in spectra)


# -- spectra -----------------------------------------------------------------------------------------------------


def _common(found: ComparisonData) -> list[str]:
    """Outputs and layers on one chart that all audits have; of many layers a few."""
    charts = {spectrum.chart.group for report in found.audits.values() for _, spectrum in report.results()}
    if len(charts) > 1:
        return []
    outputs, layers = found.shared, found.layers
    room = max(SPECTRA - len(outputs), 3)
    picks = np.unique(np.linspace(0, len(layers) - 1, min(room, len(layers))).round().astype(int))
    return [*outputs, *(layers[i] for i in picks)]


def _spectra(found: ComparisonData, sheet: Sheet) -> None:
    names = _common(found)
    columns = sheet.across(len(names), PANELS)
    rows = math.ceil(len(names) / columns)
    wanted = max(2.45 * columns, 3.6) + 0.3
    panel = (sheet.wide(wanted) - 0.3) / columns - 0.3
    keys = [Line2D([], [], label=fitted(name, NAME, SMALL), **_look(i)) for i, name in enumerate(found.audits)]
    height = min(1.95, 0.75 * panel + 0.6) * rows + 0.5
    grid = sheet.panels(rows, columns, width=wanted, height=height, keys=keys, sharey=True)
    for i, axes in enumerate(grid.flat):
        if i >= len(names):
            axes.set_axis_off()
            continue
        _overlaid(axes, [report.result(names[i]) for report in found.audits.values()], panel)
        chart = found.audits[found.baseline].result(names[i]).chart
        bold = names[i] in found.shared
        finish(
            axes,
            grid="y",
            title=fitted(names[i], panel, bold=bold),
            bold=bold,
            xlabel=axis_title(chart) if i + columns >= len(names) else "",
            ylabel="share of power" if i % columns == 0 else "",
        )
    for axes in grid.flat[: len(names)]:
        decades(axes, "y")


def _look(i: int) -> Options:
    colour, marker = SERIES[i % len(SERIES)], MARKERS[i % len(MARKERS)]
    return {"color": colour, "marker": marker, "markersize": 3.8, "linewidth": 1.1, "markerfacecolor": "none"}


def _overlaid(axes: Axes, spectra: Sequence[Spectrum], panel: float) -> None:
    """One panel, `panel` inches wide."""
    columns = _columns(spectra)
    axes.set_yscale("log")
    for i, spectrum in enumerate(spectra):
        shares, floors = _shares(spectrum, columns)
        values = np.where(shares > floors, shares, np.nan)
        axes.plot(np.arange(columns), values, **_look(i))
    headings = spectra[0].chart.headings[:columns]
    step = max(1, math.ceil(columns * HEADING / panel))
    upright = sum(text_width(heading) + 0.05 for heading in headings) > panel and not spectra[0].chart.counts
    axes.set_xticks(range(0, columns, step), headings[::step], rotation=90 if upright else 0)
    axes.set_xlim(-0.5, columns - 0.5)
    if not axes.lines or all(np.isnan(np.asarray(line.get_ydata(), dtype=float)).all() for line in axes.lines):
        axes.text(0.5, 0.5, "within noise", transform=axes.transAxes, ha="center", color=FAINT, fontsize=SMALL)


DRAWN: dict[str, Callable[[ComparisonData, Sheet], None]] = {"errors": _errors, "layers": _layers, "spectra": _spectra}
"""In the order in which a reader wants them."""
