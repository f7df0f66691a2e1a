"""The kernels: a `Backend` for each type of device. Nothing else imports the compiled module or takes addresses.

Those of torch are imported at first use: arrays of NumPy go to the compiled module without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..groups.irreps import matrix_count as packed_size
from .module import RotationFaults

if TYPE_CHECKING:
    from .backend import Backend
    from .registry import register, using

_LATER = {"Backend": "backend", "register": "registry", "using": "registry"}

__all__ = ["Backend", "RotationFaults", "packed_size", "register", "using"]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
