"""Objects with attributes, dataclasses among them: the least known type, asked last."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .base import Container, register

HOLDS = (torch.Tensor, np.ndarray)


@register
class Objects(Container):
    """A dataclass, or any other object that has tensors or arrays among its attributes."""

    words = "an object with attributes"

    @classmethod
    def serves(cls, item: Any) -> bool:
        if isinstance(item, (torch.Tensor, torch.nn.Module, type)) or callable(item):
            return False
        return dataclasses.is_dataclass(item) or any(isinstance(value, HOLDS) for value in _attributes(item).values())

    @classmethod
    def parts(cls, item: Any) -> Mapping[str, Any]:
        if dataclasses.is_dataclass(item):
            return {field.name: getattr(item, field.name, None) for field in dataclasses.fields(item)}
        return {name: value for name, value in _attributes(item).items() if not name.startswith("__")}

    @classmethod
    def rebuilt(cls, item: Any, parts: Mapping[str, Any]) -> Any:
        made = copy.copy(item)
        for name, value in parts.items():
            # frozen dataclasses refuse plain assignment
            object.__setattr__(made, name, value)
        return made


def _attributes(item: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(item, "__dict__", {})
    return found
