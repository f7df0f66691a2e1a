"""Error of every output on every system: named rows where they fit, sorted dots where they do not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ...result.data import AuditData, Output
from ..format import number, quantity
from ..palette import FAINT, PAPER, PROPER, PSEUDO, RULE, SIZE, SMALL, Options
from ..render import hover
from ..sheet import Sheet
from ..style import decades, finish, fitted, plain, text_width
from ..view import Picture, register

NAMED = 45
"""Rows with names that a page holds: one per system, again for every three outputs."""

LABEL, LABEL_SHARE = 2.2, 0.3
"""Inches of one line of a system's name; and the share of a picture that names may take."""

COLUMNS = 3

POINTED_OUT = 3
"""Worst systems whose names are written beside their dots when there are too many for rows."""

OFF_SCALE = 1e3
"""Noise floors this far below the smallest error are only written: to scale they would crush the dots
together."""

SOLID, DASHED = "-", (0, (2, 2))

RASTER = 800
"""Dots from which they are drawn as pixels: a page with thousands of vector dots is slow to open."""


@register
class Systems(Picture):
    """RMSE per system on a log scale, one panel per output, its noise floor and the pooled RMSE as lines."""

    name, order = "systems", 3

    def caption(self, audit: AuditData) -> str:
        return "Equivariance error of each system."

    def lacks(self, audit: AuditData) -> tuple[str, str] | None:
        if not audit.outputs:
            return "an output", "none"
        values = [row.outputs.get(name, {}).get("rmse", math.nan) for row in audit.systems for name in audit.outputs]
        return None if any(math.isfinite(value) for value in values) else ("a system with a finite error", "none")

    def draw(self, audit: AuditData, sheet: Sheet, names: Sequence[str] | None = None) -> None:
        blocks = math.ceil(len(audit.outputs) / sheet.across(len(audit.outputs), COLUMNS))
        (_named if len(audit.systems) * blocks <= NAMED else _sorted)(audit, sheet)


