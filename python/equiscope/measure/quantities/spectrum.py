"""Power per irrep, pooled."""

from __future__ import annotations

from ...groups.group import Group
from ...groups.representation import Representation
from ..quantity import Added, Quantity, Tensors, register
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

    def terms(self, orbit: OrbitSummary) -> Added:
        known, samples = orbit.known_averages(), float(orbit.samples)
        return {
            "power_sum": samples * known.power,
            "total_sum": samples * known.total,
            "unresolved_sum": samples * known.unresolved,
            "samples_sum": samples,
        }

    def result(self, sums: Tensors) -> Tensors:
        samples = sums["samples_sum"]
        return {
            "power": sums["power_sum"] / samples,
            "total": sums["total_sum"] / samples,
            "unresolved": sums["unresolved_sum"] / samples,
            "samples": samples,
        }
