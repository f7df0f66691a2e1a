"""The look of the pictures: the finish of figures and axes. No global setting of matplotlib is touched."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cbook import is_math_text
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import FigureBase
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from .format import broken, number, shortened
from .palette import INK, MAP, RULE, SIZE, SMALL, Options

LINES = 4
"""Of a name in a picture; what is longer is cut in its middle. The page has it whole in its tables."""

NARROW = 0.2
"""Width of a narrow letter, in parts of the size of the font."""

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


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
    # a title whose height is given is not moved out of the way of labels that are never on top
    axes.set_title(title, fontsize=SIZE, color=INK, loc="left", fontweight="bold" if bold else "normal", y=1.0)
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
    """`name` as it is: a dollar sign in a name starts no formula, and a tab, which no font has, is a blank."""
    return name.encode("utf-8", "replace").decode("utf-8").replace("$", r"\$").replace("\t", " ")


def text_width(text: str, size: float = SMALL, *, bold: bool = False) -> float:
    """Inches that the widest line of `text` takes."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    widths = [
        text_to_path.get_text_width_height_descent(line, font, ismath=bool(is_math_text(line)))[0]
        for line in text.split("\n")
    ]
    return float(max(widths)) / 72


def fitted(name: str, inches: float, size: float = SIZE, *, bold: bool = False) -> str:
    """`name` in lines of at most so many `inches`, ready to be shown; whole, unless it takes more than a few lines."""
    letters = min(len(name), math.ceil(72 * inches / (NARROW * size)) + 1)
    name = shortened(name, LINES * letters)
    while text_width(found := plain(broken(name, letters)), size, bold=bold) > inches and letters > 1:
        letters -= 1
    room = len(name)
    while found.count("\n") >= LINES and room > 1:
        room -= max(room // 16, 1)
        found = plain(broken(shortened(name, room), letters))
    return found


GAPS = 3.8
"""What a key takes beside its label, in letters of its size: its line, and the blanks around it."""


def key_columns(labels: Sequence[str], inches: float) -> int:
    """Columns of a legend with as few rows as have room, and no more columns than these rows need."""
    widths = [text_width(label) + GAPS * SMALL / 72 for label in labels]

    def fits(columns: int) -> bool:
        # a legend is filled column by column, the first ones longer by one where it does not come out even
        rows, longer = divmod(len(widths), columns)
        starts = [column * rows + min(column, longer) for column in range(columns + 1)]
        return sum(max(widths[a:b]) for a, b in itertools.pairwise(starts)) <= inches

    most = next((columns for columns in range(len(widths), 1, -1) if fits(columns)), 1)
    even = math.ceil(len(widths) / math.ceil(len(widths) / most)) if widths else 1
    return even if even == most or fits(even) else most


def decades(axes: Axes, which: str) -> None:
    """Logarithmic axis with a label per decade, as many as fit."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_major_formatter(powers())
    # a minor tick in each of a dozen decades takes longer to draw than the lines, and says nothing more
    axis.set_minor_locator(NullLocator())


def cells(axes: Axes, values: np.ndarray, quiet: np.ndarray, low: float, **line: Any) -> QuadMesh:
    """Cells of a heat map, rows from top to bottom, coloured by `values` on a log scale from `low` to 1; grey where
    they are `quiet`, none where there is no value. Its array holds the values, masked where they are quiet."""
    edges = (np.arange(values.shape[1] + 1) - 0.5, np.arange(values.shape[0] + 1) - 0.5)
    missing = np.isnan(values)
    shown = np.ma.masked_where(quiet & ~missing, np.where(missing, low / 2, np.maximum(values, low)))
    # one mesh for all of them: a second one for what is grey would take as long to draw
    colours = colormaps[MAP].with_extremes(bad=RULE, under="none")
    mesh = axes.pcolormesh(*edges, shown, cmap=colours, norm=LogNorm(low, 1.0), clip_on=False, **line)
    axes.set_ylim(values.shape[0] - 0.5, -0.5)
    return mesh


def scale_of(mesh: QuadMesh) -> ScalarMappable:
    """What a scale of colours is drawn of, where the fainter has the colour of the end."""
    return ScalarMappable(mesh.norm, colormaps[MAP])


def powers() -> FuncFormatter:
    """Labels like ``10⁻³``, in letters of the font: a formula takes a hundred times as long to set."""
    return FuncFormatter(lambda value, _: _power_of_ten(value))


def _power_of_ten(value: float) -> str:
    if value <= 0 or abs(math.log10(value) - round(math.log10(value))) > 1e-9:
        return number(value)
    power = round(math.log10(value))
    return "1" if power == 0 else "10" + str(power).translate(RAISED)


def legend(axes: Axes | FigureBase, handles: Sequence[object] | None = None, **options: Any) -> None:
    """A legend without a frame, in the small size."""
    chosen: Options = {"frameon": False, "fontsize": SMALL, "labelcolor": INK, "handlelength": 1.6, **options}
    if handles is not None:
        chosen["handles"] = handles
    axes.legend(**chosen)
