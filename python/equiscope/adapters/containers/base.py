"""What the data of a plain model are made of: one class per type that holds tensors, found in a registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

C = TypeVar("C", bound="type[Container]")


class Container(ABC):
    """A type whose tensors an audit can take out, turn, and put back.

    Nested tuples, lists and dicts are opened by themselves. To add another type, register a subclass: data, what models
    return and what hidden layers return are then opened by it. Nothing is imported that is not there: an object of an
    optional package can exist only where that was imported, so look at the names of its class.
    """

    words: ClassVar[str]
    """The type in words, for the settings of a report."""
    batching: ClassVar[str] = "stack"
    """How copies are batched where the user does not say: "stack", "loop", or "collate" where `collate` is given."""
    bookkeeping: ClassVar[tuple[str, ...]] = ()
    """Names that its batches have beside those of a single one: a model's parameter of that name says nothing."""

    inputs: ClassVar[Mapping[str, str]] = {}
    """Representations of parts that are the same for every object of the type, where it has them."""

    @classmethod
    @abstractmethod
    def serves(cls, item: Any) -> bool:
        """Whether `item` is of this type."""

    @classmethod
    @abstractmethod
    def parts(cls, item: Any) -> Mapping[str, Any]:
        """What is in it, by name: tensors, containers, and constants of any type."""

    @classmethod
    @abstractmethod
    def rebuilt(cls, item: Any, parts: Mapping[str, Any]) -> Any:
        """A new object like `item` with these parts; nothing that could be written into is shared with `item`."""

    @classmethod
    def collate(cls, items: Sequence[Any]) -> Any:
        """What a model is given for a list of them, where the type has a batch of its own."""
        raise NotImplementedError(f"{cls.__name__}.collate")

    @classmethod
    def rows(cls, item: Any) -> int | None:
        """How many rows (atoms, nodes, points) it has, where the type says so."""
        return None

    @classmethod
    def apart(cls, item: Any) -> Sequence[Any] | None:
        """The systems in `item`, where it is a batch of several."""
        return None


def named(item: Any, *names: str) -> bool:
    """Whether a class of `item` is called ``module.Class`` as one of `names`, the module with everything below it."""
    for cls in type(item).__mro__:
        for name in names:
            module, _, own = name.rpartition(".")
            if cls.__name__ == own and (cls.__module__ == module or cls.__module__.startswith(f"{module}.")):
                return True
    return False


_containers: list[type[Container]] = []


def register(container: C) -> C:
    """Class decorator: objects of this type are opened."""
    if container not in _containers:
        _containers.append(container)
    return container


CLOSED = (torch.Tensor, np.ndarray, str, bytes, bool, int, float, complex, type(None), dict, list)
"""What is never asked about: leaves and torch's own containers."""


def container_of(item: Any) -> type[Container] | None:
    """The last registered type that serves `item`."""
    if type(item) in CLOSED:
        return None
    for container in reversed(_containers):
        if container.serves(item):
            return container
    return None
