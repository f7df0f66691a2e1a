"""Objects with attributes, dataclasses among them: the least known type, asked last."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from .base import Container, register
from .caches import cached, without_caches

HOLDS = (torch.Tensor, np.ndarray)


@register
class Objects(Container):
    """A dataclass, or any other object that has tensors or arrays among its attributes.

    All attributes are parts, those of a dataclass beside its fields too: what ``__post_init__`` made of a field turns
    with it only where it is declared. Values of cached properties are no parts: a copy makes its own.
    """

    words = "an object with attributes"

    @classmethod
    def serves(cls, item: Any) -> bool:
        if isinstance(item, (torch.Tensor, torch.nn.Module, type)) or callable(item):
            return False
        return dataclasses.is_dataclass(item) or any(isinstance(value, HOLDS) for value in _attributes(item).values())

    @classmethod
    def parts(cls, item: Any) -> Mapping[str, Any]:
        fields = dataclasses.fields(item) if dataclasses.is_dataclass(item) else ()
        return {field.name: getattr(item, field.name, None) for field in fields} | _attributes(item)

    @classmethod
    def rebuilt(cls, item: Any, parts: Mapping[str, Any]) -> Any:
        made = without_caches(copy.copy(item))
        for name, value in parts.items():
            # frozen dataclasses refuse plain assignment
            object.__setattr__(made, name, value)
        return made


def _attributes(item: Any) -> dict[str, Any]:
    """By name, in ``__dict__`` and in slots; neither those of Python's own nor what is cached."""
    found = {name: getattr(item, name) for name in _slots(type(item)) if hasattr(item, name)}
    found |= getattr(item, "__dict__", {})
    own = set(found) - set(cached(item))
    return {name: value for name, value in found.items() if name in own and not (name[:2] == name[-2:] == "__")}


def _slots(cls: type) -> Iterator[str]:
    """The names under which slots are found, private ones with the class before them."""
    for base in reversed(cls.__mro__):
        slots = vars(base).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            yield f"_{base.__name__.lstrip('_')}{name}" if private else name
