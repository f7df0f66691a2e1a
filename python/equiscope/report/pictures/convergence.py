"""What the degree of the rotation grid does to the numbers: errors of the outputs, and the change at each
step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator

from ...result.data import AuditData
from ..format import broken
from ..palette import FAINT, INK, MARKERS, SERIES, SMALL
from ..sheet import Sheet
from ..style import decades, finish, legend, plain
from ..view import Picture, register

LINES = 12
"""Outputs drawn; a figure with more is not read."""

WIDE, LEAST = 6.6, 2.4
"""Inches of two panels side by side, and of one of them at least."""

LEAST_SPAN = 0.05
"""Least half-height of the ratio's axis, so that a change of a thousandth looks like one."""


@register
class Convergence(Picture):
    """Left, the RMSE of each output over its final value; right, the largest relative change at each step.
    Outputs without an error above noise are left out: the ratio of two noises says nothing."""

    name, order = "convergence", 4

    def caption(self, audit: AuditData) -> str:
        return "What a finer grid of rotations changes, on the systems that the degree was chosen with."

    def lacks(self, audit: AuditData) -> tuple[str, str] | None:
        found = len([step for step in audit.convergence if step.get("degree") is not None])
        if audit.sampled:
            return "a grid of rotations", "random ones"
        return None if found >= 2 else ('at least two degrees (degree="auto")', f"{found} in audit.convergence")

    def draw(self, audit: AuditData, sheet: Sheet, names: Sequence[str] | None = None) -> None:
        degrees = [step["degree"] for step in audit.convergence]
        judged = [name for name, output in audit.outputs.items() if output.verdict.is_broken]
        ratios = {name: values for name in judged if (values := _ratios(audit.convergence, name))}
        count = 2 if ratios else 1
        columns = count if sheet.wide(WIDE) >= LEAST * count else 1
        rows = count // columns
        panels = sheet.panels(rows, columns, width=WIDE if ratios else 3.6, height=2.7 * rows).flat
        if ratios:
            _errors(panels[0], degrees, dict(list(ratios.items())[:LINES]))
        _changes(panels[-1], degrees, audit)


def _changes(axes: Axes, degrees: list[int], audit: AuditData) -> None:
    axes.plot(
        degrees,
        [_number(step.get("change")) for step in audit.convergence],
        color=INK,
        marker="o",
        markersize=4,
        linewidth=1.2,
    )
    tolerance = _number(audit.settings.get("tolerance"))
    if math.isfinite(tolerance):
        axes.axhline(tolerance, color=FAINT, linestyle=(0, (2, 2)), linewidth=1.0, label="tolerance")
        legend(axes, loc="upper right")
    finish(
        axes,
        grid="y",
        title="largest change of all numbers",
        xlabel="degree of the grid",
        ylabel="relative to the step before",
    )
    _log(axes)
    _degrees(axes, degrees)


def _errors(axes: Axes, degrees: list[int], ratios: dict[str, list[float]]) -> None:
    for i, (name, values) in enumerate(ratios.items()):
        marker = MARKERS[(i // len(SERIES) + i) % len(MARKERS)]
        axes.plot(
            degrees,
            values,
            color=SERIES[i % len(SERIES)],
            marker=marker,
            markersize=4,
            linewidth=1.2,
            label=plain(broken(name, 24)),
        )
    finish(axes, grid="y", title="error of the outputs", xlabel="degree of the grid", ylabel="RMSE / final RMSE")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 1 - LEAST_SPAN), max(high, 1 + LEAST_SPAN))
    _degrees(axes, degrees)
    legend(axes, loc="best")


def _ratios(steps: list[dict[str, Any]], name: str) -> list[float]:
    """RMSE at each degree over that at the last; empty where the last is no positive number."""
    variances = [_number(step.get("variance", {}).get(name)) for step in steps]
    if not math.isfinite(variances[-1]):
        return []
    return [math.sqrt(variance / variances[-1]) for variance in variances]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else math.nan


def _log(axes: Axes) -> None:
    """A logarithmic axis of at least three decades, so that a flat line looks flat."""
    values = [
        v
        for line in axes.get_lines()
        for v in np.asarray(line.get_ydata(), dtype=float).tolist()
        if math.isfinite(v) and v > 0
    ]
    axes.set_yscale("log")
    decades(axes, "y")
    if values:
        low, high = math.log10(min(values)), math.log10(max(values))
        pad = max(0.15, (3 - (high - low)) / 2)
        axes.set_ylim(10 ** (low - pad), 10 ** (high + pad))


def _degrees(axes: Axes, degrees: list[int]) -> None:
    axes.xaxis.set_major_locator(FixedLocator(degrees))
    axes.tick_params(axis="x", labelsize=SMALL)
    span = max(degrees) - min(degrees) or 1
    axes.set_xlim(min(degrees) - 0.08 * span, max(degrees) + 0.08 * span)
