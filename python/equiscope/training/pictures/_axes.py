"""What the pictures of a history share: the width of a column, and the axis of steps."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter

COLUMN = 3.4
"""Inches that a column of text is wide; pictures are drawn at that width, in the sizes that they are printed in."""

BELOW = 0.45
"""Decades left of step 1 at which the untrained model stands on a logarithmic axis, which has no place for step 0."""

LABELS = 7
"""Powers of ten with a label at most."""


def place(steps: object) -> np.ndarray:
    """Steps as places on the axis of steps: logarithms, and left of them the untrained model."""
    values = np.asarray(steps, dtype=float)
    return np.where(values > 0, np.log10(np.maximum(values, 1.0)), -BELOW)


def step_axis(axes: Axes, steps: object, *, label: bool = True) -> None:
    """Ticks at powers of ten and at step 0, limits around `steps`, and the title where it is asked for."""
    at = place(steps)
    low, high = float(at.min()), max(float(at.max()), 0.3)
    room = 0.04 * (high - low) + 0.02
    axes.set_xlim(low - room, high + room)
    decades = range(math.ceil(low), math.floor(high + 1e-9) + 1)
    shown = [power for power in decades if power >= 0][:: max(1, math.ceil(len(decades) / LABELS))]
    major = [*([-BELOW] if low < 0 else []), *shown]
    axes.xaxis.set_major_locator(FixedLocator(major))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: _written(tick)))
    if not label:
        axes.tick_params(labelbottom=False)


def _written(tick: float) -> str:
    if tick < 0:
        return "0"
    return f"$10^{{{round(tick)}}}$" if tick >= 2.5 else str(round(10**tick))
