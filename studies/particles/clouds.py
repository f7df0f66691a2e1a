"""Events as tensors: padded points for training, single systems for audits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import equiscope as eq

from .events import CLASSES, Detector, Events, generate
from .grouping import Groups
from .model import Segmenter, normalised_energy


@dataclass
class Clouds:
    """Events, padded to the largest."""

    points: Tensor
    """``(E, N, 3)`` about the centre of the detector, whose corners have distance 1."""
    energy: Tensor
    """``(E, N)``, see `normalised_energy`."""
    mask: Tensor
    """``(E, N)`` bool."""
    label: Tensor
    """``(E, N)``; -1 where there is no point."""

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: slice | Tensor) -> Clouds:
        return Clouds(*(value[rows] for value in vars(self).values()))

    def systems(self) -> list[dict[str, Tensor]]:
        """One dict for each event, without padding, as `equiscope.audit` takes them; ``truth`` is one-hot."""
        return [self._system(points, *rest) for points, *rest in zip(*vars(self).values(), strict=True)]

    @staticmethod
    def _system(points: Tensor, energy: Tensor, mask: Tensor, label: Tensor) -> dict[str, Tensor]:
        truth = torch.nn.functional.one_hot(label[mask], len(CLASSES)).to(points.dtype)
        return {"points": points[mask], "energy": energy[mask], "mask": mask[mask], "truth": truth}


def clouds(events: Events, detector: Detector) -> Clouds:
    """Tensors of `events`, in float32."""
    count, most = len(events), int((events.offsets[1:] - events.offsets[:-1]).max())
    made = Clouds(
        torch.zeros(count, most, 3), torch.zeros(count, most), torch.zeros(count, most, dtype=torch.bool),
        torch.full((count, most), -1),
    )  # fmt: skip
    for i in range(count):
        rows = events.rows(i)
        n = rows.stop - rows.start
        made.points[i, :n] = torch.tensor((events.voxels[rows] - detector.centre) / detector.scale)
        made.energy[i, :n] = normalised_energy(torch.tensor(events.energy[rows]))
        made.mask[i, :n] = True
        made.label[i, :n] = torch.tensor(events.label[rows])
    return made


def kept(path: Path, count: int, seed: int, detector: Detector) -> Clouds:
    """Events of the generator; from the file at `path` where they have been made before."""
    if not path.is_file():
        events = generate(count, seed, detector)
        growing = path.with_suffix(".new.npz")
        events.save(growing)
        growing.replace(path)
    return clouds(Events.load(path), detector)


def all_groups(model: Segmenter, data: Clouds, size: int = 32) -> Groups:
    """Groups of every event as it lies. Exact groups stay what they are however it is turned."""
    pieces = [model.groups(data.points[i : i + size], data.mask[i : i + size]) for i in range(0, len(data), size)]
    widest = max(piece.member.shape[-1] for piece in pieces)
    for piece in pieces:
        lacks = widest - piece.member.shape[-1]
        piece.member, piece.filled = (torch.nn.functional.pad(x, (0, lacks)) for x in (piece.member, piece.filled))
    return Groups(*(torch.cat(parts) for parts in zip(*(vars(piece).values() for piece in pieces), strict=True)))


SORTED = 5

KINDS = ("none", "euler", "so3", "o3")
"""Of augmentation: events as they lie; three uniform angles; uniform rotations; these with inversion."""


def turns(kind: str, count: int, generator: torch.Generator) -> Tensor:
    """``(count, 3, 3)`` float32 elements of O(3), by a kind of `KINDS`.

    "euler" draws three angles uniformly and turns about x, y and z in this order, which is what PoLAr-MAE's training
    does as far as is known. Its density in Haar measure is 2 / (pi |cos b|) with b the middle angle: 0.64 where b is 0
    and infinite where it is a right angle.
    """
    if kind == "none":
        return torch.eye(3).expand(count, 3, 3)
    if kind == "euler":
        angles = 2 * torch.pi * torch.rand(3, count, generator=generator, dtype=torch.float64)
        return euler(*angles).float()
    group = {"so3": eq.groups.SO3, "o3": eq.groups.O3}[kind]
    return group().draw(count, generator).float()


def euler(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """``(n, 3, 3)``: about x by a, then about y by b, then about z by c."""
    turned = torch.eye(3, dtype=a.dtype)
    for angle, axis in ((a, 0), (b, 1), (c, 2)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        one = torch.eye(3, dtype=a.dtype).repeat(len(a), 1, 1)
        one[:, i, i] = one[:, j, j] = angle.cos()
        one[:, j, i], one[:, i, j] = angle.sin(), -angle.sin()
        turned = one @ turned
    return turned


def middle_cosine(rotations: Tensor) -> Tensor:
    """|cos b| of the middle angle of `euler`, of proper rotations ``(..., 3, 3)``."""
    return (1 - rotations[..., 2, 0].square()).clamp_min(0).sqrt()


def batches(points: Tensor, size: int, seed: int, begin: int = 0) -> Iterator[Tensor]:
    """Indices of batches from that of step `begin` on, every event once in an epoch, but for a rest.

    Of `SORTED` batches at a time, drawn at random, each gets events with about as many `points`: little is padding.
    """
    count = len(points)
    for epoch in itertools.count(begin // (count // size)):
        generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
        made: list[Tensor] = []
        for several in torch.randperm(count, generator=generator)[: count - count % size].split(SORTED * size):
            own = several[points[several].argsort()].view(-1, size)
            made += own[torch.randperm(len(own), generator=generator)]
        yield from made[begin % len(made) :]
        begin = 0
