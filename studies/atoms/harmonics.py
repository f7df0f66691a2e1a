"""What an edge of PET is told of its vector: (x, y, z, r) through a linear map, or more.

An embedding takes ``(..., 4)``, the vector in angstrom and its length, to ``(..., width)``; it stands where the linear
map of metatrain's PET stands, once in each of its GNN layers, and nothing else is changed.
"""

from __future__ import annotations

import math

import torch

import equiscope as eq

LINEAR = 4
"""Numbers that the linear map of PET is given."""


class HarmonicEmbedding(torch.nn.Module):
    """A linear map of ``r sqrt(4 pi / (2l + 1)) Y_lm``, or of the solid harmonics ``r^l Y_lm``, up to `lmax`.

    The first has length r for every l. Both are defined so by the authors of PET, see the account.
    """

    degree: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int, lmax: int, solid: bool = False) -> None:
        super().__init__()
        self.lmax, self.solid = lmax, solid
        self.linear = torch.nn.Linear((lmax + 1) ** 2, width)
        l = torch.arange(lmax + 1).repeat_interleave(2 * torch.arange(lmax + 1) + 1)
        self.register_buffer("degree", l, persistent=False)
        self.register_buffer("scale", (4 * math.pi / (2 * l + 1)).sqrt(), persistent=False)

    def forward(self, edge: torch.Tensor) -> torch.Tensor:
        r = edge[..., 3:]
        Y = eq.spherical_harmonics(edge[..., :3], self.lmax) * self.scale.to(edge.dtype)
        embedded: torch.Tensor = self.linear(Y * (r**self.degree if self.solid else r))
        return embedded


class WideEmbedding(torch.nn.Sequential):
    """A network of (x, y, z, r) with as many parameters as a `HarmonicEmbedding`: a control without harmonics."""

    def __init__(self, width: int, lmax: int) -> None:
        target = ((lmax + 1) ** 2 + 1) * width
        hidden = round((target - width) / (LINEAR + 1 + width))
        super().__init__(torch.nn.Linear(LINEAR, hidden), torch.nn.SiLU(), torch.nn.Linear(hidden, width))


class NormedEmbedding(torch.nn.Sequential):
    """Any of these with a layer norm after it, as the authors' own harmonic embedding has."""

    def __init__(self, embedding: torch.nn.Module, width: int) -> None:
        super().__init__(embedding, torch.nn.LayerNorm(width))


def embedding(kind: str, width: int) -> torch.nn.Module:
    """By its name: "linear"; "harmonic4", "solid4" or "wide4" with lmax 4; "-norm" behind it adds a layer norm."""
    plain, _, norm = kind.partition("-")
    name, lmax = plain.rstrip("0123456789"), plain.lstrip("abcdefghijklmnopqrstuvwxyz")
    made: torch.nn.Module
    if plain == "linear":
        made = torch.nn.Linear(LINEAR, width)
    elif name in ("harmonic", "solid") and lmax:
        made = HarmonicEmbedding(width, int(lmax), solid=name == "solid")
    elif name == "wide" and lmax:
        made = WideEmbedding(width, int(lmax))
    else:
        raise ValueError(f"embedding: expected linear, harmonic4, solid4, wide4 and the like, got {kind!r}")
    return NormedEmbedding(made, width) if norm else made
