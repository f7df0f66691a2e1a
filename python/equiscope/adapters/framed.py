"""Systems that each have an axis of their own: an adapter around another, in whose frames every axis is z."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..errors import ArgumentError, DataError, fail
from ..groups.cartesian import Cartesian
from ..groups.so2 import frame_of
from ..ops.rotation import rotate_copies
from .base import Adapter, Piece, System
from .points import Points


def _of_inner(name: str) -> Any:
    """An attribute that the inner adapter may change in the course of an audit."""
    return property(lambda framed: getattr(framed._inner, name))


class Framed(Adapter):
    """With Q a rotation that takes z to the axis of a system, an element g about z acts on that system as Q g Q^-1, and
    values are brought to its frame by rho(Q)^-1: there they turn by rho(g) where the model is equivariant. Means of
    outputs stay in the frame.
    """

    inputs: Any = _of_inner("inputs")
    outputs: Any = _of_inner("outputs")
    features: Any = _of_inner("features")
    available_features: Any = _of_inner("available_features")
    count: Any = _of_inner("count")
    module: Any = _of_inner("module")
    unhookable_reason: Any = _of_inner("unhookable_reason")
    units: Any = _of_inner("units")
    notes: Any = _of_inner("notes")
    remarks: Any = _of_inner("remarks")
    unrepeatable: Any = _of_inner("unrepeatable")
    description: Any = _of_inner("description")
    calls_per_copy: Any = _of_inner("calls_per_copy")
    model_seconds: Any = _of_inner("model_seconds")

    def __init__(self, inner: Adapter, axis: str) -> None:
        kind = inner.inputs.get(axis)
        if kind is None or not isinstance(kind.alone, Cartesian) or kind.name != "vector":
            declared = ", ".join(f"{name}: {own.name}" for name, own in inner.inputs.items())
            fail(ArgumentError, "group", f"an axis, or the name of an input declared 'vector' ({declared})", repr(axis))
        self._inner, self._axis = inner, axis
        self._frames: dict[str, torch.Tensor] = {}

    def systems(self) -> Iterator[System]:
        for system in self._inner.systems():
            axis = self._inner.value(system, self._axis)
            if axis.numel() != 3 or not 0 < float(axis.norm()) < float("inf"):
                found = f"shape {tuple(axis.shape)}" if axis.numel() != 3 else axis.tolist()
                fail(DataError, f"data[{system.name}].{self._axis}", "one vector that is not 0, the axis", found)
            self._frames[system.name] = frame_of(axis.reshape(3).double()).to(system.device)
            yield system

    def forward(self, pieces: Sequence[Piece]) -> Mapping[str, list[torch.Tensor]]:
        frames = [self._frames[piece.system.name] for piece in pieces]
        turned = [
            replace(piece, rotations=frame @ piece.rotations @ frame.T)
            for piece, frame in zip(pieces, frames, strict=True)
        ]
        outputs = dict(self._inner.forward(turned))
        for name, kind in self.outputs.items():
            if not kind.is_invariant:
                outputs[name] = [self._framed(name, x, frame) for x, frame in zip(outputs[name], frames, strict=True)]
        return outputs

    def _framed(self, name: str, values: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        rows = values.double().reshape(values.shape[0], -1, values.shape[-1])
        frames = frame.to(values.device).expand(values.shape[0], 3, 3)
        return rotate_copies(self.outputs[name], rows, frames, inverse=True).reshape(values.shape).to(values.dtype)

    def in_frame(self, name: str, system: System, values: torch.Tensor) -> torch.Tensor:
        frame = self._frames[system.name]
        return values if self.outputs[name].is_invariant else self._framed(name, values[None], frame)[0]

    def compatible(self, first: System, other: System) -> bool:
        return self._inner.compatible(first, other)

    def native_mean(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        return self._inner.native_mean(name, mean)

    def value(self, system: System, name: str) -> torch.Tensor:
        return self._inner.value(system, name)

    def points(self, system: System) -> Points | None:
        found = self._inner.points(system)
        return None if found is None else found.turned(self._frames[system.name].T.cpu())

    def hooked(self) -> None:
        self._inner.hooked()

    def mask(self, name: str, system: System) -> torch.Tensor | None:
        return self._inner.mask(name, system)

    def longer(self, system: System) -> System | None:
        longer = self._inner.longer(system)
        if longer is not None:
            self._frames[longer.name] = self._frames[system.name]
        return longer

    def is_real(self, system: System, rows: torch.Tensor) -> bool | None:
        return self._inner.is_real(system, rows)

    def displaced(self, system: System) -> tuple[System, System] | None:
        displaced = self._inner.displaced(system)
        for one in displaced or ():
            self._frames[one.name] = self._frames[system.name]
        return displaced

    def unturned(self, system: System) -> Mapping[str, System]:
        others = self._inner.unturned(system)
        for one in others.values():
            self._frames[one.name] = self._frames[system.name]
        return others

    def suspicion(self, system: System) -> str:
        return self._inner.suspicion(system)

    def identity(self) -> Any:
        return self._inner.identity()

    def content(self, system: System) -> Any:
        return self._inner.content(system)

    def forget(self, system: System) -> None:
        self._inner.forget(system)


def in_frames(adapter: Adapter, axis: str | None, layers: Mapping[str, Any]) -> Adapter:
    """`adapter` in the frames of the input `axis`; itself where the group has one axis for all, or none."""
    if axis is None:
        return adapter
    if layers:
        declared = ", ".join(map(repr, layers))
        fail(ArgumentError, "layers", "no representation where each system has an axis of its own", declared)
    return Framed(adapter, axis)
