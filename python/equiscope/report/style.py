"""The look of the pictures: colours, sizes and the finish of an axes. No global setting of matplotlib is
touched."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

INK = "#1f2329"
"""Text and axes. The page replaces this and the three below by its own colours, for its dark scheme."""
FAINT = "#6b7280"
RULE = "#d7dade"
PAPER = "#fefefe"

PROPER, PSEUDO, MARK = "#0072b2", "#d55e00", "#cc79a7"
"""sigma = +1, sigma = -1, and what is pointed out: Okabe and Ito's colours, told apart by colour-blind
readers."""

SERIES = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
"""Colours of lines that have no meaning of their own."""

MARKERS = "osD^vP"

MAP = "viridis"
"""Perceptually uniform, and monotonic in grey."""

SIZE, SMALL = 9.0, 7.5
"""Font sizes in points: labels, and ticks or notes."""

DPI = 200


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
    grid: str | None = None,
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


def render(figure: Figure, kind: str) -> bytes:
    """The figure as ``"png"`` or ``"svg"``, the same bytes each time but for ids. SVG has no background."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"transparent": True, "metadata": {"Date": None}} if kind == "svg" else {"dpi": DPI}
    with warnings.catch_warnings():
        # A name in a script that the font lacks shows boxes; the table and the page still hold it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def decades(axes: Axes, which: str) -> None:
    """Logarithmic axis with a label per decade, as many as fit."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_major_formatter(LogFormatterSciNotation())
    axis.set_minor_formatter(NullFormatter())


def legend(axes: Axes | Figure, handles: Sequence[object] | None = None, **options: object) -> None:
    """A legend without a frame, in the small size."""
    chosen = {"frameon": False, "fontsize": SMALL, "labelcolor": INK, "handlelength": 1.6, **options}
    if handles is not None:
        chosen["handles"] = handles
    axes.legend(**chosen)  # type: ignore[arg-type]
