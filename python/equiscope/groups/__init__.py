"""Groups, their irreps and grids, and the representations of O(3) that tensors are declared to carry.

No kernel and no operator: what a group is, not how fast it acts. The groups are imported at first use, with torch;
irreps, representations and the rings of grids are read without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .group import Chart, Decomposition, ElementGrid, Grid, Group, Isotypic, Label
    from .o3 import O3, SO3
    from .so2 import O2, SO2

_LATER = {
    "Chart": "group",
    "Decomposition": "group",
    "ElementGrid": "group",
    "Grid": "group",
    "Group": "group",
    "Isotypic": "group",
    "Label": "group",
    "O2": "so2",
    "O3": "o3",
    "SO2": "so2",
    "SO3": "o3",
}

__all__ = ["O2", "O3", "SO2", "SO3", "Chart", "Decomposition", "ElementGrid", "Grid", "Group", "Isotypic", "Label"]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
