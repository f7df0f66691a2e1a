"""Where a picture is drawn: on a figure of its own, or in a place on the user's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ..errors import ArgumentError, DTypeError, fail
from .palette import DPI, INK, PAPER
from .style import key_columns, legend

if TYPE_CHECKING:
    from matplotlib.artist import Artist

WIDTHS = {"column": 3.4, "page": 7.0}
"""Inches of one column and of two in a journal."""

NARROWEST = 2.0
"""Inches below which a picture in readable letters has no room for its panels."""

PANEL = 1.3
"""Inches that a panel needs beside others."""

AROUND = 0.55
"""Inches left and right of all panels: the labels of values."""

KEY_ROW = 0.15
"""Inches that a further row of keys takes."""


class Sheet:
    """A place for one picture, which asks it for panels once: `panels`, or `axes` for one alone.

    Sizes that a picture names are those of a figure of its own. Where the user says how wide it is, or hands over a
    place, letters keep their size and the picture arranges itself in the inches there are (`wide`, `tall`, `across`).
    """

    def __init__(self, ax: Axes | Figure | SubFigure | None = None, width: float | str | None = None) -> None:
        if ax is not None and width is not None:
            fail(ArgumentError, "width", "None where ax is given, which has a width", repr(width))
        self._place = _checked(ax)
        self._inches = _inches(width)
        self._figure: Figure | SubFigure | None = None

    @property
    def figure(self) -> Figure | SubFigure:
        """What the panels are on; for what belongs to all of them, as a scale of colours does."""
        if self._figure is None:
            fail(ArgumentError, "draw", "a picture that asks its sheet for panels", "one that did not")
        return self._figure

    @property
    def whole(self) -> Figure:
        """The figure that is saved or shown."""
        found = self.figure.get_figure(root=True)
        assert isinstance(found, Figure)
        return found

    @property
    def bounded(self) -> bool:
        """Whether somebody has said how wide the picture is."""
        return self._place is not None or self._inches is not None

    @property
    def free(self) -> bool:
        """Whether the picture has a figure of its own, which may be laid out as it likes."""
        return self._place is None

    def wide(self, wanted: float) -> float:
        """Inches across, where the picture would have `wanted` by itself."""
        if self._place is not None:
            return float(self._place.bbox.width / self._place.get_figure(root=True).dpi)  # type: ignore[union-attr]
        return wanted if self._inches is None else self._inches

    def tall(self, wanted: float) -> float:
        """Inches down."""
        if self._place is None:
            return wanted
        return float(self._place.bbox.height / self._place.get_figure(root=True).dpi)  # type: ignore[union-attr]

    def across(self, panels: int, most: int, *, panel: float = PANEL, beside: float = 0.0) -> int:
        """How many of `panels` stand side by side: at most so many, and as many as have room of `panel` inches each,
        where names take `beside` inches."""
        if self.bounded:
            most = min(most, int((self.wide(0.0) - beside - AROUND) / panel))
        return max(1, min(most, panels))

    def panels(
        self,
        rows: int = 1,
        columns: int = 1,
        *,
        width: float,
        height: float,
        keys: Sequence[Artist] = (),
        **options: Any,
    ) -> np.ndarray:
        """``(rows, columns)`` axes, on a figure of `width` times `height` inches where there is no other place.

        keys: of a legend below all panels, in as many columns as have room; in the user's axes it goes where it covers
        least. options: of `matplotlib.figure.Figure.subplots`. Raises `ArgumentError` for several panels in one axes.
        """
        if isinstance(self._place, Axes):
            if rows * columns > 1:
                expected = f"an empty Figure or SubFigure, since this picture has {rows * columns} panels"
                fail(ArgumentError, "ax", expected, "Axes, which is a place for one")
            found = self._place.get_figure()
            assert found is not None
            self._figure = found
            if keys:
                legend(self._place, keys, loc="best", labelcolor=INK)
            return np.array([[self._place]])
        across = self.wide(width)
        in_row = key_columns([str(key.get_label()) for key in keys], across)
        if self._place is None:
            height += KEY_ROW * max(math.ceil(len(keys) / in_row) - 1, 0)
        self._figure = self._place or new_figure(across, height)
        if keys:
            legend(self._figure, keys, loc="outside lower center", ncols=in_row, columnspacing=1.4, labelcolor=INK)
        grid: np.ndarray = self._figure.subplots(rows, columns, squeeze=False, **options)
        return grid

    def bare(self, *, width: float, height: float) -> Figure | SubFigure:
        """The empty figure itself, for a picture that places its axes by fractions of it: as wide as asked for, or as
        the user said with the same proportions. Raises `ArgumentError` where the place is one axes."""
        if isinstance(self._place, Axes):
            fail(ArgumentError, "ax", "an empty Figure or SubFigure, since this picture has several panels", "Axes")
        wide = self.wide(width)
        self._figure = self._place or new_figure(wide, height * wide / width)
        if isinstance(self._figure, Figure):
            self._figure.set_layout_engine("none")  # it warns of a figure in which it finds nothing to lay out
        return self._figure

    def axes(self, width: float, height: float) -> Axes:
        """The one panel of a picture that has no others."""
        return self.panels(width=width, height=height)[0, 0]  # type: ignore[no-any-return]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that lays its axes out itself."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor=PAPER)
    figure.set_layout_engine("constrained", w_pad=0.05, h_pad=0.05)
    return figure


def _checked(ax: Any) -> Axes | Figure | SubFigure | None:
    if ax is None or isinstance(ax, Axes):
        return ax
    if not isinstance(ax, Figure | SubFigure):
        fail(DTypeError, "ax", "a matplotlib Axes, SubFigure or Figure", type(ax).__name__)
    kind = type(ax).__name__
    if ax.axes or ax.subfigs:
        fail(ArgumentError, "ax", f"an empty {kind}", f"one with {len(ax.axes)} axes")
    if not isinstance(ax.get_figure(root=True).get_layout_engine(), ConstrainedLayoutEngine):
        fail(ArgumentError, "ax", f'a {kind} with room for labels (figure(layout="constrained"))', "another layout")
    return ax


def _inches(width: float | str | None) -> float | None:
    if width is None:
        return None
    if isinstance(width, str):
        if width not in WIDTHS:
            fail(ArgumentError, "width", "inches, " + " or ".join(map(repr, WIDTHS)), repr(width))
        return WIDTHS[width]
    if isinstance(width, bool) or not isinstance(width, int | float):
        fail(DTypeError, "width", "inches, " + " or ".join(map(repr, WIDTHS)), repr(width))
    if not NARROWEST <= width < math.inf:
        fail(ArgumentError, "width", f"{NARROWEST:g} inches or more", width)
    return float(width)
