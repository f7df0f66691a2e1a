"""The system with the largest error: as given, at its worst rotation, and the error over the sphere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from ...errors import ArgumentError, fail
from ...result.data import AuditData, Output
from ...result.scene import Scene
from ..format import broken, number, quantity, shortened
from ..globe import draw_globe, half_width
from ..molecule import ARROW, Figurine
from ..orientation import describe
from ..palette import FAINT, INK, MAP, SIZE, SMALL
from ..sheet import Sheet
from ..style import plain
from ..view import Picture, register

Place: TypeAlias = tuple[float, float, float, float]

SHOWN = 4
"""Outputs that are drawn where none are named, those with the largest relative errors."""


class Arrangement(NamedTuple):
    """Where the panels of a row lie, in inches: left, bottom, width, height."""

    width: float
    height: float
    poses: tuple[Place, Place]
    globe: Place
    bars: tuple[Place, Place]
    """Scales of colours, beside the second pose and the globe."""
    narrow: bool = False
    """Whether what is written has two lines where it has one elsewhere."""


SIDE_BY_SIDE = Arrangement(
    7.2,
    2.45,
    ((0.12, 0.2, 1.75, 1.75), (2.0, 0.2, 1.75, 1.75)),
    (4.45, 0.42, 2.1, 1.3),
    ((3.72, 0.6, 0.08, 0.9), (6.6, 0.6, 0.08, 0.9)),
)
ONE_BELOW = Arrangement(
    3.4,
    3.95,
    ((0.05, 2.0, 1.35, 1.45), (1.5, 2.0, 1.35, 1.45)),
    (0.35, 0.15, 2.3, 1.35),
    ((2.85, 2.25, 0.08, 0.9), (2.75, 0.3, 0.08, 0.9)),
    narrow=True,
)
"""In a column of a journal."""

LETTERS = 44
"""On one line over a panel; a name has two that are half as long."""

SYSTEM = 18
"""Letters of the name of a system, which stands beside what is over the next panel."""

UNIT = 9
"""Letters on a line of a unit over a scale of colours."""


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

    def draw(self, audit: AuditData, sheet: Sheet, names: Sequence[str] | None = None) -> None:
        shown = _seen(audit)[:SHOWN] if names is None else [o for o in _seen(audit) if o.name in names]
        if not shown:
            seen = ", ".join(output.name for output in _seen(audit))
            fail(ArgumentError, "names", f"outputs with an error above noise ({seen})", repr(list(names or ())))
        narrow = sheet.wide(SIDE_BY_SIDE.width) < 0.75 * SIDE_BY_SIDE.width
        arrangement = ONE_BELOW if narrow else SIDE_BY_SIDE
        figure = sheet.bare(width=arrangement.width, height=arrangement.height * len(shown))
        for i, output in enumerate(shown):
            assert output.scene is not None
            _Row(figure, arrangement, i, len(shown)).draw(output, output.scene)


def _seen(audit: AuditData) -> list[Output]:
    """The outputs that can be drawn, the largest relative error first."""
    found = [output for output in audit.outputs.values() if output.scene is not None and output.verdict.is_broken]
    return sorted(found, key=lambda output: -output.relative)


class _Row:
    """The row of one output, one of `count` in the figure."""

    def __init__(self, figure: Figure | SubFigure, arrangement: Arrangement, row: int, count: int) -> None:
        self._figure, self._in, self._row, self._count = figure, arrangement, row, count

    def _axes(self, place: Place) -> Axes:
        # everything has its place, which takes a third of the time that finding it does
        left, bottom, width, height = place
        below = (self._count - 1 - self._row) * self._in.height
        wide, tall = self._in.width, self._in.height * self._count
        box = (left / wide, (below + bottom) / tall, width / wide, height / tall)
        return self._figure.add_axes(box)

    def draw(self, output: Output, scene: Scene) -> None:
        figurine = Figurine(scene)
        errors = [(scene.given - scene.mean).numpy(), (scene.found - scene.expected).numpy()]
        vectors = output.representation in ("vector", "pseudovector") and scene.found.shape[1:] == (1, 3)
        each = len(scene.found) == len(scene.positions)
        longest = max(float(np.linalg.norm(e[:, 0], axis=1).max()) for e in errors) if vectors else 0.0
        scale = None
        if each and not vectors:
            scale = Normalize(0.0, max(*(float(_per_row(e).max()) for e in errors), 1e-300))
        for i, (place, pose) in enumerate(zip(self._in.poses, (figurine.given, figurine.turned), strict=True)):
            axes, colours = self._axes(place), figurine.colours()
            if scale is not None:
                colours = [to_hex(colormaps[MAP](scale(value))) for value in _per_row(errors[i])]
            figurine.draw_cell(axes, turned=i == 1)
            figurine.draw(axes, pose, colours)
            if vectors and len(scene.found) in (1, len(pose)):
                starts = pose if each else np.zeros((1, 3))
                figurine.arrows(axes, starts, errors[i][:, 0] * (ARROW * figurine.extent / max(longest, 1e-300)))
            turned = describe(scene.rotation).replace(", then", ",\nthen" if self._in.narrow else ", then")
            _title(axes, output if i == 0 else None, "as given" if i == 0 else turned, scene)
            _below(axes, self._in.narrow, output, errors[i], vectors=vectors, several=each and len(scene.found) > 1)
        if scale is not None:
            self._bar(self._in.bars[0], ScalarMappable(scale, MAP), output, "error")
        self._bar(self._in.bars[1], draw_globe(self._axes(self._in.globe), scene), output, "RMSE")

    def _bar(self, place: Place, colours: ScalarMappable, output: Output, what: str) -> None:
        axes = self._axes(place)
        bar = self._figure.colorbar(colours, cax=axes)
        bar.outline.set_visible(False)
        axes.tick_params(labelsize=SMALL - 0.5, colors=INK, width=0.5, length=2)
        unit = plain(broken(shortened(output.unit, 2 * UNIT), UNIT)) if output.unit else ""
        head = f"{what} /\n{unit}" if unit else what
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
        head = plain(broken(shortened(output.name, 2 * LETTERS // 3), LETTERS // 2))
        axes.set_title(f"{head}\n", fontsize=SIZE, color=INK, loc="left", fontweight="bold", pad=2)
        name = f"system {scene.system}" if scene.system.isdecimal() else scene.system
        lines = f"{plain(shortened(name, SYSTEM))}, {lines}"
    axes.text(0.0, 1.0, lines, transform=axes.transAxes, ha="left", va="bottom", fontsize=SMALL, color=FAINT)


def _below(axes: Axes, narrow: bool, output: Output, error: np.ndarray, *, vectors: bool, several: bool) -> None:
    if vectors:
        lengths = np.linalg.norm(error[:, 0], axis=1)
        what, value = "longest arrow" if several else "arrow", float(lengths.max())
    elif error.size == 1:
        what, value = "error", float(error.reshape(()))
    else:
        what, value = "RMS error", float(np.sqrt(np.square(error).mean()))
    text = f"{what}{chr(10) if narrow else ' '}{quantity(output, value)}"
    axes.text(0.5, 0.0, text, transform=axes.transAxes, ha="center", va="top", fontsize=SMALL, color=INK)
