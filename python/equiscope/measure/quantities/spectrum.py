"""Power per irrep, pooled."""

from __future__ import annotations

import torch

from ...groups.group import Group
from ...groups.representation import Representation
from ..quantity import Quantity, Tensors, register
from ..summary import OrbitSummary


@register
class PooledSpectrum(Quantity):
    """See `equiscope.metrics.CharacterSpectrum`."""

    name = "spectrum"

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shapes = {"power_sum": shape, "total_sum": (), "unresolved_sum": (), "samples_sum": ()}

    @classmethod
    def of(cls, group: Group, lmax: int, representation: Representation | None) -> PooledSpectrum:
        return cls(group.shape(lmax))

    def terms(self, orbit: OrbitSummary) -> Tensors:
        return {
            "power_sum": orbit.total_power.mean(-1).sum(-1),
            "total_sum": orbit.total.mean(1).sum(),
            "unresolved_sum": orbit.unresolved.mean(1).sum(),
            "samples_sum": torch.tensor(float(orbit.samples)),
        }

    def result(self, sums: Tensors) -> Tensors:
        samples = sums["samples_sum"]
        return {
            "power": sums["power_sum"] / samples,
            "total": sums["total_sum"] / samples,
            "unresolved": sums["unresolved_sum"] / samples,
            "samples": samples,
        }
