"""Layers in order of execution, then outputs, against the degree l: share of power, in decades of colour."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, LogFormatterSciNotation, NullFormatter, NullLocator

from ...result.data import Audit, Output, Spectrum
from ...result.floor import results, sector_floor, unresolved_floor, unresolved_share
from ...result.verdict import targets
from ..format import elide_paths
from ..style import INK, MAP, PAPER, RULE, SIZE, SMALL, finish, legend, new_figure, plain

LABEL = 34
"""Characters of a row label."""

FAINTEST = 1e-12
"""Share at the dark end of the scale, unless every share stands above it: in amplitude 1e-6, the least that
float32 can show. What is fainter has the colour of the end."""

ROW, LEAST_ROW, TALLEST = 0.2, 0.045, 14.0
"""Inches: height of a row, least height where there are many, height of all rows together."""

FEW, FEW_ROW = 4, 0.3
"""Up to so many rows, they are so many inches high, so that the scale of colours beside them can be read."""


def why_no_layers(audit: Audit) -> tuple[str, str] | None:
    """What the heat map needs and what there is, or None."""
    return None if audit.layers or audit.outputs else ("a layer or an output", "none")


def layers(audit: Audit) -> Figure:
    """Two panels, sigma = +1 and -1, and a column for the power above lmax. Grey: not above noise or
    aliasing."""
    found = results(audit)
    lmax = max(spectrum.lmax for _, spectrum in found)
    gap = 1 if audit.layers and audit.outputs else 0
    places = [i + (gap if i >= len(audit.layers) else 0) for i in range(len(found))]
    count = places[-1] + 1
    row = min(ROW, max(TALLEST / count, LEAST_ROW)) if count > FEW else FEW_ROW
    share = np.full((count, lmax + 1, 2), np.nan)
    above = np.full((count, 1), np.nan)
    quiet, above_quiet = np.zeros(share.shape, dtype=bool), np.zeros(above.shape, dtype=bool)
    for place, (_, spectrum) in zip(places, found, strict=True):
        _fill(spectrum, share[place], quiet[place], above[place], above_quiet[place])

    loud = np.concatenate([share[~quiet & (share > 0)], above[~above_quiet & (above > 0)]])
    low = max(FAINTEST, 10 ** math.floor(math.log10(loud.min()))) if loud.size else FAINTEST
    norm = LogNorm(min(low, 1e-2), 1.0)
    cell = 0.27 if lmax <= 12 else max(0.13, 3.4 / (lmax + 1))
    labels = elide_paths([name for name, _ in found], LABEL)
    width = 0.065 * max(map(len, labels)) + 2 * cell * (lmax + 1) + cell + 1.5
    figure = new_figure(max(width, 5.2), row * count + 1.15)
    panels = figure.subplots(1, 3, sharey=True, width_ratios=(lmax + 1, lmax + 1, 1.0), gridspec_kw={"wspace": 0.02})
    mesh = None
    for i, (axes, title) in enumerate(zip(panels, ("proper, $\\sigma=+1$", "pseudo, $\\sigma=-1$", ""), strict=True)):
        values, dim = (share[:, :, i], quiet[:, :, i]) if i < 2 else (above, above_quiet)
        mesh = _panel(axes, values, dim, norm)
        finish(axes, title=title, xlabel="degree $l$" if i < 2 else "")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0, left=False)
        if i < 2:
            step = max(1, math.ceil(0.2 / cell))
            axes.set_xticks(range(0, lmax + 1, step))
        else:
            axes.set_xticks([0], [f"$>{lmax}$"])
    _rows(panels[0], labels, places, len(audit.layers), row)
    declared = [
        (place, spectrum) for place, (_, spectrum) in zip(places, found, strict=True) if isinstance(spectrum, Output)
    ]
    for place, output in declared:
        _targets(output, panels[:2], place)
    bar = figure.colorbar(
        mesh,
        ax=list(panels),
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
    depth = -math.log10(norm.vmin)
    step = max(1, math.ceil(depth / min(6.0, max(2.0, row * count / 0.3))))
    bar.ax.yaxis.set_major_locator(FixedLocator([10.0**-k for k in range(0, int(depth) + 1, step)]))
    bar.ax.yaxis.set_major_formatter(LogFormatterSciNotation())
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(which="both", labelsize=SMALL, colors=INK, width=0.6, length=2.5)
    bar.outline.set_visible(False)
    keys: list[object] = [Patch(facecolor=RULE, label="not above noise or aliasing")]
    if declared:
        keys.append(
            Line2D(
                [],
                [],
                marker="o",
                color="none",
                markerfacecolor=PAPER,
                markeredgecolor=INK,
                markersize=4,
                markeredgewidth=0.7,
                label="declared irrep",
            )
        )
    legend(figure, keys, loc="outside lower center", ncols=2)
    return figure


def _fill(spectrum: Spectrum, share: np.ndarray, quiet: np.ndarray, above: np.ndarray, above_quiet: np.ndarray) -> None:
    """One row of shares, and which of them are not above the floor."""
    size, total = spectrum.lmax + 1, spectrum.pooled_total
    share[:size] = spectrum.fractions.numpy()
    quiet[:size] = (spectrum.pooled_power <= sector_floor(spectrum)[:, None]).numpy() | (total <= 0)
    above[0] = unresolved_share(spectrum)
    above_quiet[0] = spectrum.pooled_unresolved <= unresolved_floor(spectrum) or total <= 0


def _panel(axes: Axes, values: np.ndarray, quiet: np.ndarray, norm: LogNorm) -> object:
    edges = (np.arange(values.shape[1] + 1) - 0.5, np.arange(values.shape[0] + 1) - 0.5)
    line = {"edgecolors": PAPER, "linewidth": 0.6 if values.shape[0] <= 80 else 0.0}
    grey = np.where(quiet & ~np.isnan(values), 1.0, np.nan)
    axes.pcolormesh(*edges, np.ma.masked_invalid(grey), cmap=ListedColormap([RULE]), vmin=0, vmax=2, **line)
    shown = np.ma.masked_where(quiet | np.isnan(values), np.maximum(values, norm.vmin * (1 - 1e-9)))
    mesh = axes.pcolormesh(*edges, shown, cmap=colormaps[MAP], norm=norm, **line)
    axes.set_ylim(values.shape[0] - 0.5, -0.5)
    return mesh


def _rows(axes: Axes, labels: list[str], places: list[int], first_output: int, row: float) -> None:
    """Row labels, as many as can be read; outputs in the darker ink."""
    step = max(1, math.ceil(0.115 / row))
    kept = [i for i in range(len(places)) if i >= first_output or i % step == 0]
    axes.set_yticks([places[i] for i in kept], [plain(labels[i]) for i in kept])
    for i, tick in zip(kept, axes.get_yticklabels(), strict=True):
        tick.set_color(INK)
        tick.set_fontsize(min(SMALL, max(5.0, 72 * row * step * 0.8)))
        tick.set_fontweight("bold" if i >= first_output else "normal")


def _targets(output: Output, panels: list[Axes], place: int) -> None:
    """A ring in every cell of row `place` that `output` is declared to fill."""
    for lam, sigma in targets(output):
        if lam <= output.lmax:
            panels[(1 - sigma) // 2].plot(
                lam,
                place,
                "o",
                color=PAPER,
                markeredgecolor=INK,
                markersize=3.6,
                markeredgewidth=0.7,
                clip_on=False,
            )
