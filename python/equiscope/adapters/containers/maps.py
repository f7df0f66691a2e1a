"""TensorMaps of metatensor: blocks by their keys, spherical ones by o3_lambda and o3_sigma."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...errors import DataError, fail
from .base import Container, named, register

SCRIPTED = "__torch__.torch.classes.metatensor.TensorMap"


@register
class TensorMaps(Container):
    """A TensorMap that a model returns: the values ``(samples, *components, properties)`` of each block.

    Components come before properties, so a spherical block is declared as
    ``Representation.parse("1o", basis="standard", axis=-2)``.
    """

    words = "a TensorMap"

    @classmethod
    def serves(cls, item: Any) -> bool:
        if isinstance(item, torch.ScriptObject):
            return item._type().qualified_name() == SCRIPTED
        return named(item, "metatensor.TensorMap")

    @classmethod
    def parts(cls, item: Any) -> Mapping[str, Any]:
        keys = item.keys
        if list(keys.names) == ["_"] and len(keys) == 1:
            return {"values": item.block(0).values}
        return {
            ",".join(f"{name}={int(value)}" for name, value in zip(keys.names, keys.values[i], strict=True)): (
                item.block(i).values
            )
            for i in range(len(keys))
        }

    @classmethod
    def rebuilt(cls, item: Any, parts: Mapping[str, Any]) -> Any:
        fail(DataError, "data", "tensors in place of a TensorMap, whose labels would not turn", "a TensorMap")
