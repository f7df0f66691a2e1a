"""Graphs of PyTorch Geometric, which has its own collation: offsets of indices are its own work."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import DataError, fail
from .base import Container, named, register


@register
class Graphs(Container):
    """A ``torch_geometric.data.Data``; a ``Batch`` of them is taken apart."""

    words = "PyG Data"
    batching = "collate"
    bookkeeping = ("batch", "ptr")

    @classmethod
    def serves(cls, item: Any) -> bool:
        return named(item, "torch_geometric.BaseData")

    @classmethod
    def parts(cls, item: Any) -> Mapping[str, Any]:
        if named(item, "torch_geometric.HeteroData", "torch_geometric.TemporalData"):
            expected = "graphs of one kind of node (torch_geometric.data.Data; `hetero.to_homogeneous()` makes one)"
            fail(DataError, "data", expected, type(item).__name__)
        return dict(item.to_dict())

    @classmethod
    def rebuilt(cls, item: Any, parts: Mapping[str, Any]) -> Any:
        # shallow: a class of one's own keeps what it says of offsets
        made = item.__copy__()
        for name, value in parts.items():
            made[name] = value
        return made

    @classmethod
    def collate(cls, items: Sequence[Any]) -> Any:
        return sys.modules["torch_geometric.data"].Batch.from_data_list(list(items))

    @classmethod
    def rows(cls, item: Any) -> int | None:
        nodes: int | None = item.num_nodes
        return nodes

    @classmethod
    def apart(cls, item: Any) -> Sequence[Any] | None:
        if not named(item, "torch_geometric.data.batch.Batch"):
            return None
        graphs: list[Any] = item.to_data_list()
        return graphs
