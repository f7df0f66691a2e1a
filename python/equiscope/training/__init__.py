"""Symmetry over training: a tracker that audits a held-out set now and then, and the history that it keeps.

::

    tracker = SymmetryTracker(data, inputs={"positions": "vector"}, outputs={"energy": "scalar"}, out="history/")
    for n in range(steps):
        tracker.step(model, n)
        ...                                  # the step from n to n + 1
    tracker.finish(model, steps).plot("errors")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import Curves, Failed, HistoryData, Point
    from .history import History
    from .tracker import SymmetryTracker
    from .view import HistoryPicture, register

_LATER = {
    "Curves": "data",
    "Failed": "data",
    "History": "history",
    "HistoryData": "data",
    "HistoryPicture": "view",
    "Point": "data",
    "SymmetryTracker": "tracker",
    "register": "view",
}
"""Imported at first use: files and their checksums take their time."""

__all__ = ["Curves", "Failed", "History", "HistoryData", "HistoryPicture", "Point", "SymmetryTracker", "register"]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
