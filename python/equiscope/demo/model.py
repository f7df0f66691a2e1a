"""A small transformer for molecules with no built-in rotational symmetry: the model that the demo audits.

It sees raw coordinates and difference vectors, and learned O(3) from examples alone:
`scripts/train_demo.py` trained its 145,701 parameters on GFN2-xTB energies, dipoles and quadrupoles of 1638
displaced geometries of 78 molecules of the G2 set, each turned by a new random element of O(3) at every
step (26,000 steps of 128 molecules, 20 minutes on one core). Of every molecule the tabulated geometry,
which is what ships here, and two displaced ones were held out. Root mean square errors per component on
those 234, over 64 orientations each, and the part due to orientation:

| target (unit)         | error (training) | from orientation | spread of the target                 |
|-----------------------|------------------|------------------|--------------------------------------|
| energy (eV)           | 0.301 (0.117)    | 0.0210 (1.2 %)   | 1.771, beyond a constant per element |
| dipole (e bohr)       | 0.0395 (0.0214)  | 0.0073 (1.6 %)   | 0.454                                |
| quadrupole (e bohr^2) | 0.108 (0.078)    | 0.0320 (2.2 %)   | 1.441                                |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import ArgumentError, ShapeError, fail

ELEMENTS = (1, 6, 7, 8, 9, 16)
"""Atomic numbers the model is made for: H, C, N, O, F, S."""

MASSES = (1.008, 12.011, 14.007, 15.999, 18.998, 32.06)
"""Standard atomic weights of `ELEMENTS`: the quadrupole moment refers to the centre of mass."""

LENGTH = 1.5
"""In angstrom, about one bond: coordinates are divided by it, so that they enter the network near 1."""


class Embedding(nn.Module):
    """``(B, n, d)`` atom features: an MLP of the raw centred coordinates and of the element."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.element = nn.Embedding(len(ELEMENTS), width)
        self.position = nn.Linear(3, width)
        self.mix = nn.Linear(width, width)

    def forward(self, centred: Tensor, element: Tensor) -> Tensor:
        features: Tensor = self.mix(nn.functional.silu(self.element(element) + self.position(centred)))
        return features


class Edges(nn.Module):
    """``(B, n, n, k)`` pair features: an MLP of the difference vector, its length and both elements."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.receiver = nn.Embedding(len(ELEMENTS), width)
        self.sender = nn.Embedding(len(ELEMENTS), width)
        self.vector = nn.Linear(4, width)
        self.hidden = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)

    def forward(self, centred: Tensor, element: Tensor) -> Tensor:
        difference = centred[:, None, :] - centred[:, :, None]
        # the small constant keeps the derivative of the length finite on the diagonal
        length = (difference.square().sum(-1, keepdim=True) + 1e-6).sqrt()
        pair = self.vector(torch.cat([difference, length], -1))
        pair = pair + self.receiver(element)[:, :, None] + self.sender(element)[:, None, :]
        features: Tensor = self.mix(nn.functional.silu(self.hidden(nn.functional.silu(pair))))
        return features


class Block(nn.Module):
    """Pre-norm attention and MLP; pairs bias the attention weights and add to what is gathered."""

    def __init__(self, width: int, edge_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.bias = nn.Linear(edge_width, heads, bias=False)
        self.out = nn.Linear(width + heads * edge_width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        batch, n, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT * (width // self.heads) ** -0.5 + self.bias(edges).permute(0, 3, 1, 2)
        weights = scores.softmax(-1)  # (B, heads, receiver, sender)
        atoms = (weights @ v).transpose(1, 2).reshape(batch, n, -1)
        pairs = (weights.transpose(1, 2) @ edges).reshape(batch, n, -1)
        x = x + self.out(torch.cat([atoms, pairs], -1))
        x = x + self.mlp(x)
        return x


class Pool(nn.Module):
    """``(B, d)`` molecule features: a sum over atoms, since energy, dipole and quadrupole are extensive."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.atom = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        atoms: Tensor = self.atom(x)
        return atoms.sum(1)


class PointCloudTransformer(nn.Module):
    """Energy, dipole and quadrupole of molecules from raw coordinates.

    ``positions`` (B, n, 3) in angstrom and ``species`` (B, n), atomic numbers among `ELEMENTS`, give
    ``energy`` (B,) in eV, ``dipole`` (B, 3) in e bohr and ``quadrupole`` (B, 3, 3) in e bohr^2, symmetric,
    traceless, about the centre of mass. Invariant under translations and under the order of atoms by
    construction; rotations and inversion are learned. ``atom_energy=False`` leaves out the constant energy
    per element. Wrong shapes raise `ShapeError`, other elements `ArgumentError`.
    """

    slot: Tensor
    masses: Tensor
    atom_energy: Tensor
    scale: Tensor

    def __init__(self, width: int = 56, edge_width: int = 32, heads: int = 4, depth: int = 4) -> None:
        super().__init__()
        slot = torch.full((max(ELEMENTS) + 1,), -1)
        slot[list(ELEMENTS)] = torch.arange(len(ELEMENTS))
        self.register_buffer("slot", slot, persistent=False)
        self.register_buffer("masses", torch.tensor(MASSES), persistent=False)
        self.register_buffer("atom_energy", torch.zeros(len(ELEMENTS), dtype=torch.float64))
        self.register_buffer("scale", torch.ones(3))
        self.embedding = Embedding(width)
        self.edges = Edges(edge_width)
        self.encoder = nn.ModuleList(Block(width, edge_width, heads) for _ in range(depth))
        self.pool = Pool(width)
        sizes = {"energy": 1, "dipole": 3, "quadrupole": 9}
        self.heads = nn.ModuleDict({name: nn.Linear(2 * width, size) for name, size in sizes.items()})

    def forward(self, positions: Tensor, species: Tensor, *, atom_energy: bool = True) -> dict[str, Tensor]:
        centred, element = self._centred(positions, species)
        x = self.embedding(centred, element)
        edges = self.edges(centred, element)
        for block in self.encoder:
            x = block(x, edges)
        x = self.pool(x)
        energy = self.heads["energy"](x)[:, 0] * self.scale[0]
        if atom_energy:
            energy = energy + self.atom_energy[element].sum(-1).to(energy.dtype)
        square = self.heads["quadrupole"](x).view(-1, 3, 3)
        square = (square + square.mT) / 2
        trace = square.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
        return {
            "energy": energy,
            "dipole": self.heads["dipole"](x) * self.scale[1],
            "quadrupole": (square - trace * torch.eye(3, dtype=x.dtype, device=x.device)) * self.scale[2],
        }

    def _centred(self, positions: Tensor, species: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates from the centre of mass in units of `LENGTH`, and the index of each atom's element."""
        if positions.ndim != 3 or positions.shape[-1] != 3:
            fail(ShapeError, "positions", "shape (B, n, 3)", tuple(positions.shape))
        if species.shape != positions.shape[:2]:
            fail(ShapeError, "species", f"shape {tuple(positions.shape[:2])}", tuple(species.shape))
        element = self.slot[species.where((species >= 0) & (species < len(self.slot)), 0)]
        unknown = element < 0
        if unknown.any():
            got = sorted(set(species[unknown].tolist()))
            fail(ArgumentError, "species", f"atomic numbers among {ELEMENTS}", got)
        mass = self.masses[element][..., None]
        centre = (mass * positions).sum(1, keepdim=True) / mass.sum(1, keepdim=True)
        return (positions - centre) / LENGTH, element
