"""What rotations alone break, and what inversion does, pooled."""

from __future__ import annotations

import math

from ...groups.group import Group
from ...groups.representation import Representation
from ..quantity import Added, Quantity, Tensors, register
from ..summary import OrbitSummary


@register
class PooledCosets(Quantity):
    """A over proper elements alone, and the overlap of the means over proper and over improper ones.

    With m+ and m- these means, each turned back as declared, A of both together is
    ``(A+ + A-) / 2 + |m+ - m-|^2 / (4 d)``. Not a number where a group has no improper elements.
    """

    name = "cosets"

    def __init__(self, components: int) -> None:
        self.components = components
        self.shapes = {"rotations_sum": (), "overlap_sum": (), "size_sum": (), "mean_sum": (), "samples_sum": ()}

    @classmethod
    def of(cls, group: Group, lmax: int, representation: Representation | None) -> PooledCosets | None:
        return None if representation is None else cls(representation.entries)

    def terms(self, orbit: OrbitSummary) -> Added:
        cosets = orbit.cosets
        overlap = None if cosets is None else cosets.overlap
        return {
            "rotations_sum": math.nan if cosets is None else cosets.variance.mean(1).sum(),
            "overlap_sum": math.nan if overlap is None else overlap.mean(1).sum(),
            "size_sum": math.nan if cosets is None else cosets.size.mean(1).sum(),
            # |Pi|^2 is what A leaves of int |u|^2
            "mean_sum": (orbit.total - self.components * orbit.total_variance).clamp_min(0.0).mean(1).sum(),
            "samples_sum": float(orbit.samples),
        }

    def result(self, sums: Tensors) -> Tensors:
        samples = sums["samples_sum"]
        return {
            "rmse_rotations": (sums["rotations_sum"] / samples / self.components).sqrt(),
            "overlap": (sums["overlap_sum"] / sums["size_sum"]).clamp(-1.0, 1.0),
            "size": sums["size_sum"] / samples / self.components,
            "symmetrised": (sums["mean_sum"] / samples / self.components).sqrt(),
        }
