"""Labelled data: what the outputs of a model ought to be, of each system, in the layout of the values that it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import ArgumentError, DataError, DTypeError, ShapeError, fail
from .base import Adapter, System
from .containers import container_of
from .keywords import holds_structures
from .structures import read_structures

WANTED = "the key of the labels in each system, or the labels themselves: one per system in order, or a dict by name"


class Labels:
    """The labels of a data set, by output.

    `targets`: by output the name under which each system holds its label, or the labels, in the order of the systems or
    by their names. A label lies in the data as the output would: it transforms exactly, by the declared
    representation. Where systems are dicts the key is taken out of them, so that the model does not see it.
    """

    def __init__(self, targets: Mapping[str, Any] | None, data: Any) -> None:
        if targets is not None and not isinstance(targets, Mapping):
            fail(DTypeError, "targets", f"a dict from output to {WANTED}", type(targets).__name__)
        self._keys = {name: own for name, own in (targets or {}).items() if isinstance(own, str)}
        self._given = {name: own for name, own in (targets or {}).items() if not isinstance(own, str)}
        for name, own in self._given.items():
            if not isinstance(own, Mapping | Sequence | torch.Tensor | np.ndarray):
                fail(DTypeError, f"targets[{name!r}]", WANTED, type(own).__name__)
        self._places: dict[str, int] = {}
        self._found: dict[str, dict[str, Any]] = {}
        if self._keys and holds_structures(data):
            for structure in read_structures(data):
                self._found[structure.name] = {key: structure.named(key) for key in self.keys}

    def __bool__(self) -> bool:
        return bool(self._keys or self._given)

    @property
    def given(self) -> list[Any]:
        """The names of labels in systems, and labels that are not there."""
        return [self._keys, self._given]

    @property
    def keys(self) -> frozenset[str]:
        """What systems hold their labels under."""
        return frozenset(self._keys.values())

    @property
    def outputs(self) -> tuple[str, ...]:
        """What there are labels of."""
        return (*self._keys, *self._given)

    def check(self, adapter: Adapter) -> None:
        """Refuse labels of what is no output, and more or fewer than there are systems."""
        if unknown := [name for name in self.outputs if name not in adapter.outputs]:
            expected = f"names of declared outputs ({', '.join(adapter.outputs) or 'none'})"
            fail(ArgumentError, "targets", expected, ", ".join(map(repr, unknown)))
        for name, own in self._given.items():
            if not isinstance(own, Mapping) and adapter.count is not None and len(own) != adapter.count:
                fail(DataError, f"targets[{name!r}]", f"{adapter.count} labels, one per system", len(own))

    def taken(self, system: str, item: Any) -> Any:
        """`item`, a system as it was given, without its labels, which are remembered."""
        if not self._keys or system in self._found:
            return item
        container = container_of(item)
        parts = item if isinstance(item, Mapping) else container.parts(item) if container is not None else {}
        for name, key in self._keys.items():
            if key not in parts:
                held = ", ".join(map(str, parts)) or "no names"
                fail(ArgumentError, f"targets[{name!r}]", f"a key of every system ({system!r} has {held})", repr(key))
        self._found[system] = {key: parts[key] for key in self.keys}
        return {key: part for key, part in item.items() if key not in self.keys} if isinstance(item, dict) else item

    def content(self, system: str) -> dict[str, Any]:
        """What a system holds under its keys, as it was given."""
        return self._found.get(system, {})

    def place(self, system: str) -> int:
        """Which one it is, in the order of the data."""
        return self._places[system]

    def counted(self, systems: Iterator[System]) -> Iterator[System]:
        """The same systems, whose order is noted."""
        for system in systems:
            self._places.setdefault(system.name, len(self._places))
            yield system

    def of(self, system: System, adapter: Adapter, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Labels of one system by output, float64 ``(samples, channels, components)`` like `values`, its outputs."""
        found = {}
        for name in self.outputs:
            if name in values:
                label = self._canonical(name, system, adapter, values[name])
                found[name] = adapter.in_frame(name, system, label.to(values[name].device))
        return found

    def _canonical(self, name: str, system: System, adapter: Adapter, value: torch.Tensor) -> torch.Tensor:
        where, kind = f"targets[{name!r}] of {system.name!r}", adapter.outputs[name]
        label = self._label(where, name, system.name)
        if not bool(label.isfinite().all()):
            fail(DataError, where, "finite numbers", "NaN or infinity")
        kind.check(tuple(label.shape), where)
        flat = kind.flatten(label)
        rows = value.shape[0] * value.shape[1]
        mask = adapter.mask(name, system)
        if flat[..., 0].numel() != rows and mask is not None and flat.shape[: mask.ndim] == mask.shape:
            flat = flat[mask.to(flat.device)]
        if flat[..., 0].numel() != rows:
            expected = f"{rows} of {kind.name!r}, as many as the model gives"
            fail(ShapeError, where, expected, f"shape {tuple(label.shape)}")
        kind.check_values(flat, where)
        return flat.reshape(value.shape)

    def _label(self, where: str, name: str, system: str) -> torch.Tensor:
        if name in self._keys:
            found = self._found.get(system, {}).get(self._keys[name])
        else:
            own = self._given[name]
            place: Any = system if isinstance(own, Mapping) else self._places[system]
            found = own[place] if (isinstance(own, Mapping) and place in own) or _holds(own, place) else None
        if found is None:
            fail(DataError, where, "a label", "none")
        array = found.detach().cpu() if isinstance(found, torch.Tensor) else np.asarray(found)
        if not isinstance(array, torch.Tensor) and array.dtype.kind not in "biuf":
            fail(DTypeError, where, "numbers", array.dtype)
        return torch.as_tensor(array).to(torch.float64)


def _holds(labels: Any, place: Any) -> bool:
    return isinstance(place, int) and place < len(labels)
