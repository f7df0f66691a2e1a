"""The system with the largest error: as given, at its worst rotation, and the error over the sphere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...errors import ArgumentError, fail
from ...result.data import AuditData, Output
from ...result.scene import Scene
from ..format import broken, number, quantity
from ..globe import draw_globe, half_width
from ..molecule import ARROW, Figurine
from ..orientation import describe
from ..palette import FAINT, INK, MAP, SIZE, SMALL
from ..style import new_figure, plain
from ..view import Picture, register

SHOWN = 4
"""Outputs that are drawn where none are named, those with the largest relative errors."""

WIDTH, HEIGHT = 7.2, 2.45
"""Inches, of all and of a row."""

PANELS = ((0.12, 0.2, 1.75, 1.75), (2.0, 0.2, 1.75, 1.75))
GLOBE = (4.45, 0.42, 2.1, 1.3)
BARS = ((3.72, 0.6, 0.08, 0.9), (6.6, 0.6, 0.08, 0.9))
"""Where they lie in a row, in inches: left, bottom, width, height; bars of colours beside the second panel and the
globe."""

LETTERS = 44
"""On one line over a panel."""


@register
class Worst(Picture):
    """A row for each output: its worst system as given and turned, with the errors, and a map of the error."""

    name, order, chooses = "worst", 3.5, True

    def caption(self, audit: AuditData) -> str:
        found = _seen(audit)
        scene = found[0].scene if found else None
        axis = "z" if scene is None or bool(scene.axis[2] == 1) else "x"
        width = f"{half_width(scene.degree if scene is not None else 11):.0f}"
        more = f" Of {len(found)} outputs with an error the {SHOWN} with the largest relative ones." * (
            len(found) > SHOWN
        )
        return (
            "The system with the largest error of each output: as given, and turned to where the output is farthest "
            "off. Arrows are the errors of vectors, colours the errors of other values that each point has, and what "
            "belongs to the whole is written. Right: RMSE by the direction to which the "
            f"{axis} axis is turned, averaged over all else and smoothed (half height at {width} degrees); a ring "
            f"marks the worst element. The same numbers are in worst.xyz.{more}"
        )

    def lacks(self, audit: AuditData) -> tuple[str, str] | None:
        if _seen(audit):
            return None
        broken_ones = [output for output in audit.outputs.values() if output.verdict.is_broken]
        if not broken_ones:
            return "an output with an error above noise", "none"
        inputs = audit.settings.get("inputs") or {}
        declared = ", ".join(f"{name}: {kind}" for name, kind in inputs.items()) if isinstance(inputs, dict) else ""
        return (
            "an output whose worst system was kept, as it is where an input holds one vector for each row",
            declared or "none",
        )

    def draw(self, audit: AuditData, names: Sequence[str] | None = None) -> Figure:
        shown = _seen(audit)[:SHOWN] if names is None else [o for o in _seen(audit) if o.name in names]
        if not shown:
            seen = ", ".join(output.name for output in _seen(audit))
            fail(ArgumentError, "names", f"outputs with an error above noise ({seen})", repr(list(names or ())))
        figure = new_figure(WIDTH, HEIGHT * len(shown))
        # everything has its place, which takes a third of the time that finding it does
        figure.set_layout_engine("none")
        for i, output in enumerate(shown):
            assert output.scene is not None
            _Row(figure, HEIGHT * (len(shown) - 1 - i)).draw(output, output.scene)
        return figure


def _seen(audit: AuditData) -> list[Output]:
    """The outputs that can be drawn, the largest relative error first."""
    found = [output for output in audit.outputs.values() if output.scene is not None and output.verdict.is_broken]
    return sorted(found, key=lambda output: -output.relative)


class _Row:
    """The row of one output, `bottom` inches above the lower end of the figure."""

    def __init__(self, figure: Figure, bottom: float) -> None:
        self._figure, self._bottom = figure, bottom

    def _axes(self, place: tuple[float, float, float, float], projection: str | None = None) -> Axes:
        left, bottom, width, height = place
        tall = float(self._figure.get_size_inches()[1])
        box = (left / WIDTH, (self._bottom + bottom) / tall, width / WIDTH, height / tall)
        return self._figure.add_axes(box, projection=projection)

    def draw(self, output: Output, scene: Scene) -> None:
        figurine = Figurine(scene)
        errors = [(scene.given - scene.mean).numpy(), (scene.found - scene.expected).numpy()]
        vectors = output.representation in ("vector", "pseudovector") and scene.found.shape[1:] == (1, 3)
        each = len(scene.found) == len(scene.positions)
        longest = max(float(np.linalg.norm(e[:, 0], axis=1).max()) for e in errors) if vectors else 0.0
        scale = None
        if each and not vectors:
            scale = Normalize(0.0, max(*(float(_per_row(e).max()) for e in errors), 1e-300))
        for i, (place, pose) in enumerate(zip(PANELS, (figurine.given, figurine.turned), strict=True)):
            axes, colours = self._axes(place), figurine.colours()
            if scale is not None:
                colours = [to_hex(colormaps[MAP](scale(value))) for value in _per_row(errors[i])]
            figurine.draw_cell(axes, turned=i == 1)
            figurine.draw(axes, pose, colours)
            if vectors and len(scene.found) in (1, len(pose)):
                starts = pose if each else np.zeros((1, 3))
                figurine.arrows(axes, starts, errors[i][:, 0] * (ARROW * figurine.extent / max(longest, 1e-300)))
            _title(axes, output if i == 0 else None, "as given" if i == 0 else describe(scene.rotation), scene)
            _below(axes, output, errors[i], vectors=vectors, several=each and len(scene.found) > 1)
        if scale is not None:
            self._bar(BARS[0], ScalarMappable(scale, MAP), output, "error")
        self._bar(BARS[1], draw_globe(self._axes(GLOBE, "mollweide"), scene), output, "RMSE")

    def _bar(
        self, place: tuple[float, float, float, float], colours: ScalarMappable, output: Output, what: str
    ) -> None:
        axes = self._axes(place)
        bar = self._figure.colorbar(colours, cax=axes)
        bar.outline.set_visible(False)
        axes.tick_params(labelsize=SMALL - 0.5, colors=INK, width=0.5, length=2)
        head = f"{what}\n/ {plain(output.unit)}" if output.unit else what
        axes.set_title(head, fontsize=SMALL, color=INK, loc="left")
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(lambda value, _: number(value, 2))


def _per_row(error: np.ndarray) -> np.ndarray:
    """Root mean square over channels and components."""
    found: np.ndarray = np.sqrt(np.square(error).mean((1, 2)))
    return found


def _title(axes: Axes, output: Output | None, text: str, scene: Scene) -> None:
    lines = broken(text, LETTERS) if output is not None else text.replace(" about", "\nabout")
    if output is not None:
        head = plain(broken(output.name, LETTERS // 2))
        axes.set_title(f"{head}\n", fontsize=SIZE, color=INK, loc="left", fontweight="bold")
        name = f"system {scene.system}" if scene.system.isdecimal() else scene.system
        lines = f"{plain(broken(name, LETTERS // 2))}, {lines}"
    axes.text(0.0, 1.0, lines, transform=axes.transAxes, ha="left", va="bottom", fontsize=SMALL, color=FAINT)


def _below(axes: Axes, output: Output, error: np.ndarray, *, vectors: bool, several: bool) -> None:
    if vectors:
        lengths = np.linalg.norm(error[:, 0], axis=1)
        text = f"{'longest arrow' if several else 'arrow'}: {quantity(output, float(lengths.max()))}"
    elif error.size == 1:
        text = f"error {quantity(output, float(error.reshape(())))}"
    else:
        text = f"RMS error {quantity(output, float(np.sqrt(np.square(error).mean())))}"
    axes.text(0.5, 0.0, text, transform=axes.transAxes, ha="center", va="top", fontsize=SMALL, color=INK)
