"""Labels beside the rows of a heat map of layers and outputs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation, Transform

from .names import Names, Shown
from .palette import FAINT, INK, SMALL, Options
from .render import hover
from .style import fitted, plain, text_width

BLOCKS = 0.45
"""Share of the room that the names of blocks may take."""

GAP, BRACKET = 0.06, 0.1
"""Inches between a label and what is right of it, and from the labels of the modules of a block to its bracket."""

LINE = 0.085
"""Inches from one label to the next, at least."""


class RowLabels:
    """The labels of rows: layers, in blocks, then outputs, in bold. What is too low to be labelled is not, blocks last;
    the whole name is on the page where the pointer rests on a label.

    room: inches that they may take; None: as many as they need. Longer names have several lines.
    """

    def __init__(
        self, layers: Iterable[str], outputs: Iterable[str], size: float = SMALL, room: float | None = None
    ) -> None:
        self._groups = Names(layers).groups()
        self._outputs = list(outputs)
        self._size = size
        blocks = {block for block, _ in self._groups if block}
        beside = self._widest(blocks) + 2 * GAP + BRACKET if blocks else 0.0
        within = None
        if room is not None:
            beside = min(beside, BLOCKS * room)
            within = room - beside
        self._texts = {
            block: self._fitted(block, None if room is None else beside - 2 * GAP - BRACKET) for block in blocks
        }
        for block, rows in self._groups:
            self._texts |= {row.name: self._fitted(row.inner, within if block else room) for row in rows}
        self._bold = {name: self._fitted(name, room, bold=True) for name in self._outputs}
        shown = [*self._texts.values(), *self._bold.values()]
        self.lines = max((text.count("\n") + 1 for text in shown), default=1)
        """Of the label that has most."""
        alone = [self._texts[row.name] for block, rows in self._groups if not block for row in rows]
        own = max(self._widest(alone), self._widest(self._bold.values(), bold=True))
        self.width = max(own, self._modules() + beside if blocks else 0.0)
        """Inches that they take."""

    def draw(self, axes: Axes, places: Sequence[float], height: float) -> None:
        """Beside the rows at `places`, in data coordinates of `axes`, each `height` inches high."""
        axes.set_yticks([])
        free = _Free(LINE * self.lines / height)
        at = iter(places)
        groups = [(block, list(zip(rows, at, strict=False))) for block, rows in self._groups]
        size = min(self._size, 72 * max(height / self.lines, LINE) * 0.8)
        for name, place in zip(self._outputs, list(places)[len(places) - len(self._outputs) :], strict=True):
            if free.takes(place):
                self._label(axes, self._bold[name], name, place, size, color=INK, fontweight="bold")
        each = height >= LINE * self.lines
        for block, rows in groups:
            if block:
                self._block(axes, block, rows, _Free(0.0) if each else free, size, each)
        for row, place in itertools.chain.from_iterable(rows for block, rows in groups if each or not block):
            if free.takes(place):
                self._label(axes, self._texts[row.name], row.name, place, size, color=INK)

    def _block(
        self, axes: Axes, block: str, rows: list[tuple[Shown, float]], free: _Free, size: float, each: bool
    ) -> None:
        """A bracket round the rows of a block, and what it is called."""
        first, last = rows[0][1], rows[-1][1]
        inwards = (self._modules() + 2 * GAP) if each else GAP
        line: Options = {"color": FAINT, "linewidth": 0.6, "clip_on": False}
        axes.plot([0, 0], [first - 0.35, last + 0.35], transform=_beside(axes, inwards), **line)
        if free.takes((first + last) / 2):
            beside = rows[-1][0].name if len(rows) == 1 else f"{rows[0][0].name} to {rows[-1][0].name}"
            self._label(axes, self._texts[block], beside, (first + last) / 2, size, inwards + GAP, color=INK)

    def _label(
        self, axes: Axes, text: str, name: str, place: float, size: float, inwards: float = GAP, **options: str
    ) -> None:
        look: Options = {"ha": "right", "va": "center", "fontsize": size, "linespacing": 0.95, **options}
        hover(axes.text(0, place, text, transform=_beside(axes, inwards), **look), [name])

    def _modules(self) -> float:
        """Inches of the labels within blocks."""
        return self._widest(self._texts[row.name] for block, rows in self._groups if block for row in rows)

    def _fitted(self, text: str, inches: float | None, *, bold: bool = False) -> str:
        return plain(text) if inches is None else fitted(text, inches + 0.01, self._size, bold=bold)

    def _widest(self, texts: Iterable[str], *, bold: bool = False) -> float:
        # the longest few in letters have the widest among them
        longest = sorted(set(texts), key=len)[-5:]
        return max((text_width(text, self._size, bold=bold) for text in longest), default=0.0)


class _Free:
    """Which places of an axis have no label near them yet."""

    def __init__(self, apart: float) -> None:
        self._apart = apart
        self._taken: list[float] = []

    def takes(self, place: float) -> bool:
        """Whether a label at `place` has room; then it is taken."""
        if any(abs(place - other) < self._apart * (1 - 1e-6) for other in self._taken):
            return False
        self._taken.append(place)
        return True


def _beside(axes: Axes, inches: float) -> Transform:
    """Left of the axes by so many inches, at data coordinates."""
    figure = axes.get_figure()
    assert figure is not None
    return axes.get_yaxis_transform() + ScaledTranslation(-inches, 0, figure.dpi_scale_trans)
