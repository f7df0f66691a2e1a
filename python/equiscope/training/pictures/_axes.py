"""What the pictures of a history share: the width of a column, and the axis of steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter

from ...report.palette import Options
from ...report.sheet import KEY_ROW, WIDTHS, Sheet
from ...report.style import key_columns

COLUMN = WIDTHS["column"]
"""Inches that a column of text is wide; pictures are drawn at that width, in the sizes that they are printed in."""

BELOW = 0.45
"""Decades left of step 1 at which the untrained model stands on a logarithmic axis, which has no place for step 0."""

LABEL = 0.3
"""Inches between two labels of steps at least."""

WIDE = 1.5
"""Decades from which powers of ten are labels enough."""

LEFT, RIGHT, TOP = 0.6, 0.08, 0.26
"""Inches around all panels: labels of values, half the label of a step, a title."""

GAP, BETWEEN, LINE = 0.32, 0.14, 0.14
"""Inches between two panels: a title above, nothing beside; of a further line of a title."""

AXIS, KEYS = 0.45, 0.17
"""Inches below: labels and title of the axis of steps; the first row of a legend."""


def panels(
    sheet: Sheet, rows: int, columns: int, height: float, keys: Sequence[Artist], titles: Sequence[str]
) -> np.ndarray:
    """The axes, each `height` inches high, over the legend; with room for the longest of `titles` above each.

    On a figure of its own laid out by inches: to measure every label, as constrained layout does, takes longer than all
    the rest.
    """
    across = sheet.wide(COLUMN)
    more = KEY_ROW * (math.ceil(len(keys) / key_columns([str(key.get_label()) for key in keys], across)) - 1)
    below = AXIS + KEYS + more + 0.1
    second = LINE * max(title.count("\n") for title in titles)
    whole = TOP + rows * height + (rows - 1) * GAP + rows * second + below
    options: Options = {"width": across, "height": whole - more, "keys": keys, "sharey": columns > 1}
    if not sheet.free:
        return sheet.panels(rows, columns, **options)
    width = (across - LEFT - RIGHT - (columns - 1) * BETWEEN) / columns
    inches = {
        "left": LEFT / across,
        "right": 1 - RIGHT / across,
        "top": 1 - (TOP + second) / whole,
        "bottom": below / whole,
    }
    gaps = {"hspace": (GAP + second) / height, "wspace": BETWEEN / width}
    found = sheet.panels(rows, columns, **options, gridspec_kw={**inches, **gaps})
    sheet.whole.set_layout_engine("none")
    return found


def short(step: int) -> str:
    """A step in few letters: 398, 39.8k, 3M."""
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if step >= max(factor, 1e4):
            return f"{step / factor:.3g}{unit}"
    return str(step)


def place(steps: object) -> np.ndarray:
    """Steps as places on the axis of steps: logarithms, and left of them the untrained model."""
    values = np.asarray(steps, dtype=float)
    return np.where(values > 0, np.log10(np.maximum(values, 1.0)), -BELOW)


def step_axis(axes: Axes, steps: object, *, label: bool = True) -> None:
    """Ticks at step 0 and round steps, as many as have room; limits around `steps`; labels where asked for."""
    at = place(steps)
    low, high = float(at.min()), max(float(at.max()), 0.3)
    room = 0.04 * (high - low) + 0.02
    axes.set_xlim(low - room, high + room)
    parts = (1,) if high - max(low, 0.0) >= WIDE else (1, 2, 5)
    round_steps = [part * 10**power for power in range(math.floor(high) + 1) for part in parts]
    figure = axes.get_figure(root=True)
    assert figure is not None
    apart = LABEL * (high - low) / (axes.bbox.width / figure.dpi)
    ticks = [-BELOW] if low < 0 else []
    for tick in map(math.log10, round_steps):
        if low - 1e-9 <= tick <= high + 1e-9 and (not ticks or tick - ticks[-1] >= apart):
            ticks.append(tick)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: "0" if tick < 0 else short(round(10**tick))))
    if not label:
        axes.tick_params(labelbottom=False)
