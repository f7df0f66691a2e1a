"""Shares of power that one large channel does not hide: of every channel its own shares, then their mean.

Pooled power is ruled by the largest channels: a layer is "99 % invariant" where one of them has a large constant.
Within `measured`, ``spectrum.quantities["each_channel"]["shares"]`` of every audit holds the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from equiscope.groups.group import Group
from equiscope.groups.representation import Representation
from equiscope.measure.quantity import QUANTITIES, Quantity, Tensors, register
from equiscope.measure.summary import OrbitSummary


class EachChannel(Quantity):
    """Mean over channels of each one's shares of its own power in a system; systems weigh by their samples."""

    name = "each_channel"

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shapes = {"shares_sum": shape, "weight_sum": ()}

    @classmethod
    def of(cls, group: Group, lmax: int, representation: Representation | None) -> EachChannel:
        return cls(group.shape(lmax))

    def terms(self, orbit: OrbitSummary) -> Tensors:
        power, total = orbit.total_power.sum(-2), orbit.total.sum(0)
        own = torch.where(total > 0, power / total.clamp_min(torch.finfo(total.dtype).tiny), 0.0)
        alive = (total > 0).sum().clamp_min(1)
        return {"shares_sum": own.sum(-1) / alive * orbit.samples, "weight_sum": torch.tensor(float(orbit.samples))}

    def result(self, sums: Tensors) -> Tensors:
        return {"shares": sums["shares_sum"] / sums["weight_sum"]}


@contextmanager
def measured() -> Iterator[None]:
    """Have every audit pool them until the end of the block."""
    register(EachChannel)
    try:
        yield
    finally:
        QUANTITIES.pop(EachChannel.name, None)
