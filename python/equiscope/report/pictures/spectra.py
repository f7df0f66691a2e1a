"""Spectrum of each output, and of a choice of layers: share of power against l, one line per sigma."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...result.data import Audit, Output, Spectrum
from ...result.floor import sector_floor, unresolved_floor, unresolved_share
from ...result.verdict import targets
from ..format import elide_paths
from ..style import FAINT, INK, MARK, PROPER, PSEUDO, RULE, SMALL, decades, finish, legend, new_figure, plain

CHOSEN_LAYERS = 6
"""Layers drawn when nobody names any: first, last and evenly between. All of them are in the heat map."""

COLUMNS = 3

FAINTEST = 1e-16
"""Least share drawn: the square of the round-off of float32, a decade above nothing in float64."""

TITLE = 30
"""Characters of a panel's name."""

PANEL = 2.2
"""Inches that a panel is wide, for the spacing of its ticks."""


def spectra(audit: Audit, names: Sequence[str] | None = None) -> Figure:
    """One panel per output, then per layer. The grey band is what noise and aliasing could make."""
    if names is None:
        layers = list(audit.layers)
        picks = np.unique(np.linspace(0, len(layers) - 1, min(CHOSEN_LAYERS, len(layers))).round().astype(int))
        found: list[Spectrum] = [*audit.outputs.values(), *(audit.layers[layers[i]] for i in picks)]
    else:
        found = [audit.result(name) for name in names]
    columns = min(COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    figure = new_figure(max(2.45 * columns, 3.6) + 0.3, 1.95 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    titles = elide_paths([spectrum.name for spectrum in found], TITLE)
    low = min(_draw(axes, spectrum) for axes, spectrum in zip(grid.flat, found, strict=False))
    for i, axes in enumerate(grid.flat):
        if i >= len(found):
            axes.set_axis_off()
            continue
        finish(
            axes,
            grid="y",
            title=plain(titles[i]),
            bold=audit.outputs.get(found[i].name) is found[i],
            xlabel="degree $l$" if i + columns >= len(found) else "",
            ylabel="share of power" if i % columns == 0 else "",
        )
        decades(axes, "y")
        axes.set_ylim(low, 3.0)
        if i % columns:
            axes.tick_params(which="both", left=False)
            axes.spines["left"].set_visible(False)
    keys: list[object] = [
        Line2D([], [], color=PROPER, marker="o", markersize=4, linewidth=1.1, label="proper, $\\sigma=+1$"),
        Line2D(
            [],
            [],
            color=PSEUDO,
            marker="s",
            markersize=3.6,
            markerfacecolor="none",
            linewidth=1.1,
            linestyle=(0, (4, 2)),
            label="pseudo, $\\sigma=-1$",
        ),
        Line2D(
            [],
            [],
            color=FAINT,
            marker="_",
            markersize=9,
            markeredgewidth=1.6,
            linewidth=0,
            label="above $l_{max}$",
        ),
        Patch(facecolor=RULE, alpha=0.6, label="noise and aliasing"),
    ]
    if any(isinstance(spectrum, Output) for spectrum in found):
        keys.insert(
            2,
            Line2D(
                [],
                [],
                marker="o",
                markersize=8,
                markerfacecolor="none",
                markeredgecolor=MARK,
                linewidth=0,
                label="declared irrep",
            ),
        )
    legend(figure, keys, loc="outside lower center", ncols=3 if columns < 3 else 5, columnspacing=1.4)
    return figure


def _draw(axes: Axes, spectrum: Spectrum) -> float:
    """The lines of one panel; where its vertical axis should start."""
    total = spectrum.pooled_total
    if total <= 0:
        axes.text(0.5, 0.5, "zero", transform=axes.transAxes, ha="center", color=FAINT, fontsize=SMALL)
        axes.set_yscale("log")
        return 1e-2
    degrees = np.arange(spectrum.lmax + 1)
    shares = spectrum.fractions.numpy()
    floor = np.maximum((sector_floor(spectrum) / total).numpy(), FAINTEST)
    axes.set_yscale("log")
    axes.fill_between(
        np.append(degrees - 0.5, spectrum.lmax + 0.5),
        np.append(floor, floor[-1]),
        FAINTEST / 10,
        step="post",
        color=RULE,
        alpha=0.6,
        linewidth=0,
    )
    for i, (colour, marker, dash) in enumerate(((PROPER, "o", "-"), (PSEUDO, "s", (0, (4, 2))))):
        values = np.where(shares[:, i] > FAINTEST, shares[:, i], np.nan)
        axes.plot(
            degrees,
            values,
            color=colour,
            marker=marker,
            markersize=4 if i == 0 else 3.6,
            linewidth=1.1,
            linestyle=dash,
            markerfacecolor=colour if i == 0 else "none",
            zorder=3,
        )
    for lam, sigma in targets(spectrum) if isinstance(spectrum, Output) else ():
        if lam <= spectrum.lmax and shares[lam, (1 - sigma) // 2] > 0:
            axes.plot(
                lam,
                shares[lam, (1 - sigma) // 2],
                "o",
                markersize=8,
                markerfacecolor="none",
                markeredgecolor=MARK,
                zorder=4,
            )
    above = unresolved_share(spectrum)
    if spectrum.pooled_unresolved > unresolved_floor(spectrum):
        axes.plot(spectrum.lmax + 1, above, marker="_", markersize=9, markeredgewidth=1.6, color=FAINT, zorder=3)
    axes.set_xlim(-0.5, spectrum.lmax + 1.5)
    step = max(1, math.ceil((spectrum.lmax + 2) / 11))
    ticks = [*range(0, spectrum.lmax + 1, step)]
    # Inches that the label of the last tick needs to its left.
    last = 0.22 if spectrum.lmax < 10 else 0.36
    while ticks and (spectrum.lmax + 1 - ticks[-1]) * PANEL / (spectrum.lmax + 2) < last:
        ticks.pop()
    axes.set_xticks([*ticks, spectrum.lmax + 1], [*map(str, ticks), f"$>{spectrum.lmax}$"], color=INK)
    loud = [float(share) for share, least in zip(shares.max(axis=1), floor, strict=True) if share > least]
    return max(FAINTEST, 10 ** math.floor(math.log10(min([*loud, float(floor.max()), 1e-2]))) * 0.5)
