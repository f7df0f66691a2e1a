"""Many rotated copies as one metatomic `System` whose parts do not see each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from metatensor.torch import Labels, TensorBlock
from metatomic.torch import NeighborListOptions, System

from ...errors import ModelError
from .copies import Template, Turns, pair_labels


@dataclass(frozen=True, eq=False)
class Merged:
    """All that does not turn: copies one after the other, ``for structure: for copy: for atom``.

    The neighbour lists are block-diagonal, so a model that reads distances from them alone gives each copy what it
    gives it by itself. Positions overlap; there is no cell.
    """

    counts: tuple[int, ...]
    """Copies of each structure."""
    types: torch.Tensor
    options: list[NeighborListOptions]
    samples: list[Labels]
    copy: torch.Tensor
    """``(atoms,)``: the copy that each atom belongs to."""
    atom: torch.Tensor
    """``(atoms,)``: its number within the copy."""

    @classmethod
    def of(cls, templates: Sequence[Template], counts: Sequence[int]) -> Merged:
        device = templates[0].types.device
        sizes = torch.tensor([len(t.types) for t, n in zip(templates, counts, strict=True) for _ in range(n)])
        starts = (sizes.cumsum(0) - sizes).to(torch.int32)
        first = [0, *torch.tensor(counts).cumsum(0).tolist()]
        samples = []
        for k in range(len(templates[0].options)):
            parts = []
            for template, n, start in zip(templates, counts, first[:-1], strict=True):
                pairs = template.samples[k].values.cpu().repeat(n, 1).reshape(n, -1, 5)
                pairs[:, :, :2] += starts[start : start + n, None, None]
                parts.append(pairs.flatten(0, 1))
            names = list(templates[0].samples[k].names)
            samples.append(Labels(names, torch.cat(parts).to(device), assume_unique=True))
        atom = torch.cat([torch.arange(len(t.types)).repeat(n) for t, n in zip(templates, counts, strict=True)])
        return cls(
            counts=tuple(counts),
            types=torch.cat([t.types.repeat(n) for t, n in zip(templates, counts, strict=True)]),
            options=templates[0].options,
            samples=samples,
            copy=torch.repeat_interleave(torch.arange(len(sizes)), sizes).to(device),
            atom=atom.to(device),
        )

    def system(self, templates: Sequence[Template], turns: Sequence[Turns], dtype: torch.dtype) -> System:
        """The copies of each structure."""
        rotated = [t.rotated(turn.rotations, dtype, turn.dither) for t, turn in zip(templates, turns, strict=True)]
        positions, cells, *pairs = (torch.cat([x.flatten(0, 1) for x in part]) for part in zip(*rotated, strict=True))
        pbc = torch.zeros(3, dtype=torch.bool, device=self.types.device)
        system = System(self.types.clone(), positions, cells.new_zeros(3, 3), pbc)
        components, properties = pair_labels(self.types.device)
        for option, samples, vectors in zip(self.options, self.samples, pairs, strict=True):
            system.add_neighbor_list(option, TensorBlock(vectors.unsqueeze(-1), samples, components, properties))
        return system

    def labels(self, name: str, samples: Labels) -> tuple[list[str], torch.Tensor]:
        """Sample labels of output `name`, with the copy as ``system`` and atoms numbered within it."""
        names = list(samples.names)
        if "system" not in names or "atom" not in names:
            raise ModelError(f"{name}: expected sample dimensions 'system' and 'atom', got ({', '.join(names)})")
        values = samples.values.to(torch.int64)
        atom = values[:, names.index("atom")].clone()
        values[:, names.index("system")] = self.copy[atom]
        values[:, names.index("atom")] = self.atom[atom]
        return names, values
