"""Equivariance variance A, pooled."""

from __future__ import annotations

import torch

from ...groups.group import Group
from ...groups.representation import Representation
from ..quantity import Added, Quantity, Tensors, register
from ..summary import OrbitSummary


@register
class PooledError(Quantity):
    """See `equiscope.metrics.EquivarianceError`."""

    name = "error"

    def __init__(self, group: Group, representation: Representation) -> None:
        self.representation = representation
        self.irreps = tuple(part.label for part in group.decompose(representation).parts)
        scalars: dict[str, tuple[int, ...]] = {"pooled_variance_sum": (), "square_sum": (), "samples_sum": ()}
        self.shapes = {"variance_sum": (len(self.irreps),), **scalars}

    @classmethod
    def of(cls, group: Group, lmax: int, representation: Representation | None) -> PooledError | None:
        return None if representation is None else cls(group, representation)

    def terms(self, orbit: OrbitSummary) -> Added:
        return {
            "variance_sum": torch.stack([orbit.variance[irrep].mean(1).sum() for irrep in self.irreps]),
            "pooled_variance_sum": orbit.total_variance.mean(1).sum(),
            "square_sum": orbit.total.mean(1).sum() / self.representation.entries,
            "samples_sum": float(orbit.samples),
        }

    def result(self, sums: Tensors) -> Tensors:
        samples = sums["samples_sum"]
        variance = sums["pooled_variance_sum"] / samples
        size = (sums["square_sum"] / samples).sqrt()
        rmse = variance.sqrt()
        return {
            "rmse": rmse,
            "variance": variance,
            "variance_by_irrep": sums["variance_sum"] / samples,
            "size": size,
            "relative": torch.where(size > 0, rmse / size, torch.zeros_like(rmse)),
            "samples": samples,
        }
