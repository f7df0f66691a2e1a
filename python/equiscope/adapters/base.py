"""What the audit asks of a model and its data, whatever they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from ..groups.representation import Representation

CPU = torch.device("cpu")


@dataclass(frozen=True)
class System:
    """One input of the model, not rotated. `payload` belongs to the adapter that made it."""

    name: str
    payload: Any
    rows: int
    """Size of one copy in rows (atoms, points, constituents): what batches are filled by."""
    nbytes: int
    """Size of the tensors of one copy, in bytes."""
    device: torch.device = CPU
    """Where its tensors lie, and the rotations that are made for it."""


@dataclass(frozen=True)
class Piece:
    """Some rotated copies of one system: a part of a batch."""

    system: System
    rotations: torch.Tensor
    """``(copies, 3, 3)`` float64, elements of O(3)."""


@dataclass(frozen=True)
class Request:
    """What an audit asks of a model and its data."""

    inputs: Mapping[str, Any] | str | None = None
    outputs: Mapping[str, Any] | Sequence[str] | str | None = None
    layers: Sequence[str] = ()
    batching: Any = None
    basis: str = "standard"
    layout: str = "mul_ir"
    dtype: torch.dtype | None = None
    device: torch.device | str | None = None


class Adapter(ABC):
    """A model together with its data: makes rotated copies, calls the model, hands back canonical values."""

    inputs: Mapping[str, Representation] = MappingProxyType({})
    """How each declared input transforms."""
    outputs: Mapping[str, Representation]
    """How each declared output transforms."""
    features: Sequence[str] = ()
    """Names of model outputs that are audited as layers: no representation, spectrum only."""
    count: int | None = None
    """Number of systems, where it is known beforehand."""
    module: torch.nn.Module | None = None
    """Where hidden modules can be hooked; None for a plain callable."""
    description: dict[str, str]
    """For the report: `model` and `data`, and what else the settings should say; read at the end of an audit."""
    calls_per_copy: bool = False
    """True where the model is called once per copy instead of once per batch."""
    unhookable_reason: str | None = None
    """Why a module pattern cannot be met, where the adapter knows better than the audit."""
    available_features: Sequence[str] = ()
    """Outputs that could be asked for as layers."""
    model_seconds: float = 0.0
    """Wall time spent inside the model so far."""

    @abstractmethod
    def systems(self) -> Iterator[System]:
        """The systems in order, checked one by one; may be a stream."""

    @abstractmethod
    def compatible(self, first: System, other: System) -> bool:
        """Whether copies of the two systems may share one batch."""

    @abstractmethod
    def forward(self, pieces: Sequence[Piece]) -> Mapping[str, list[torch.Tensor]]:
        """Evaluate all copies of `pieces` in one call of the model.

        For every name in `outputs` and `features` one tensor per piece, ``(copies, samples, channels, components)``
        (components = 1 for features), detached, in the model's dtype and on its device.
        """

    @abstractmethod
    def native_mean(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        """`mean` ``(samples, channels, components)`` of one system, brought to the model's own layout."""

    def hooked(self) -> None:  # noqa: B027
        """Hidden modules are listened to: copies must lie one after the other in every tensor."""

    def forget(self, system: System) -> None:  # noqa: B027 (most adapters keep nothing)
        """A system is finished: drop what was kept for it."""
