"""Mappings that are no dicts, TensorDict among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils import _pytree

from .base import Container, named, register


@register
class Mappings(Container):
    """A mapping of another type than those that torch knows, a subclass of dict too."""

    words = "a mapping"

    @classmethod
    def serves(cls, item: Any) -> bool:
        return isinstance(item, Mapping) and type(item) not in _pytree.SUPPORTED_NODES

    @classmethod
    def parts(cls, item: Any) -> Mapping[str, Any]:
        return dict(item)

    @classmethod
    def rebuilt(cls, item: Any, parts: Mapping[str, Any]) -> Any:
        kind: Any = type(item)
        try:
            made = kind(parts)
        except TypeError:
            return dict(parts)
        # a constructor may take something else than items
        return made if list(made) == list(parts) else dict(parts)


@register
class TensorDicts(Container):
    """A TensorDict, whose batch size grows by the axis of copies."""

    words = "a TensorDict"

    @classmethod
    def serves(cls, item: Any) -> bool:
        return named(item, "tensordict.TensorDictBase")

    @classmethod
    def parts(cls, item: Any) -> Mapping[str, Any]:
        return dict(item.items())

    @classmethod
    def rebuilt(cls, item: Any, parts: Mapping[str, Any]) -> Any:
        # the axes that all entries share, as far as `item` had them and those that copies lie along
        known = len(item.batch_size)
        for key, value in item.items():
            if isinstance(value, torch.Tensor):
                known += parts[key].ndim - value.ndim
                break
        first = next(iter(parts.values()))
        return type(item)(dict(parts), batch_size=first.shape[:known])
