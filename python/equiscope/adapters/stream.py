"""The systems of a data set one by one, by name: batches that can be taken apart are, others are refused."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import DataError, fail
from .containers import container_of


def each_system(data: Any) -> Iterator[tuple[str, Any]]:
    """Name and system, of pairs ``(name, system)`` or of systems, which are then called by their number."""
    loader = _is_loader(data)
    count = 0
    # a Dataset that is indexed need not end where its iteration does
    for item in data if isinstance(data, Iterable) else (data[index] for index in range(len(data))):
        pair = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
        name, item = item if pair else (None, item)
        container = container_of(item)
        several = container.apart(item) if container is not None else None
        if loader and several is None:
            _refuse_batches(data)
        for index, system in enumerate([item] if several is None else several):
            own = str(count) if name is None else name if several is None else f"{name}@{index}"
            yield own, system
            count += 1


def is_data_set(data: Any) -> bool:
    """Whether `data` yields one system after the other: by itself, or by its numbers as a torch Dataset does."""
    return isinstance(data, Iterable) or (hasattr(data, "__getitem__") and hasattr(data, "__len__"))


def is_one_system(data: Any) -> bool:
    """Whether `data` is a system itself, of a type that says how many rows it has: one PyG `Data`, or a `Batch`."""
    container = container_of(data)
    return container is not None and container.rows(data) is not None


def _is_loader(data: Any) -> bool:
    """Whether `data` is a DataLoader that makes batches."""
    loader = getattr(sys.modules.get("torch.utils.data"), "DataLoader", ())
    return bool(loader) and isinstance(data, loader) and getattr(data, "batch_size", None) is not None


def _refuse_batches(loader: Any) -> None:
    fail(
        DataError,
        "data",
        "systems one by one, without a batch axis (the audit makes its own batches: pass `loader.dataset`)",
        f"a DataLoader of batches of {loader.batch_size}",
    )
