"""RMSE of every output over steps, with its error and the noise floor under it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...report.palette import FAINT, INK, MARKERS, PROPER, RULE, SMALL, Options
from ...report.sheet import Sheet
from ...report.style import decades, finish, fitted, plain
from ...result.judge import AT_NOISE
from ..data import Curves, HistoryData
from ..view import HistoryPicture, register
from ._axes import COLUMN, panels, place, step_axis

PANEL = 0.95
"""Inches that a panel is high."""

AROUND = 0.8
"""Inches beside a panel."""

ALONE = 0.1
"""Decades by which the band of noise goes on beyond the points, so that it is seen of one point too."""

FAINTEST = 1e-18
"""Least RMSE drawn, as a part of the largest: what is 0 has a place there."""


@register
class Errors(HistoryPicture):
    """A panel for each output, since their units differ. Grey: within noise."""

    name, order = "errors", 1
    chooses = ("names",)

    def caption(self, history: HistoryData) -> str:
        return (
            "Equivariance error (RMSE) of each output over training, with the range in which the true value lies in 95 "
            "of 100 cases, beside the size of the output (one component, root mean square). Grey is what noise alone "
            "makes. The point at 0 is the untrained model."
        )

    def lacks(self, history: HistoryData) -> tuple[str, str] | None:
        return None if history.points and history.outputs else ("a point with an output", "none")

    def draw(
        self, history: HistoryData, sheet: Sheet, names: Sequence[str] | None, steps: Sequence[int] | None
    ) -> None:
        curves = [history.curves(name) for name in names or history.outputs]
        every = np.concatenate([curve.steps.numpy() for curve in curves])
        titles = [fitted(curve.name, sheet.wide(COLUMN) - AROUND, bold=True) for curve in curves]
        grid = panels(sheet, len(curves), 1, PANEL, _keys(), titles)
        for i, (axes, curve) in enumerate(zip(grid.flat, curves, strict=True)):
            _panel(axes, curve)
            last = i == len(curves) - 1
            step_axis(axes, every, label=last)
            unit = f"RMSE / {curve.unit}" if curve.unit else "RMSE"
            finish(axes, grid="y", title=titles[i], bold=True, ylabel=plain(unit), xlabel="step" if last else "")


RMSE: Options = {"color": PROPER, "marker": MARKERS[0], "markersize": 3, "linewidth": 1.1}
SIZE: Options = {"color": FAINT, "linewidth": 0.9, "linestyle": (0, (4, 2))}


def _keys() -> list[Artist]:
    band = Patch(facecolor=RULE, alpha=0.6, label="noise")
    return [Line2D([], [], label="RMSE", **RMSE), Line2D([], [], label="size", **SIZE), band]


def _panel(axes: Axes, curve: Curves) -> None:
    at, rmse, error = place(curve.steps), curve.rmse.numpy(), curve.rmse_error.numpy()
    if not curve.declared or not np.isfinite(rmse).any():
        axes.text(0.5, 0.5, "no error was measured", transform=axes.transAxes, ha="center", color=INK)
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        size = rmse / curve.relative.numpy()
    noise = AT_NOISE * curve.noise_floor.numpy()
    largest = float(np.nanmax(np.concatenate([rmse, size[np.isfinite(size)], noise])))
    if largest <= 0:
        axes.text(0.5, 0.5, "zero", transform=axes.transAxes, ha="center", color=FAINT, fontsize=SMALL)
        axes.set_yticks([])
        return
    least = largest * FAINTEST
    axes.set_yscale("log")
    wide = np.concatenate([at[:1] - ALONE, at, at[-1:] + ALONE])
    axes.fill_between(wide, np.maximum(np.pad(noise, 1, mode="edge"), least), least, color=RULE, alpha=0.6, linewidth=0)
    axes.plot(at, size, **SIZE, zorder=4)
    low, high = np.maximum(rmse - error, least), rmse + error
    axes.fill_between(at, low, high, color=PROPER, alpha=0.2, linewidth=0)
    axes.plot(at, np.maximum(rmse, least), **RMSE, zorder=3)
    seen = np.concatenate([rmse, size[np.isfinite(size)], noise[noise > 0]])
    seen = seen[seen > least]
    bottom = float(seen.min()) if seen.size else least
    axes.set_ylim(bottom / 2, max(largest, bottom) * 2)
    decades(axes, "y")
