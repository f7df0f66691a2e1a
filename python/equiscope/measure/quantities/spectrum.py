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
        known, samples = orbit.known_averages(), float(orbit.samples)
        sums = (samples * known.total, samples * known.unresolved, samples)
        total, unresolved, count = torch.tensor(sums, dtype=torch.float64).unbind()
        return {
            "power_sum": samples * known.power,
            "total_sum": total,
            "unresolved_sum": unresolved,
            "samples_sum": count,
        }

    def result(self, sums: Tensors) -> Tensors:
        samples = sums["samples_sum"]
        return {
            "power": sums["power_sum"] / samples,
            "total": sums["total_sum"] / samples,
            "unresolved": sums["unresolved_sum"] / samples,
            "samples": samples,
        }
