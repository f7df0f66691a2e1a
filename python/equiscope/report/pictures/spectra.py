"""Spectrum of each output, and of a choice of layers: share of power against the irreps, one line per family."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...result.data import AuditData, Output, Spectrum, widest
from ...result.floor import sector_floor, unresolved_floor, unresolved_share
from ...result.verdict import targets
from ..names import Names
from ..palette import FAINT, INK, MARK, PROPER, PSEUDO, RULE, SERIES, SMALL, Options
from ..sheet import Sheet
from ..style import decades, finish, fitted, plain, text_width
from ..view import Picture, register
from ..words import axis_title, family_title

CHOSEN_LAYERS = 6
"""Layers drawn when nobody names any: first, last and evenly between. All of them are in the heat map."""

COLUMNS = 3

FAINTEST = 1e-16
"""Least share drawn: the square of the round-off of float32, a decade above nothing in float64."""

HIGHEST = 3.0
"""Upper end of the axis of shares."""

PANEL = 2.45
"""Inches that a panel is wide, its labels included, where nobody says how wide they all are."""

AROUND = 0.3
"""Inches around all panels, and of a panel around its axes."""

HEADING = 0.19
"""Inches from one degree to the next under a panel at least."""

DASHED = (0, (4, 2))


@register
class Spectra(Picture):
    """One panel per output, then per layer. The grey band is what noise and the errors could make."""

    name, order = "spectra", 2
    chooses = True

    def caption(self, audit: AuditData) -> str:
        return (
            "Spectra of the outputs and of selected layers. Content of an output outside its declared "
            f"irreps is symmetry breaking. {Names(audit.layers).statement}"
        )

    def lacks(self, audit: AuditData) -> tuple[str, str] | None:
        return None if audit.layers or audit.outputs else ("a layer or an output", "none")

    def draw(self, audit: AuditData, sheet: Sheet, names: Sequence[str] | None = None) -> None:
        found = _chosen(audit) if names is None else [audit.result(name) for name in names]
        columns = sheet.across(len(found), COLUMNS)
        rows = math.ceil(len(found) / columns)
        wanted = max(PANEL * columns, 3.6) + AROUND
        panel = (sheet.wide(wanted) - AROUND) / columns - AROUND
        grid = sheet.panels(
            rows,
            columns,
            width=wanted,
            height=min(1.95, 0.75 * panel + 0.6) * rows + 0.5,
            keys=_keys(found),
            sharey=True,
        )
        shown = Names(audit.layers)
        low = min(_draw(axes, spectrum, panel) for axes, spectrum in zip(grid.flat, found, strict=False))
        for i, axes in enumerate(grid.flat):
            if i >= len(found):
                axes.set_axis_off()
                continue
            bold = audit.outputs.get(found[i].name) is found[i]
            finish(
                axes,
                grid=None if i % columns else "y",
                title=fitted(shown[found[i].name].text, panel, bold=bold),
                bold=bold,
                xlabel=axis_title(found[i].chart) if i + columns >= len(found) else "",
                ylabel="share of power" if i % columns == 0 else "",
            )
            decades(axes, "y")
            axes.set_ylim(low, HIGHEST)
            if i % columns:
                axes.yaxis.set_visible(False)  # rules alone take a tenth of the time of ticks with their grid
                axes.spines["left"].set_visible(False)
                rules = [place for place in axes.get_yticks() if low <= place <= HIGHEST]
                rule: Options = {"color": RULE, "linewidth": 0.5, "zorder": 0.5}
                axes.hlines(rules, 0, 1, transform=axes.get_yaxis_transform(), **rule)


def _chosen(audit: AuditData) -> list[Spectrum]:
    """All outputs, and layers evenly from first to last."""
    layers = list(audit.layers.values())
    picks = np.unique(np.linspace(0, len(layers) - 1, min(CHOSEN_LAYERS, len(layers))).round().astype(int))
    return [*audit.outputs.values(), *(layers[i] for i in picks)]


def _line(family: int) -> Options:
    """How the spectrum of a family is drawn."""
    if family == 0:
        return {"color": PROPER, "marker": "o", "markersize": 4, "linewidth": 1.1}
    colour = PSEUDO if family == 1 else SERIES[family % len(SERIES)]
    own: Options = {"color": colour, "marker": "s", "markersize": 3.6, "markerfacecolor": "none"}
    return {**own, "linewidth": 1.1, "linestyle": DASHED}


RING: Options = {"marker": "o", "markersize": 8, "markerfacecolor": "none", "markeredgecolor": MARK}
"""Round an irrep that an output is declared to carry."""

ABOVE: Options = {"color": FAINT, "marker": "_", "markersize": 9, "markeredgewidth": 1.6}
"""The power above lmax."""


def _keys(found: Sequence[Spectrum]) -> list[Artist]:
    chart = widest(found)
    families = [family for family, name in enumerate(chart.family_names) if name]
    keys: list[Artist] = [Line2D([], [], label=family_title(chart, family), **_line(family)) for family in families]
    if any(isinstance(spectrum, Output) for spectrum in found):
        keys.append(Line2D([], [], linewidth=0, label="declared irrep", **RING))
    above = Line2D([], [], linewidth=0, label="above lmax", **ABOVE)
    return [*keys, above, Patch(facecolor=RULE, alpha=0.6, label="noise and error")]


def _draw(axes: Axes, spectrum: Spectrum, panel: float) -> float:
    """The lines of one panel, `panel` inches wide; where its vertical axis should start."""
    total = spectrum.pooled_total
    axes.set_yscale("log")
    if total <= 0:
        axes.text(0.5, 0.5, "zero", transform=axes.transAxes, ha="center", color=FAINT, fontsize=SMALL)
        return 1e-2
    chart = spectrum.chart
    count = len(chart.headings)
    shares = chart.by_family(spectrum.fractions).numpy()
    floors = chart.by_family(sector_floor(spectrum) / total).numpy()
    floor = np.maximum(np.nanmax(floors, axis=1), FAINTEST)
    errors = chart.by_family(spectrum.power_error / total).numpy()
    edges = np.append(np.arange(count) - 0.5, count - 0.5)
    band: Options = {"step": "post", "color": RULE, "alpha": 0.6, "linewidth": 0}
    axes.fill_between(edges, np.append(floor, floor[-1]), FAINTEST / 10, **band)
    for family in range(len(chart.family_names)):
        values = np.where(shares[:, family] > FAINTEST, shares[:, family], np.nan)
        # names stand in no order that a line could follow
        joined: Options = {} if chart.counts else {"linestyle": "none"}
        axes.plot(np.arange(count), values, **{**_line(family), **joined}, zorder=3)
        seen = shares[:, family] > floors[:, family]  # of the others the band says enough
        ends = np.stack([shares - errors, shares + errors])[:, seen, family]
        axes.vlines(np.flatnonzero(seen), *np.maximum(ends, FAINTEST), color=_line(family)["color"], linewidth=0.8)
    for label in targets(spectrum) if isinstance(spectrum, Output) else ():
        if label in chart and (share := shares[chart.column(label), chart.family(label)]) > 0:
            axes.plot(chart.column(label), share, linestyle="none", **RING, zorder=4)
    if spectrum.pooled_unresolved > unresolved_floor(spectrum):
        axes.plot(count, unresolved_share(spectrum), **ABOVE, zorder=3)
    _ticks(axes, spectrum, panel)
    loud = [float(share) for share, least in zip(np.nanmax(shares, axis=1), floor, strict=True) if share > least]
    return float(max(FAINTEST, 10 ** math.floor(math.log10(min([*loud, float(floor.max()), 1e-2]))) * 0.5))


def _ticks(axes: Axes, spectrum: Spectrum, panel: float) -> None:
    """Headings of the columns, as many as fit, and of what lies above lmax."""
    chart = spectrum.chart
    count = len(chart.headings)
    axes.set_xlim(-0.5, count + 0.5)
    if not chart.counts:
        upright = sum(text_width(heading) + 0.05 for heading in (*chart.headings, "above")) > panel
        texts = [*map(plain, chart.headings), "above"]
        axes.set_xticks(range(count + 1), texts, color=INK, rotation=90 if upright else 0)
        return
    step = max(1, math.ceil((count + 1) * HEADING / panel))
    ticks = [*range(0, count, step)]
    # Inches that the label of the last tick needs to its left.
    last = 0.22 if count <= 10 else 0.36
    while ticks and (count - ticks[-1]) * panel / (count + 1) < last:
        ticks.pop()
    headings = [chart.headings[tick] for tick in ticks]
    axes.set_xticks([*ticks, count], [*headings, f">{chart.lmax}"], color=INK)
