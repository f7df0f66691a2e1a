"""The picture of a diagnosis: each sector of the targets on its way through the network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..errors import ArgumentError, fail
from ..report.palette import FAINT, INK, MARK, PROPER, PSEUDO, RULE, SIZE, SMALL, Options
from ..report.sheet import Sheet
from ..report.style import decades, finish, fitted, plain, text_width
from .fate import Fate
from .sector import SectorDiagnosis

COLUMNS = 3
FAINTEST = 1e-12
"""Least share of power drawn."""

PANEL, NAME = 2.4, 1.3
"""Inches that a panel takes at least, and one line of the name of a layer."""

BELOW = -0.08
"""Where shares end that explain less than nothing."""

HELD: Options = {"color": PROPER, "marker": "o", "markersize": 4.5, "linewidth": 1.2}
LINEAR: Options = {"color": PSEUDO, "marker": "s", "markersize": 3.6, "markerfacecolor": "none", "linewidth": 1.0}
OUTPUT: Options = {"color": MARK, "marker": "D", "markersize": 5.5, "linestyle": "none"}
AVERAGED: Options = {**OUTPUT, "markerfacecolor": "none"}
POWER: Options = {"color": INK, "marker": "_", "markersize": 9, "markeredgewidth": 1.6, "linewidth": 0.6}


def draw(sectors: Sequence[SectorDiagnosis], sheet: Sheet) -> None:
    """Two panels per sector: what can be read of it, and the share of power in it, layer by layer; the output last."""
    found = [sector for sector in sectors if sector.fate is not Fate.NOISE and sector.layers]
    if not found:
        fail(ArgumentError, "diagnosis", "a sector that stands above noise, and a layer", "none")
    columns = sheet.across(len(found), COLUMNS, panel=PANEL)
    blocks = math.ceil(len(found) / columns)
    below = min(max(text_width(plain(layer.layer)) for layer in found[0].layers), NAME)
    wanted = max(2.6 * columns, 3.8) + 0.4
    panel = (sheet.wide(wanted) - 0.4) / columns - 0.25
    keys = [
        Line2D([], [], label="in the layer, averaged over orientations", **HELD),
        Line2D([], [], label="by a linear readout at any orientation", **LINEAR),
        Line2D([], [], label="output, any orientation", **OUTPUT),
        Line2D([], [], label="output, averaged", **AVERAGED),
        Patch(facecolor=RULE, alpha=0.6, label="read from nothing"),
    ]
    height = (2.75 + below) * blocks + 0.45
    ratios: Options = {"sharex": "col", "height_ratios": [2.0, 1.0] * blocks}
    grid = sheet.panels(2 * blocks, columns, width=wanted, height=height, keys=keys, **ratios)
    for i in range(blocks * columns):
        upper, lower = (grid[2 * (i // columns) + k, i % columns] for k in (0, 1))
        if i >= len(found):
            upper.set_axis_off()
            lower.set_axis_off()
            continue
        _readability(upper, found[i], panel, first=i % columns == 0)
        _power(lower, found[i], first=i % columns == 0)


def _readability(axes: Axes, sector: SectorDiagnosis, panel: float, *, first: bool) -> None:
    """What can be read of a sector, in a panel of so many inches."""
    layers, last = sector.layers, len(sector.layers)
    places = np.arange(last)
    control = np.array([max(layer.control, 0.0) for layer in layers])
    edges = np.append(places - 0.5, last - 0.5)
    axes.fill_between(edges, np.append(control, control[-1:]), BELOW, step="post", color=RULE, alpha=0.6, linewidth=0)
    axes.plot(places, [_shown(layer.linear) for layer in layers], **LINEAR, zorder=3)
    axes.plot(places, [_shown(layer.symmetrised) for layer in layers], **HELD, zorder=4)
    axes.plot(last, _shown(sector.explained), **OUTPUT, zorder=4)
    axes.plot(last, _shown(sector.symmetrised), **AVERAGED, zorder=4)
    axes.axvline(last - 0.5, color=FAINT, linewidth=0.6, linestyle=(0, (2, 2)))
    for name, colour in ((sector.formed_at, PROPER), (sector.lost_at, MARK)):
        if name is not None:
            place = next(i for i, layer in enumerate(layers) if layer.layer == name)
            axes.axvline(place, color=colour, linewidth=5, alpha=0.13, zorder=0)
    axes.set_ylim(BELOW, 1.06)
    axes.set_yticks([0, 0.5, 1])
    words = f"{sector.output}, {sector.words}"
    finish(axes, grid="y", title=fitted(words, panel, bold=True), bold=True, ylabel="share of target" if first else "")
    axes.tick_params(labelbottom=False)
    axes.set_title(axes.get_title(loc="left"), fontsize=SIZE, fontweight="bold", color=INK, loc="left", pad=14)
    spoken = sector.verdict.split(" ")
    kept = len(spoken)
    while kept > 1 and text_width(plain(" ".join(spoken[:kept]))) > panel:
        kept -= 1
    cut = plain(" ".join(spoken[:kept])) + (" ..." if kept < len(spoken) else "")
    axes.annotate(cut, (0, 1.03), xycoords="axes fraction", fontsize=SMALL, color=INK, va="bottom")


def _power(axes: Axes, sector: SectorDiagnosis, *, first: bool) -> None:
    layers = sector.layers
    shares = np.array([layer.share if layer.seen else np.nan for layer in layers])
    low = min(float(np.nanmin(shares, initial=1.0)), 1e-2)
    low = max(10 ** math.floor(math.log10(max(low, FAINTEST))), FAINTEST) / 10
    axes.set_yscale("log")
    axes.plot(np.arange(len(layers)), shares, **POWER)
    absent = [i for i, layer in enumerate(layers) if not layer.seen]
    axes.plot(absent, [low * 1.6] * len(absent), linestyle="none", marker="x", color=FAINT, markersize=4)
    axes.axvline(len(layers) - 0.5, color=FAINT, linewidth=0.6, linestyle=(0, (2, 2)))
    axes.set_ylim(low, 3.0)
    axes.set_xlim(-0.6, len(layers) + 0.6)
    finish(axes, grid="y", ylabel="its power" if first else "")
    decades(axes, "y")
    names = [fitted(layer.layer, NAME, SMALL) for layer in layers]
    axes.set_xticks(range(len(layers) + 1), [*names, "output"], rotation=90)


def _shown(share: float) -> float:
    return max(share, BELOW / 2)
