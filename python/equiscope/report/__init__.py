"""Tables, pictures, pages and files of an audit. Knows no model and no kernel.

Only the classes are imported at once; the rest is imported at first use, since rich, jinja2 and matplotlib take their
time. A picture of one's own is a `Picture` with `register` before it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..result.data import Failure, Output, Part, Spectrum, SystemRow, Worst
from .audit import Audit
from .view import Picture, available, plot, register

_LATER = {
    "check_writable": ".result.place",
    "findings": "statements",
    "save": "files",
    "to_html": "html",
    "to_pandas": "frames",
    "to_rich": "table",
    "to_text": "table",
    "to_xarray": "frames",
}

__all__ = [
    "KINDS",
    "Audit",
    "Failure",
    "Output",
    "Part",
    "Picture",
    "Spectrum",
    "SystemRow",
    "Worst",
    "available",
    "load",
    "plot",
    "register",
    *_LATER,
]

load = Audit.load


def __getattr__(name: str) -> Any:
    if name == "KINDS":
        return import_module(".view", __name__).kinds()
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
