"""Target, prediction and error by irrep, pooled over the systems that have a label."""

from __future__ import annotations

from ...groups.group import Group
from ...groups.representation import Representation
from ..against import against
from ..quantity import Added, Quantity, Tensors, register
from ..summary import OrbitSummary

OF_PARTS = ("target", "predicted", "symmetrised", "overlap", "missed", "broken")
"""Fields of `Against` by irrep of the representation."""


@register
class PooledTarget(Quantity):
    """Means over samples and channels of the fields of `measure.against.Against`; nothing without labels."""

    name = "target"

    def __init__(self, group: Group, lmax: int, representation: Representation) -> None:
        self.group, self.lmax = group, lmax
        parts = (len(group.decompose(representation).parts),)
        self.shapes = {**dict.fromkeys(OF_PARTS, parts), "error_power": group.shape(lmax), "samples": ()}
        self._nothing = dict.fromkeys(self.shapes, 0.0)

    @classmethod
    def of(cls, group: Group, lmax: int, representation: Representation | None) -> PooledTarget | None:
        return None if representation is None else cls(group, lmax, representation)

    def terms(self, orbit: OrbitSummary) -> Added:
        if orbit.target is None:
            return self._nothing
        found = against(self.group, self.lmax, orbit)
        sums = {key: getattr(found, key).mean(-1).sum(-1) for key in (*OF_PARTS, "error_power")}
        return {**sums, "samples": float(orbit.samples)}

    def result(self, sums: Tensors) -> Tensors:
        samples = sums["samples"]
        if not float(samples):
            return {}
        return {**{key: value / samples for key, value in sums.items()}, "samples": samples}
