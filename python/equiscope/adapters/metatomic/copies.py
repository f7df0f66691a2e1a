"""Rotated copies of one structure as metatomic `System`s, cheap enough to make thousands."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Protocol

import torch
from metatensor.torch import Labels, TensorBlock
from metatomic.torch import NeighborListOptions, System
from vesin.metatomic import NeighborList

from ..rounding import Dither, rounded
from ..structures import Structure, is_metatomic_system


class Turns(Protocol):
    """How the copies of a structure are made: a `Piece` says it."""

    @property
    def rotations(self) -> torch.Tensor: ...

    @property
    def dither(self) -> Dither | None: ...


@dataclass(frozen=True)
class Turn:
    """Copies that belong to no audit."""

    rotations: torch.Tensor
    dither: Dither | None = None


@dataclass(frozen=True, eq=False)
class Template:
    """What all rotated copies of a structure share, and the vectors that rotate."""

    types: torch.Tensor
    pbc: torch.Tensor
    vectors: torch.Tensor
    """``(atoms + 3 + pairs, 3)`` float64: positions, cell vectors, pair vectors of each neighbour list."""
    options: list[NeighborListOptions]
    samples: list[Labels]
    """The pairs of each neighbour list. They do not depend on the orientation."""

    @classmethod
    def make(
        cls,
        structure: Structure,
        options: Sequence[NeighborListOptions],
        *,
        scale: float,
        length_unit: str,
        device: torch.device,
    ) -> Template:
        """`structure` with lengths times `scale`, then in `length_unit`, and its pair lists.

        The pair lists are made here, once and on the host, and rotated ever after: a pair at the cutoff may
        enter or leave a list that is rebuilt, by the round-off of the rotation alone. Lists that a metatomic
        `System` brings along are taken as they are. Cell vectors along directions that are not periodic
        become zero, as metatomic wants.
        """
        system = System(
            types=torch.from_numpy(structure.types).to(torch.int32),
            positions=torch.from_numpy(structure.positions) * scale,
            cell=torch.from_numpy(structure.cell * structure.pbc[:, None]) * scale,
            pbc=torch.from_numpy(structure.pbc),
        )
        known = structure.source.known_neighbor_lists() if is_metatomic_system(structure.source) else []
        vectors, samples = [system.positions, system.cell], []
        for wanted in options:
            if any(wanted == have for have in known):
                pairs = structure.source.get_neighbor_list(wanted)
                values = pairs.values.detach().to("cpu", torch.float64) * scale
            else:
                # skin 0: a Verlet list would carry its state from one structure to the next
                pairs = NeighborList(wanted, length_unit, skin=0.0).compute(system)
                values = pairs.values
            vectors.append(values.squeeze(-1))
            samples.append(pairs.samples.to(device))
        return cls(
            types=system.types.to(device),
            pbc=system.pbc.to(device),
            vectors=torch.cat(vectors).to(device),
            options=list(options),
            samples=samples,
        )

    def rotated(
        self, rotations: torch.Tensor, dtype: torch.dtype, dither: Dither | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Positions, cell and the vectors of each pair list, ``(copies, n, 3)``; rotated, then taken to `dtype`."""
        rotated = rounded(self.vectors @ rotations.to(self.vectors.device).transpose(1, 2), dtype, dither)
        return torch.split(rotated, [len(self.types), 3, *(len(pairs) for pairs in self.samples)], dim=1)

    def copies(self, rotations: torch.Tensor, dtype: torch.dtype, dither: Dither | None = None) -> list[System]:
        """One `System` per element of O(3), ``(copies, 3, 3)`` float64."""
        positions, cells, *pairs = self.rotated(rotations, dtype, dither)
        components, properties = pair_labels(self.types.device)
        return _builder()(
            self.types,
            self.pbc,
            positions,
            cells,
            [vectors.unsqueeze(-1) for vectors in pairs],
            self.options,
            self.samples,
            components,
            properties,
        )


@lru_cache(maxsize=16)
def pair_labels(device: torch.device) -> tuple[list[Labels], Labels]:
    xyz = Labels("xyz", torch.arange(3, dtype=torch.int32).reshape(3, 1))
    distance = Labels("distance", torch.zeros(1, 1, dtype=torch.int32))
    return [xyz.to(device)], distance.to(device)


@cache
def _builder() -> Callable[..., list[System]]:
    # in the TorchScript interpreter, because calls of bound classes cost three times as much from Python
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        build: Callable[..., list[System]] = torch.jit.script(_build)
        return build


def _build(
    types: torch.Tensor,
    pbc: torch.Tensor,
    positions: torch.Tensor,
    cells: torch.Tensor,
    pairs: list[torch.Tensor],
    options: list[NeighborListOptions],
    samples: list[Labels],
    components: list[Labels],
    properties: Labels,
) -> list[System]:
    systems: list[System] = []
    for position, cell in zip(positions.unbind(0), cells.unbind(0)):  # noqa: B905 (TorchScript has no strict=)
        systems.append(System(types.clone(), position, cell, pbc.clone()))
    for option, sample, vectors in zip(options, samples, pairs):  # noqa: B905
        for system, vector in zip(systems, vectors.unbind(0)):  # noqa: B905
            system.add_neighbor_list(option, TensorBlock(vector, sample, components, properties))
    return systems
