"""Tables, pictures, pages and files of an audit. Knows no model and no kernel.

Only the data classes are imported at once; the rest is imported at first use, since matplotlib takes its
time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..result.data import Audit, Failure, Output, Part, Spectrum, SystemRow, Worst

_LATER = {
    "KINDS": "plots",
    "check_writable": ".result.place",
    "findings": "findings",
    "load": ".result.files",
    "plot": "plots",
    "save": ".result.files",
    "systems_to_pandas": "frames",
    "to_html": "html",
    "to_pandas": "frames",
    "to_rich": "table",
    "to_text": "table",
    "to_xarray": "frames",
}

__all__ = ["Audit", "Failure", "Output", "Part", "Spectrum", "SystemRow", "Worst", *_LATER]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
