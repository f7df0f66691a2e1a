"""Batches of molecules in random orientations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

import equiscope as eq

from .dataset import Molecule, Task

POOL = 8
"""Batches that are drawn at once and sorted by size, since PET fills up to the most neighbours of a batch."""

AUGMENTATIONS = ("O3", "SO3", "none", "aligned")
"""Random elements of a group; structures as the data set has them, each in a random orientation of its own; all copies
of a molecule in one orientation."""


class Batch:
    """Molecules one after the other, with their labels joined likewise."""

    def __init__(self, molecules: Sequence[Molecule]) -> None:
        self.positions = torch.cat([each.positions for each in molecules])
        self.numbers = torch.cat([each.numbers for each in molecules])
        self.batch = torch.repeat_interleave(torch.tensor([len(each.numbers) for each in molecules]))
        self.labels = {name: torch.cat([each.labels[name] for each in molecules]) for name in molecules[0].labels}

    @property
    def molecules(self) -> int:
        """How many."""
        return int(self.batch[-1]) + 1

    def to(self, device: str | torch.device) -> Batch:
        """On a device."""
        new = object.__new__(Batch)
        new.positions, new.numbers, new.batch = (x.to(device) for x in (self.positions, self.numbers, self.batch))
        new.labels = {name: label.to(device) for name, label in self.labels.items()}
        return new

    def turned(self, rotations: torch.Tensor, task: Task) -> Batch:
        """Each molecule by its own element of O(3), ``(molecules, 3, 3)``."""
        new = object.__new__(Batch)
        new.numbers, new.batch = self.numbers, self.batch
        new.positions = eq.rotate(self.positions, rotations[self.batch], "vector")
        new.labels = turned(self.labels, rotations, self.batch, task)
        return new


def turned(
    values: Mapping[str, torch.Tensor], rotations: torch.Tensor, batch: torch.Tensor, task: Task
) -> dict[str, torch.Tensor]:
    """Labels or outputs by name, those of each molecule by its own element of O(3), ``(molecules, 3, 3)``."""
    found = dict(values)
    for of_system in (False, True):
        names = [name for name in task.outputs if (name in task.per_system) == of_system]
        if names:
            joined = torch.cat([values[name] for name in names], -1)
            rep = "+".join(task.outputs[name] for name in names)
            own = eq.rotate(joined, rotations if of_system else rotations[batch], rep)
            found |= dict(zip(names, own.split([values[name].shape[-1] for name in names], -1), strict=True))
    return found


def elements(n: int, augmentation: str, generator: torch.Generator) -> torch.Tensor | None:
    """``(n, 3, 3)`` random elements of the group, uniform by the Haar measure; None where nothing is turned."""
    if augmentation not in AUGMENTATIONS:
        raise ValueError(f"augmentation: expected one of {', '.join(AUGMENTATIONS)}, got {augmentation!r}")
    if augmentation in ("none", "aligned"):
        return None
    return eq.random_rotations(n, group=augmentation, dtype=torch.float32, generator=generator)


def training_batches(task: Task, size: int, augmentation: str, seed: int, start: int = 0) -> Iterator[Batch]:
    """Batches without end, from step `start` on; the batch of a step depends on the seed and the step alone."""
    molecules = task.parts["train"]
    if augmentation == "aligned":
        molecules = aligned(molecules, task)
    pool, drawn = -1, []
    step = start
    while True:
        if step // POOL != pool:
            pool = step // POOL
            generator = torch.Generator().manual_seed(1_000_003 * seed + 2 * pool)
            places = torch.randint(len(molecules), (POOL * size,), generator=generator).tolist()
            ordered = sorted(places, key=lambda place: len(molecules[place].numbers))
            drawn = [ordered[size * i : size * (i + 1)] for i in torch.randperm(POOL, generator=generator).tolist()]
        own = torch.Generator().manual_seed(1_000_003 * seed + 2 * step + 1)
        batch = Batch([molecules[place] for place in drawn[step % POOL]])
        rotations = elements(size, augmentation, own)
        yield batch if rotations is None else batch.turned(rotations, task)
        step += 1


def aligned(molecules: Sequence[Molecule], task: Task) -> list[Molecule]:
    """Every structure turned, by the rotation that fits best, onto the first one of its molecule."""
    first: dict[str, torch.Tensor] = {}
    turned = []
    for each in molecules:
        reference = first.setdefault(each.name, each.positions)
        batch = Batch([each]).turned(best_rotation(each.positions, reference)[None], task)
        turned.append(Molecule(each.name, each.numbers, batch.positions, batch.labels))
    return turned


def best_rotation(positions: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """The proper rotation R that makes ``positions @ R.T`` as near to `reference` as can be, both centred (Kabsch)."""
    x, y = (p.double() - p.double().mean(0) for p in (positions, reference))
    u, _, vt = torch.linalg.svd(y.T @ x)
    sign = torch.ones(3, dtype=torch.float64)
    sign[2] = torch.sign(torch.linalg.det(u @ vt))
    return ((u * sign) @ vt).float()