def _named(audit: AuditData, sheet: Sheet) -> None:
    """Rows of dots: the systems whose worst output stands highest, in units of its pooled error, on top."""
    names = list(audit.outputs)
    values = {
        name: np.array([row.outputs.get(name, {}).get("rmse", math.nan) for row in audit.systems]) for name in names
    }
    scale = {name: max(float(np.nanmean(v)) if np.isfinite(v).any() else 0.0, 1e-300) for name, v in values.items()}
    height = np.max([np.nan_to_num(values[name] / scale[name], nan=-1.0, posinf=1e300) for name in names], axis=0)
    order = np.argsort(-height, kind="stable")
    count = len(order)
    longest = min(max(text_width(plain(row.name)) for row in audit.systems), LABEL)
    if sheet.bounded:
        longest = min(longest, LABEL_SHARE * sheet.wide(0.0))
    labels = [fitted(audit.systems[i].name, longest + 0.01, SMALL) for i in order]
    columns = sheet.across(len(names), COLUMNS, beside=longest)
    blocks = math.ceil(len(names) / columns)
    lines = [label.count("\n") + 1 for label in labels]
    apart = max((0.5 * (a + b) for a, b in itertools.pairwise(lines)), default=1.0)
    wanted = 2.35 * columns + longest + 0.3
    panel = (sheet.wide(wanted) - longest - 0.3) / columns - 0.1
    grid = sheet.panels(
        blocks,
        columns,
        width=wanted,
        height=blocks * (0.16 * count * max(1.0, 0.75 * apart) + 0.75) + 0.5,
        keys=_keys(audit),
        sharey=True,
    )
    for i, axes in enumerate(grid.flat):
        if i >= len(names):
            axes.set_axis_off()
            continue
        output = audit.outputs[names[i]]
        axes.hlines(np.arange(count), 0, 1, transform=axes.get_yaxis_transform(), color=RULE, linewidth=0.5, zorder=0)
        finish(
            axes,
            title=_title(axes, output, panel),
            bold=True,
            xlabel=_axis(output) if i + columns >= len(names) or output.unit else "",
        )
        _dots(axes, values[names[i]][order], np.arange(count), [audit.systems[j].name for j in order], output, "x")
        axes.set_ylim(count - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        if i % columns:
            axes.yaxis.set_visible(False)
            continue
        axes.tick_params(axis="y", length=0, labelsize=SMALL if count > 25 else SMALL + 0.5)
        axes.set_yticks(range(count), labels)


def _sorted(audit: AuditData, sheet: Sheet) -> None:
    """Dots in order of their error, one panel per output, the worst named."""
    names = list(audit.outputs)
    columns = sheet.across(len(names), COLUMNS)
    blocks = math.ceil(len(names) / columns)
    wanted = 2.6 * columns + 0.4
    panel = sheet.wide(wanted) / columns - 0.6
    grid = sheet.panels(blocks, columns, width=wanted, height=2.5 * blocks + 0.45, keys=_keys(audit))
    for i, axes in enumerate(grid.flat):
        if i >= len(names):
            axes.set_axis_off()
            continue
        output = audit.outputs[names[i]]
        rows = [(row.outputs.get(names[i], {}).get("rmse", math.nan), row.name) for row in audit.systems]
        rows = sorted((rmse, name) for rmse, name in rows if math.isfinite(rmse))
        share = (np.arange(len(rows)) + 0.5) / max(len(rows), 1) * 100
        finish(
            axes,
            grid="y",
            title=_title(axes, output, panel),
            bold=True,
            xlabel="systems by error, %" if i + columns >= len(names) else "",
            ylabel=_axis(output) if i % columns == 0 or output.unit else "",
        )
        _dots(axes, np.array([rmse for rmse, _ in rows]), share, [name for _, name in rows], output, "y")
        axes.set_xlim(-3, 103)
        worst = rows[-POINTED_OUT:][::-1]
        text = "\n".join(fitted(name, 0.7 * panel, SMALL - 0.5) for _, name in worst)
        axes.text(
            0.95,
            0.04,
            "worst\n" + text,
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=SMALL - 0.5,
            color=FAINT,
            linespacing=1.25,
            zorder=4,
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
        )


def _title(axes: Axes, output: Output, panel: float) -> str:
    """The name of an output, above its noise floor where both have no room on a line of so many inches; the noise floor
    is written."""
    said = f"noise floor {number(output.noise_floor, 2)}"
    axes.set_title(said, loc="right", fontsize=SMALL - 0.5, color=FAINT, y=1.0)
    room = panel - text_width(said, SMALL - 0.5) - 0.1
    if text_width(plain(output.name), SIZE, bold=True) <= room:
        return plain(output.name)
    return fitted(output.name, panel, bold=True) + "\n"


def _axis(output: Output) -> str:
    return f"RMSE / {plain(output.unit)}" if output.unit else "RMSE"


def _dots(
    axes: Axes, errors: np.ndarray, places: np.ndarray, systems: Sequence[str], output: Output, which: str
) -> None:
    """The dots, which say which system they are, and the lines of the pooled error and the noise floor, along the axis
    `which`."""
    finite = np.isfinite(errors)
    marked: list[tuple[float, str, Any]] = (
        [(output.rmse, PSEUDO, SOLID)] if math.isfinite(output.rmse) and output.rmse > 0 else []
    )
    positive = [*errors[finite & (errors > 0)].tolist(), *(value for value, _, _ in marked)]
    least, top = min(positive, default=1.0), max(positive, default=1.0)
    noise = output.noise_floor
    if math.isfinite(noise) and noise > least / OFF_SCALE:
        marked.append((noise, FAINT, DASHED))
        least, top = min(least, noise), max(top, noise)
    zero = finite & (errors <= 0)
    """Errors of exactly zero have no place on a log scale: hollow dots at its lower end."""
    drawn = np.where(zero, least / 3, errors)
    size = 14 if len(errors) <= NAMED else 6
    options: Options = {"s": size, "linewidths": 0.6, "zorder": 3, "rasterized": len(errors) > RASTER}
    for chosen, face in ((finite & ~zero, PROPER), (zero, "none")):
        along, across = drawn[chosen], places[chosen]
        dots = axes.scatter(
            *((along, across) if which == "x" else (across, along)),
            facecolors=face,
            edgecolors=PROPER,
            **options,
        )
        hover(dots, [f"{systems[j]}: RMSE {quantity(output, errors[j])}" for j in np.flatnonzero(chosen).tolist()])
    line = axes.axvline if which == "x" else axes.axhline
    if (error := output.rmse_error) and 0 < error < output.rmse:
        span = axes.axvspan if which == "x" else axes.axhspan
        span(output.rmse - error, output.rmse + error, color=PSEUDO, alpha=0.15, linewidth=0, zorder=1)
    for value, colour, dash in marked:
        line(value, color=colour, linewidth=1.0, linestyle=dash, zorder=2)
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    if top < 30 * least:
        middle = math.sqrt(top * least)
        least, top = min(least, middle / 6), max(top, middle * 6)
    (axes.set_xlim if which == "x" else axes.set_ylim)(least / (5 if zero.any() else 1.6), top * 1.8)
    decades(axes, which)


def _keys(audit: AuditData) -> list[Line2D]:
    dot: Options = {"marker": "o", "color": "none", "markeredgecolor": PROPER, "markersize": 3.6}
    keys = [
        Line2D([], [], markerfacecolor=PROPER, label="one system", **dot),
        Line2D([], [], color=PSEUDO, linewidth=1.0, label="all systems"),
        Line2D([], [], color=FAINT, linewidth=1.0, linestyle=DASHED, label="noise floor"),
    ]
    if any(row.outputs.get(name, {}).get("rmse") == 0 for row in audit.systems for name in audit.outputs):
        keys.append(Line2D([], [], markerfacecolor="none", label="exactly zero", **dot))
    return keys
