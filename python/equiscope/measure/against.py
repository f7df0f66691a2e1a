"""What a model gives beside what it ought to give: the power of target, prediction and error in each irrep.

A label y of a system belongs to it as it lies: at the element g of a group it is ``rho(g) y``, whose only content is
that of the irreps of rho, ``|y_i|^2`` each. So nothing of the target is sampled. Let u(g) be the prediction,
``z(g) = rho(g)^-1 u(g)`` with mean Pi and variance A, and d the number of components. On any one grid, whatever it
resolves,

    sum_g w_g |u(g) - rho(g) y|^2 = |Pi - y|^2 + d A,

the error of the symmetrised model and what symmetry breaking adds to it. The error e(g) = u(g) - rho(g) y has the power
of u in every irrep that rho lacks, and ``B_i(u) - |Pi_i|^2 + |Pi_i - y_i|^2`` in one that it has: content of the right
irrep in the wrong components, and the error of the symmetrised model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..groups.group import Group, Label
from .summary import OrbitSummary, Parts


@dataclass(frozen=True)
class Against:
    """One orbit against its label, all ``(parts, s, c)`` by the irreps of the representation unless said otherwise."""

    irreps: tuple[Label, ...]
    target: torch.Tensor
    """|y_i|^2."""
    predicted: torch.Tensor
    """Power of the prediction in that irrep, of the components that ought to carry it."""
    symmetrised: torch.Tensor
    """|Pi_i|^2."""
    overlap: torch.Tensor
    """<Pi_i, y_i>."""
    missed: torch.Tensor
    """|Pi_i - y_i|^2: the error of the symmetrised model."""
    broken: torch.Tensor
    """d_i A_i: what symmetry breaking adds to it."""
    error_power: torch.Tensor
    """``(*chart.shape, s, c)``: power of the error in each irrep."""


def against(group: Group, lmax: int, orbit: OrbitSummary) -> Against:
    """What the target of `orbit` says of it."""
    assert orbit.target is not None and orbit.mean is not None and orbit.representation is not None
    decomposition, chart = group.decompose(orbit.representation), group.chart(lmax)
    parts = Parts(chart, decomposition, orbit.mean.device)
    mean, target = parts.sort(orbit.mean), parts.sort(orbit.target)
    # the difference in the model's own layout: that of two large numbers in another basis would lose digits
    difference = parts.sort(orbit.mean - orbit.target)
    of_parts: dict[str, list[torch.Tensor]] = {key: [] for key in ("y", "own", "pi", "cross", "missed", "broken")}
    error = torch.zeros_like(orbit.total_power)
    for i, part in enumerate(parts.parts):
        label = part.label
        pi, y, away = (parts.select(x, i) for x in (mean, target, difference))
        broken = part.components * orbit.variance[label]
        # the mean of n random elements is itself scattered by A / n
        missed = away.square().sum(-1) - broken * orbit.scatter
        held = orbit.power[label][chart.place(label)] if label in chart else pi.square().sum(-1)
        own = orbit.power[label].clone()
        if label in chart:
            # all that is invariant of an invariant is its mean, whose square may be large
            stray = torch.zeros_like(missed) if label == chart.labels[0] else held - pi.square().sum(-1)
            own[chart.place(label)] = stray + missed
        error += own
        values = (y.square().sum(-1), held, pi.square().sum(-1), (pi * y).sum(-1), missed, broken)
        for key, value in zip(of_parts, values, strict=True):
            of_parts[key].append(value)
    y, held, pi, cross, missed, broken = (torch.stack(found) for found in of_parts.values())
    return Against(tuple(part.label for part in parts.parts), y, held, pi, cross, missed, broken, error)
