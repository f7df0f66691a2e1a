"""What is summed over the orbits of a data set, and sums that do not depend on the order of their terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch

from ..groups.group import Group
from ..groups.representation import Representation
from .summary import OrbitSummary

Tensors = dict[str, torch.Tensor]

Added = Mapping[str, torch.Tensor | float]
"""What one system adds to sums; a number that lies on the host already needs no tensor."""


class Quantity(ABC):
    """Something pooled over systems with their sample counts as weights: a result of plain sums over orbits.

    To add one, give `name`, `of`, `shapes`, `terms` and `result` in a module of `measure/quantities` and `register` it:
    every audit then pools it, and keeps the result in ``Spectrum.quantities[name]``.
    """

    name: ClassVar[str]
    shapes: dict[str, tuple[int, ...]]
    """Of every sum, by name."""

    @classmethod
    @abstractmethod
    def of(cls, group: Group, lmax: int, representation: Representation | None) -> Quantity | None:
        """For an output or layer of that representation; None where it says nothing of such a one."""

    @abstractmethod
    def terms(self, orbit: OrbitSummary) -> Added:
        """What one system adds to the sums."""

    @abstractmethod
    def result(self, sums: Tensors) -> Tensors:
        """The pooled numbers."""

    def zeros(self, device: torch.device | str | None = None) -> Tensors:
        """Float64 states before any system: each sum, and beside it the rounding error it has made so far."""
        return {
            name + suffix: torch.zeros(shape, dtype=torch.float64, device=device)
            for name, shape in self.shapes.items()
            for suffix in ("", "_error")
        }

    def added(self, states: Tensors, orbit: OrbitSummary) -> Tensors:
        """The states after one more system (Knuth's two-sum). Merging replicas is a plain sum of states."""
        after = {}
        for name, term in self.terms(orbit).items():
            total = states[name]
            term = torch.as_tensor(term, dtype=total.dtype, device=total.device)
            new = total + term
            shadow = new - total
            after[name] = new
            after[f"{name}_error"] = states[f"{name}_error"] + ((total - (new - shadow)) + (term - shadow))
        return after

    def pooled(self, states: Tensors) -> Tensors:
        return self.result({name: states[name] + states[f"{name}_error"] for name in self.shapes})


QUANTITIES: dict[str, type[Quantity]] = {}
"""By name, in the order in which their modules are named: what an audit pools of every output and layer."""


def register(kind: type[Quantity]) -> type[Quantity]:
    """Pool `kind` in every audit from now on; a class decorator."""
    QUANTITIES[kind.name] = kind
    return kind
