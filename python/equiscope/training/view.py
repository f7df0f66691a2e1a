"""What a picture of a history is. Those in ``pictures/`` are found by being there; another one is registered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from ..errors import ArgumentError, fail
from ..report.view import add_to, import_pictures
from .data import HistoryData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from ..report.sheet import Sheet

PICTURES: dict[str, HistoryPicture] = {}
"""Those registered so far; `pictures` knows all."""


class HistoryPicture(ABC):
    """One kind of picture of a `History`. With `register` before it, it is in `History.plot`, on the page, and among
    the files that `History.save` writes."""

    name: str
    """What `History.plot` calls it, and the stem of its file."""
    order: float
    """Pictures stand in rising order; those that ship with the package have 1, 2, 3."""
    chooses: tuple[str, ...] = ()
    """Which of "names" and "steps" can be chosen."""

    @abstractmethod
    def caption(self, history: HistoryData) -> str:
        """What a reader of the page is told about it."""

    @abstractmethod
    def lacks(self, history: HistoryData) -> tuple[str, str] | None:
        """What the picture needs and what there is in its place; None where it can be drawn."""

    @abstractmethod
    def draw(
        self, history: HistoryData, sheet: Sheet, names: Sequence[str] | None, steps: Sequence[int] | None
    ) -> None:
        """Draw a history that lacks nothing, without pyplot, into the panels that `sheet` gives when it is asked for
        them; `names` and `steps` occur in the history."""


Kind = TypeVar("Kind", bound=type[HistoryPicture])


def register(kind: Kind) -> Kind:
    """Class decorator: make the picture known. A name that another picture has is refused."""
    add_to(PICTURES, kind)
    return kind


def pictures() -> list[HistoryPicture]:
    """All pictures, in the order in which a reader wants them."""
    import_pictures(__name__.rpartition(".")[0])
    return sorted(PICTURES.values(), key=lambda picture: (picture.order, picture.name))


def figures(history: HistoryData) -> dict[str, Figure]:
    """All pictures that the history has numbers for, by name, laid out once for every format they are written in."""
    from ..report.render import settle

    drawn = {each.name: _drawn(each, history) for each in pictures() if each.lacks(history) is None}

    settle(drawn.values())
    return drawn


def _drawn(
    picture: HistoryPicture,
    history: HistoryData,
    names: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    ax: Axes | Figure | SubFigure | None = None,
    width: float | str | None = None,
) -> Figure:
    from ..report.sheet import Sheet

    sheet = Sheet(ax, width)
    picture.draw(history, sheet, names, steps)
    return sheet.whole


def plot(
    history: HistoryData,
    kind: str,
    names: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    ax: Axes | Figure | SubFigure | None = None,
    width: float | str | None = None,
) -> Figure:
    """The figure of `History.plot`."""
    kinds = {picture.name: picture for picture in pictures()}
    if kind not in kinds:
        fail(ArgumentError, "kind", f"one of {', '.join(kinds)}", repr(kind))
    picture = kinds[kind]
    missing = picture.lacks(history)
    if missing is not None:
        needs, found = missing
        fail(ArgumentError, "kind", f"a picture that this history has numbers for, {kind!r} needs {needs}", found)
    for argument, chosen in (("names", names), ("steps", steps)):
        if chosen is not None and argument not in picture.chooses:
            fail(ArgumentError, argument, f"None where kind is {kind!r}", repr(list(chosen)))
    known = [*history.outputs, *history.layers]
    for name in names or ():
        if name not in known:
            fail(ArgumentError, "names", f"names of outputs or layers of this history ({', '.join(known)})", repr(name))
    for step in steps or ():
        history.point(step)
    return _drawn(picture, history, names, steps, ax, width)
