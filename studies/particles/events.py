"""Seeded events of a small liquid-argon detector: voxels with their energy and the class of what left it.

An event has up to five particles, drawn independently: muons that cross the box, muons that stop in it and decay,
protons, and electrons and photons that begin showers. Directions prefer +z, as in a beam; nothing else, the walls and
the axes of the voxels apart, knows a direction, and nothing at all knows left from right. What is left out:
hadronic interactions, pions, capture of muons, annihilation of positrons, delta rays of electrons,
recombination, diffusion, electronic noise, dead wires, and the spread of charge over neighbouring voxels.
Approximations of what is there are said in `physics` and `transport`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import physics, transport
from .physics import Array
from .transport import Ledger, Particles, Whole

CLASSES = ("shower", "track", "michel", "delta")
"""In the order of PILArNet-M, which has 4, low-energy scatters, beside them."""


@dataclass(frozen=True)
class Detector:
    """A cube of voxels, and what is drawn into it."""

    edge: int = 96
    """Voxels along an edge; PILArNet has 768."""
    voxel: float = 0.3
    """cm, as in PILArNet."""
    threshold: float = 0.13
    """MeV: voxels with less are dropped, as PoLAr-MAE's preparation of its data does."""
    points: tuple[int, int] = (96, 320)
    """Events with fewer or more voxels are drawn again."""
    forward: float = 3.0
    """Concentration of directions about +z (von Mises and Fisher): their mean cosine is 0.67."""
    crossing: float = 0.5
    stopping: float = 0.6
    proton: float = 0.35
    electron: float = 0.35
    photon: float = 0.35
    """Probabilities that an event has one."""

    @property
    def half(self) -> float:
        """cm."""
        return 0.5 * self.edge * self.voxel

    @property
    def centre(self) -> float:
        """Of the box in voxels along each axis, the middle of voxel i lying at i."""
        return 0.5 * (self.edge - 1)

    @property
    def scale(self) -> float:
        """Voxels in a unit of normalised coordinates: from the centre to a corner."""
        return 0.5 * self.edge * 3**0.5


@dataclass
class Events:
    """Voxels of all events one after the other; event i has those from ``offsets[i]`` to ``offsets[i + 1]``."""

    voxels: Whole
    """``(N, 3)`` whole coordinates."""
    energy: Array
    """``(N,)`` MeV."""
    label: Whole
    """``(N,)`` index into `CLASSES`."""
    offsets: Whole

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self, event: int) -> slice:
        return slice(int(self.offsets[event]), int(self.offsets[event + 1]))

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> Events:
        with np.load(path, allow_pickle=False) as file:
            return cls(**{name: file[name] for name in cls.__annotations__})


def forward(count: int, concentration: float, random: np.random.Generator) -> Array:
    """Directions distributed as exp(concentration cos) about +z."""
    u = random.random(count)
    cosine = 1 + np.log(u + (1 - u) * np.exp(-2 * concentration)) / concentration
    axis = np.tile([0.0, 0.0, 1.0], (count, 1))
    return transport.tilted(axis, cosine, random)


def primaries(events: int, detector: Detector, random: np.random.Generator) -> Particles:
    """What the events begin with."""
    half = detector.half
    parts = []
    # probability, label, mass, lowest and highest kinetic energy (uniform in the logarithm), which part of the box
    kinds = (
        (detector.crossing, transport.TRACK, physics.MUON, 300.0, 3000.0, 0.7),
        (detector.stopping, transport.TRACK, physics.MUON, 25.0, 80.0, 0.8),
        (detector.proton, transport.TRACK, physics.PROTON, 40.0, 140.0, 0.7),
        (detector.electron, transport.SHOWER, physics.ELECTRON, 40.0, 200.0, 0.6),
        (detector.photon, transport.SHOWER, 0.0, 40.0, 200.0, 0.8),
    )
    for probability, label, mass, low, high, within in kinds:
        event = np.flatnonzero(random.random(events) < probability)
        count = len(event)
        kinetic = low * (high / low) ** random.random(count)
        position = within * half * (2 * random.random((count, 3)) - 1)
        direction = forward(count, detector.forward, random)
        if low > 200:  # back along the line to where it enters
            back = ((np.sign(direction) * position + half) / np.abs(direction)).min(-1)
            position = position - back[:, None] * direction * (1 - 1e-9)
        if mass and low < 200 and label == transport.TRACK:  # upstream, so that it ends in the box more often
            position = position - 0.3 * half * direction
            position = np.clip(position, -0.99 * half, 0.99 * half)
        rows = (np.full(count, label), np.full(count, mass))
        parts.append(Particles(event, *rows, kinetic, position, direction))
    return transport.joined(parts)


def simulated(events: int, detector: Detector, random: np.random.Generator) -> tuple[transport.Deposits, Ledger]:
    """Deposits of new events, and where their energy went."""
    box = transport.Box(detector.half, events, random)
    box.follow(primaries(events, detector, random))
    return box.deposits, box.ledger


def voxelised(deposits: transport.Deposits, events: int, detector: Detector) -> Events:
    """Deposits summed in voxels. Each has the class that left most in it, once low-energy scatters are dropped."""
    label = np.concatenate(deposits.label)
    kept = label != transport.SCATTER
    event = np.concatenate(deposits.event)[kept]
    cell = np.floor((np.concatenate(deposits.position)[kept] + detector.half) / detector.voxel).astype(np.int64)
    cell = np.clip(cell, 0, detector.edge - 1)
    place = ((event * detector.edge + cell[:, 0]) * detector.edge + cell[:, 1]) * detector.edge + cell[:, 2]
    places, inverse = np.unique(place, return_inverse=True)
    energy = np.zeros((len(places), len(CLASSES)))
    np.add.at(energy, (inverse, label[kept]), np.concatenate(deposits.energy)[kept])
    total, winner = energy.sum(-1), energy.argmax(-1)
    bright = total >= detector.threshold
    places, total, winner = places[bright], total[bright], winner[bright]
    voxels = np.stack(np.unravel_index(places, (events, *(detector.edge,) * 3)), -1)
    offsets = np.searchsorted(voxels[:, 0], np.arange(events + 1))
    return Events(voxels[:, 1:], total, winner, offsets)


def generate(count: int, seed: int, detector: Detector | None = None, chunk: int = 512) -> Events:
    """`count` events, the same for the same `seed`, `chunk`, the number drawn at a time, and version of NumPy."""
    detector = Detector() if detector is None else detector
    random = np.random.default_rng(seed)
    parts: list[Events] = []
    while sum(map(len, parts)) < count:
        deposits, _ = simulated(chunk, detector, random)
        parts.append(selected(voxelised(deposits, chunk, detector), detector.points))
    return first(parts, count)


def selected(events: Events, points: tuple[int, int]) -> Events:
    """Those with as many voxels."""
    sizes = np.diff(events.offsets)
    kept = (points[0] <= sizes) & (sizes <= points[1])
    rows = np.repeat(kept, sizes)
    offsets = np.concatenate([[0], np.cumsum(sizes[kept])])
    return Events(events.voxels[rows], events.energy[rows], events.label[rows], offsets)


def first(parts: list[Events], count: int) -> Events:
    """The first `count` events of several pieces."""
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])[:count]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    end = int(offsets[-1])
    voxels, energy, label = (
        np.concatenate([vars(part)[name] for part in parts])[:end] for name in ("voxels", "energy", "label")
    )
    return Events(voxels, energy, label, offsets)
