"""A and B of logits from independent random elements, from their definitions: what audits are held against."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .clouds import Clouds, turns
from .model import Segmenter


@torch.no_grad()
def by_hand(model: Segmenter, one: Clouds, count: int, size: int = 64) -> dict[str, Any]:
    """RMSE, and B of degree 0 and 1, of the logits of a single event, with standard errors from ten parts.

    B of degree 1 comes from the rotation matrices themselves: they are D^1 up to the order of axes.
    """
    generator = torch.Generator().manual_seed(7)
    elements = turns("o3", count, generator)
    mask = one.mask[0]
    points, energy = one.points[:, mask], one.energy[:, mask]
    made = []
    for R in elements.split(size):
        n = len(R)
        there = torch.ones(n, points.shape[1], dtype=torch.bool)
        made.append(model(points.expand(n, -1, -1) @ R.mT, energy.expand(n, -1), there)["logits"].double())
    values = torch.cat(made)
    whole = _moments(values, elements.double())
    parts = [_moments(v, R) for v, R in zip(values.chunk(10), elements.double().chunk(10), strict=True)]
    errors = {name: float(torch.stack([part[name] for part in parts]).std() / 10**0.5) for name in whole}
    return {"elements": count, **{name: [float(value), errors[name]] for name, value in whole.items()}}


def _moments(values: Tensor, elements: Tensor) -> dict[str, Tensor]:
    """Unbiased estimates from ``(n, points, classes)``."""
    n = len(values)
    signs = torch.linalg.det(elements).sign()
    D = signs[:, None, None] * elements
    found = {"variance": values.var(0).mean()}
    for l, matrix in ((0, torch.ones(n, 1)), (1, D.flatten(1))):
        for sigma in (1, -1):
            # of an invariant of parity sigma (-1)^l the improper half counts with this sign
            weight = torch.where(signs > 0, 1.0, float(sigma * (-1) ** l))[:, None] * matrix.double()
            # only the trivial irrep has the mean; without it the others scatter less
            u = values if (l, sigma) == (0, 1) else values - values.mean(0)
            total = torch.einsum("nk,npc->kpc", weight, u)
            own = (weight.square().sum(-1)[:, None, None] * u.square()).sum(0)
            pairs = (total.square().sum(0) - own) / (n * (n - 1))
            found[f"B({l},{sigma:+d})"] = (2 * l + 1) * pairs.mean()
    return found
