"""Sums that do not depend on the order of their terms beyond the last bit."""

from __future__ import annotations

import torch
from torchmetrics import Metric


class ExactSums(Metric):
    """Base of the metrics here: named float64 sums, each kept with its rounding error (Knuth's two-sum).

    Value and error are separate states with ``dist_reduce_fx="sum"``, so that merging replicas is a plain sum.
    """

    full_state_update = False
    is_differentiable = False

    def _add_sum(self, name: str, shape: tuple[int, ...]) -> None:
        zeros = torch.zeros(shape, dtype=torch.float64)
        self.add_state(name, default=zeros, dist_reduce_fx="sum")
        self.add_state(f"{name}_error", default=zeros.clone(), dist_reduce_fx="sum")

    def _accumulate(self, name: str, term: torch.Tensor) -> None:
        total = getattr(self, name)
        term = term.to(total)
        new = total + term
        shadow = new - total
        error = (total - (new - shadow)) + (term - shadow)
        setattr(self, name, new)
        setattr(self, f"{name}_error", getattr(self, f"{name}_error") + error)

    def _sum(self, name: str) -> torch.Tensor:
        return getattr(self, name) + getattr(self, f"{name}_error")

    def set_dtype(self, dst_type: str | torch.dtype) -> ExactSums:
        """States stay float64: a sum over a data set has no place in a narrower type."""
        return self
