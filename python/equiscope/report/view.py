"""What a picture of an audit is. Pictures are found by registration, so that a new one is one file.

Those in ``pictures/`` are found by being there; another one is registered by whoever imports it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ArgumentError, fail
from ..result.data import AuditData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from .sheet import Sheet

PICTURES: dict[str, Picture] = {}
"""Those registered so far; `pictures` knows all."""


class Picture(ABC):
    """One kind of picture. With `register` before it, it is in `Audit.plot`, on the page, and saved as a file.

    ::

        from equiscope.report import Picture, register
        from equiscope.report.style import finish

        @register
        class Sizes(Picture):
            name, order = "sizes", 5

            def caption(self, audit):
                return "Root mean square of each layer."

            def lacks(self, audit):
                return None if audit.layers else ("a layer", "none")

            def draw(self, audit, sheet, names=None):
                axes = sheet.axes(width=4, height=2)
                axes.plot([layer.pooled_total**0.5 for layer in audit.layers.values()])
                finish(axes, xlabel="layer", ylabel="size")
    """

    name: str
    """What `Audit.plot` calls it, and the stem of its file: lower case, a word."""
    order: float
    """Pictures stand in rising order; those that ship with the package have 1, 2, 2.5, 3, 3.5, 4."""
    chooses: bool = False
    """Whether `draw` takes the names of the outputs and layers to draw."""

    @abstractmethod
    def caption(self, audit: AuditData) -> str:
        """What a reader of the page is told about it."""

    @abstractmethod
    def lacks(self, audit: AuditData) -> tuple[str, str] | None:
        """What the picture needs and what there is in its place; None where it can be drawn."""

    @abstractmethod
    def draw(self, audit: AuditData, sheet: Sheet, names: Sequence[str] | None = None) -> None:
        """Draw an audit that lacks nothing, without pyplot, into the panels that `sheet` gives when it is asked for
        them."""


Kind = TypeVar("Kind", bound=type[Picture])


def register(kind: Kind) -> Kind:
    """Class decorator: make the picture known. A name that another picture has is refused."""
    add_to(PICTURES, kind)
    return kind


def add_to(known: dict[str, Any], kind: Any) -> None:
    """Put a picture among those that are `known` by name; a name that another class has is refused."""
    if not re.fullmatch("[a-z][a-z0-9_]*", kind.name):
        fail(ArgumentError, "name", "a word of lower case letters, digits and underscores", repr(kind.name))
    own = type(known.get(kind.name))
    if kind.name in known and (own.__module__, own.__qualname__) != (kind.__module__, kind.__qualname__):
        fail(ArgumentError, "name", "a name that no picture has", f"{kind.name!r}, which {own.__qualname__} has")
    known[kind.name] = kind()


@functools.cache
def import_pictures(package: str) -> None:
    """Those in ``pictures/`` of a package. Matplotlib comes with them, so they wait for the first question."""
    found = importlib.import_module(f"{package}.pictures")
    for module in pkgutil.iter_modules(found.__path__, f"{found.__name__}."):
        importlib.import_module(module.name)


def pictures() -> list[Picture]:
    """All pictures, in the order in which a reader wants them."""
    import_pictures(__name__.rpartition(".")[0])
    return sorted(PICTURES.values(), key=lambda picture: (picture.order, picture.name))


def kinds() -> tuple[str, ...]:
    """What can be drawn, in the order in which a reader wants it."""
    return tuple(picture.name for picture in pictures())


def available(audit: AuditData) -> list[str]:
    """The kinds that this audit has numbers for."""
    return [picture.name for picture in pictures() if picture.lacks(audit) is None]


def figures(audit: AuditData) -> dict[str, Figure]:
    """All pictures that the audit has numbers for, by name, laid out once for every format they are written in."""
    from .render import settle

    drawn = {kind: plot(audit, kind) for kind in available(audit)}
    settle(drawn.values())
    return drawn


def plot(
    audit: AuditData,
    kind: str,
    names: Sequence[str] | None = None,
    ax: Axes | Figure | SubFigure | None = None,
    width: float | str | None = None,
) -> Figure:
    """The figure of `equiscope.report.Audit.plot`."""
    if not isinstance(kind, str) or kind not in kinds():
        fail(ArgumentError, "kind", f"one of {', '.join(kinds())}", repr(kind))
    picture = PICTURES[kind]
    missing = picture.lacks(audit)
    if missing is not None:
        needs, found = missing
        fail(ArgumentError, "kind", f"a picture that this audit has numbers for, {kind!r} needs {needs}", found)
    if names is not None and not picture.chooses:
        choosing = " or ".join(f'"{each.name}"' for each in pictures() if each.chooses)
        fail(ArgumentError, "names", f"None unless kind is {choosing}", repr(list(names)))
    for name in names or ():
        if name not in audit.outputs and name not in audit.layers:
            why = f" (not measured: {audit.unmeasured[name]})" if name in audit.unmeasured else ""
            fail(ArgumentError, "names", "names of outputs or layers of this audit", f"{name!r}{why}")
    from .sheet import Sheet

    sheet = Sheet(ax, width)
    if names is None:
        picture.draw(audit, sheet)
    else:
        picture.draw(audit, sheet, list(names))
    return sheet.whole
