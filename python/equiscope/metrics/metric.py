"""A quantity pooled over orbits as a torchmetrics metric."""

from __future__ import annotations

from typing import Any

import torch
from torchmetrics import Metric

from ..errors import DTypeError, fail
from ..groups.group import Grid
from ..measure.quantity import Quantity
from ..measure.summary import OrbitSummary


def check_grid(grid: Any) -> None:
    """A grid of a group."""
    if not isinstance(grid, Grid):
        fail(DTypeError, "quadrature", "a grid, such as equiscope.quadrature(8)", type(grid).__name__)


class PooledMetric(Metric):
    """Base of the metrics here. Every state has ``dist_reduce_fx="sum"``, so that replicas merge in any order."""

    full_state_update = False
    is_differentiable = False

    def __init__(self, quantity: Quantity) -> None:
        super().__init__()
        self._quantity = quantity
        for name, zeros in quantity.zeros().items():
            self.add_state(name, default=zeros, dist_reduce_fx="sum")

    def _states(self) -> dict[str, torch.Tensor]:
        return {name: getattr(self, name) for name in self._defaults}

    def add(self, orbit: OrbitSummary) -> None:
        """Add one system whose orbit was accumulated elsewhere."""
        self._update_count += 1
        self._computed = None
        for name, value in self._quantity.added(self._states(), orbit).items():
            setattr(self, name, value)

    def compute(self) -> dict[str, torch.Tensor]:
        return self._quantity.pooled(self._states())

    def set_dtype(self, dst_type: str | torch.dtype) -> PooledMetric:
        """States stay float64: a sum over a data set has no place in a narrower type."""
        return self
