"""Graphs of PyTorch Geometric, which has its own collation: offsets of indices are its own work.

Packages carry copies of it inside them (MACE does, of an old version): theirs is used for what is theirs.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import DataError, fail
from .base import Container, named, register
from .caches import cached, without_caches
from .objects import HOLDS

LIBRARY = "torch_geometric"


@register
class Graphs(Container):
    """A ``torch_geometric.data.Data``; a ``Batch`` of them is taken apart."""

    words = "PyG Data"
    batching = "collate"
    bookkeeping = ("batch", "ptr")

    @classmethod
    def serves(cls, item: Any) -> bool:
        return _library(item) is not None

    @classmethod
    def parts(cls, item: Any) -> Mapping[str, Any]:
        if named(item, "torch_geometric.HeteroData", "torch_geometric.TemporalData"):
            expected = "graphs of one kind of node (torch_geometric.data.Data; `hetero.to_homogeneous()` makes one)"
            fail(DataError, "data", expected, type(item).__name__)
        parts = dict(item.to_dict())
        held = {**vars(item), **vars(getattr(item, "_store", item))}
        known = {*parts, *cached(item)}
        if hidden := [name for name, value in held.items() if isinstance(value, HOLDS) and name not in known]:
            expected = "graphs whose tensors are all among their keys, without a leading underscore"
            fail(DataError, "data", expected, ", ".join(hidden))
        return parts

    @classmethod
    def rebuilt(cls, item: Any, parts: Mapping[str, Any]) -> Any:
        # shallow: a class of one's own keeps what it says of offsets
        made = without_caches(copy.copy(item))
        for name, value in parts.items():
            made[name] = value
        return made

    @classmethod
    def collate(cls, items: Sequence[Any]) -> Any:
        return _batch_type(items[0]).from_data_list(list(items))

    @classmethod
    def rows(cls, item: Any) -> int | None:
        nodes: int | None = item.num_nodes
        return nodes

    @classmethod
    def apart(cls, item: Any) -> Sequence[Any] | None:
        if not isinstance(item, _batch_type(item)):
            return None
        graphs: list[Any] = item.to_data_list()
        return graphs


def _library(item: Any) -> str | None:
    """The name of the PyTorch Geometric that a graph is of, that of a copy or "torch_geometric"; None: no graph."""
    for cls in type(item).__mro__:
        path = cls.__module__.split(".")
        if cls.__name__ in ("BaseData", "Data") and LIBRARY in path:
            return ".".join(path[: path.index(LIBRARY) + 1])
    return None


def _batch_type(item: Any) -> Any:
    """The class of batches of that library."""
    library = _library(item)
    return next(
        module.Batch
        for module in (sys.modules.get(f"{library}.data"), sys.modules.get(f"{library}"))
        if module is not None and hasattr(module, "Batch")
    )
