"""The look of the pictures: the finish of figures and axes. No global setting of matplotlib is touched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .palette import DPI, INK, PAPER, RULE, SIZE, SMALL, Options

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Digits of an exponent. As a formula, which matplotlib parses, a label takes as long as all the rest of its axis."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches that lays its axes out itself."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor=PAPER)
    figure.set_layout_engine("constrained", w_pad=0.05, h_pad=0.05)
    return figure


def finish(
    axes: Axes,
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    bold: bool = False,
    grid: Literal["x", "y", "both"] | None = None,
) -> None:
    """Labels, thin axes on the left and below only, and rules along `grid` (``"x"``, ``"y"`` or
    ``"both"``)."""
    axes.set_facecolor("none")
    axes.set_xlabel(xlabel, fontsize=SIZE, color=INK)
    axes.set_ylabel(ylabel, fontsize=SIZE, color=INK)
    axes.set_title(title, fontsize=SIZE, color=INK, loc="left", fontweight="bold" if bold else "normal")
    axes.tick_params(which="both", labelsize=SMALL, colors=INK, width=0.6, length=2.5)
    axes.tick_params(which="minor", length=1.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
        spine.set_linewidth(0.6)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, axis=grid, which="major", color=RULE, linewidth=0.5)


def plain(name: str) -> str:
    """`name` as it is: a dollar sign in a name starts no formula."""
    return name.encode("utf-8", "replace").decode("utf-8").replace("$", r"\$")


def decades(axes: Axes, which: str) -> None:
    """Logarithmic axis with a label per decade, as many as fit."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_major_formatter(powers_of_ten())
    axis.set_minor_formatter(NullFormatter())


def powers_of_ten() -> FuncFormatter:
    """Labels of ticks that stand at powers of ten."""
    return FuncFormatter(lambda value, _: f"10{str(round(math.log10(value))).translate(RAISED)}")


def legend(axes: Axes | Figure, handles: Sequence[object] | None = None, **options: Any) -> None:
    """A legend without a frame, in the small size."""
    chosen: Options = {"frameon": False, "fontsize": SMALL, "labelcolor": INK, "handlelength": 1.6, **options}
    if handles is not None:
        chosen["handles"] = handles
    axes.legend(**chosen)
