"""Pseudoscalars of atoms, of three vectors each: what no single edge and no harmonic of one can hand to a model."""

from __future__ import annotations

import math

import torch

RANGES = (1.2, 2.5)
"""Angstrom: near and far neighbours, by Gaussians of distance."""

WIDTH = 0.6
CUTOFF = 4.5
"""Angstrom, that of PET."""

CHARGE = 8.0
"""Elements enter by their number over this."""

SHORT = 0.1
"""Square of the length below which a sum of directions is taken to have none."""

SCALE = 0.1
"""Of triple products of directions in molecules, about: where they begin to level off."""

VECTORS = ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))
"""Of the four sums near and far, plain and weighted by element: all triples."""


def triple_products(
    positions: torch.Tensor, numbers: torch.Tensor, centers: torch.Tensor, neighbors: torch.Tensor
) -> torch.Tensor:
    """``(atoms, 4)``, each tanh(a . (b x c) / SCALE) of three sums over neighbours of directions, weighted by distance
    and element and shortened to less than 1. They keep under rotations, change sign under inversion, are smooth in the
    positions, vanish in a plane and lie between -1 and 1."""
    edges = positions[neighbors] - positions[centers]
    r = edges.norm(dim=-1)
    fade = torch.where(r < CUTOFF, 0.5 * (1 + torch.cos(math.pi * r / CUTOFF)), 0.0)
    by_distance = torch.stack([fade * torch.exp(-0.5 * ((r - each) / WIDTH) ** 2) for each in RANGES], -1)
    element = numbers[neighbors, None].to(r.dtype) / CHARGE
    weights = torch.cat([by_distance, by_distance * element], -1) / r[:, None]
    sums = positions.new_zeros(len(positions), weights.shape[-1], 3)
    sums = sums.index_add(0, centers, weights[..., None] * edges[:, None])
    short = sums / (sums.square().sum(-1, keepdim=True) + SHORT).sqrt()
    a, b, c = (short[:, [triple[i] for triple in VECTORS]] for i in range(3))
    return torch.tanh((a * torch.linalg.cross(b, c)).sum(-1) / SCALE)


class EmbeddedAtoms(torch.nn.Module):
    """An embedding of elements with a linear map of pseudoscalars added to it, without a bias.

    It takes ``(atoms, 1 + n)``, the index of the element and the pseudoscalars, in the place of an embedding that
    takes ``(atoms,)``.
    """

    def __init__(self, elements: torch.nn.Embedding, n: int = len(VECTORS)) -> None:
        super().__init__()
        self.elements = elements
        self.handed = torch.nn.Linear(n, elements.embedding_dim, bias=False)

    def forward(self, atoms: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.elements(atoms[:, 0].long()) + self.handed(atoms[:, 1:])
        return embedded
