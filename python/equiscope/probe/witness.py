"""Who sees the values of an audit as they come, beside the moments that it keeps of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch

from ..adapters.base import System
from ..measure.measure import Elements
from ..measure.summary import OrbitSummary

Values = Mapping[str, torch.Tensor]


class Witness(ABC):
    """Is told of every system: `begin`, then `update` in the order of its elements, then `end` or `drop`.

    Values of outputs and layers, by name, are ``(n, samples, channels, components)``; they stay on their device.
    """

    @abstractmethod
    def begin(self, system: System, elements: Elements, targets: Values) -> None:
        """A system comes, with what its outputs ought to be, ``(samples, channels, components)``."""

    @abstractmethod
    def update(self, system: System, start: int, stop: int, values: Values) -> None:
        """The values on elements ``start:stop``."""

    @abstractmethod
    def end(self, system: System, orbits: Mapping[str, OrbitSummary]) -> None:
        """All elements were evaluated. `orbits` are those of outputs and layers; an output that is not finite has
        none."""

    @abstractmethod
    def drop(self, system: System) -> None:
        """The system failed, or some layer lacks it."""
