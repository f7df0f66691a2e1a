"""Particles on their way through a box of liquid argon: all of them one step further at a time, until none is left."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from . import physics
from .physics import ELECTRON, MUON, Array

SHOWER, TRACK, MICHEL, DELTA, SCATTER = range(5)
"""What a deposit is labelled by: the four classes of PILArNet, and low-energy scatters, which the study drops."""

STEP = 0.1
"""cm; a third of a voxel."""
SCATTER_BELOW = 5.0
"""MeV: electrons set free by photons with less are low-energy scatters, blips that belong to no trajectory."""

Whole = NDArray[np.int64]


@dataclass
class Particles:
    """Charged particles or photons, one row each."""

    event: Whole
    label: Whole
    mass: Array
    """0 of photons."""
    kinetic: Array
    position: Array
    direction: Array

    def __len__(self) -> int:
        return len(self.event)

    def __getitem__(self, rows: NDArray[np.bool_] | Whole) -> Particles:
        return Particles(*(value[rows] for value in vars(self).values()))


def joined(parts: list[Particles]) -> Particles:
    """One after the other."""
    return Particles(*(np.concatenate([vars(part)[name] for part in parts]) for name in Particles.__annotations__))


@dataclass
class Deposits:
    """Energy left along steps, one row each; positions are the middles of steps."""

    event: list[Whole] = field(default_factory=list)
    label: list[Whole] = field(default_factory=list)
    energy: list[Array] = field(default_factory=list)
    position: list[Array] = field(default_factory=list)

    def add(self, particles: Particles, energy: Array, position: Array) -> None:
        self.event.append(particles.event)
        self.label.append(particles.label)
        self.energy.append(energy)
        self.position.append(position)


@dataclass
class Ledger:
    """Where the energy of each event went, MeV: ``given = deposited + left + mass``."""

    given: Array
    """Kinetic energy of what the event began with, and of the electrons of muons that decayed."""
    deposited: Array
    left: Array
    """With charged particles and photons that left the box, and photons too soft to be followed."""
    mass: Array
    """Rest energy of pairs, whose annihilation is not followed."""

    @classmethod
    def of(cls, events: int) -> Ledger:
        return cls(*(np.zeros(events) for _ in range(4)))


def frame(direction: Array) -> tuple[Array, Array]:
    """Two unit vectors normal to each direction and to each other."""
    axis = np.zeros_like(direction)
    axis[np.arange(len(direction)), np.abs(direction).argmin(-1)] = 1
    first = np.cross(direction, axis)
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    return first, np.cross(direction, first)


def tilted(direction: Array, cosine: Array, random: np.random.Generator) -> Array:
    """Directions at an angle to `direction`, at a random azimuth."""
    first, second = frame(direction)
    azimuth = 2 * np.pi * random.random(len(direction))
    sine = np.sqrt(np.maximum(1 - cosine**2, 0))
    across = np.cos(azimuth)[:, None] * first + np.sin(azimuth)[:, None] * second
    return cosine[:, None] * direction + sine[:, None] * across


def isotropic(count: int, random: np.random.Generator) -> Array:
    """Uniform directions."""
    direction = random.normal(size=(count, 3))
    return direction / np.linalg.norm(direction, axis=-1, keepdims=True)


class Box:
    """Follows particles through a cube about the origin.

    Args:
        half: half of its edge, cm.
        events: their number.
        random: source of all randomness.
    """

    def __init__(self, half: float, events: int, random: np.random.Generator) -> None:
        self.half, self.random = half, random
        self.deposits, self.ledger = Deposits(), Ledger.of(events)

    def follow(self, particles: Particles) -> None:
        """All of them and what they set free, to the end."""
        np.add.at(self.ledger.given, particles.event, particles.kinetic)
        while len(particles):
            photons = particles.mass == 0
            particles = joined([*self._photons(particles[photons]), *self._charged(particles[~photons])])

    def _inside(self, position: Array) -> NDArray[np.bool_]:
        return (np.abs(position) < self.half).all(-1)

    def _leave(self, particles: Particles, energy: Array) -> None:
        np.add.at(self.ledger.left, particles.event, energy)

    def _charged(self, walkers: Particles) -> list[Particles]:
        """Charged particles to their ends; what they set free."""
        free: list[Particles] = [walkers[:0]]
        while len(walkers):
            electrons = walkers.mass == ELECTRON
            free += self._radiated(walkers, electrons)
            free += self._knocked_on(walkers, ~electrons)
            walkers, stopped = self._stepped(walkers)
            free += self._decayed(stopped)
        return free

    def _radiated(self, walkers: Particles, electrons: NDArray[np.bool_]) -> list[Particles]:
        """Photons of this step, and the loss to soft ones."""
        rows = np.flatnonzero(electrons)
        kinetic = walkers.kinetic[rows]
        soft = np.minimum(physics.soft_bremsstrahlung(kinetic) * STEP, 0.5 * kinetic)
        walkers.kinetic[rows] -= soft
        self._leave(walkers[rows], soft)
        rows = rows[self.random.random(len(rows)) < physics.bremsstrahlung_rate(walkers.kinetic[rows]) * STEP]
        share = physics.bremsstrahlung_share(self.random.random(len(rows)), walkers.kinetic[rows])
        kept = self.random.random(len(rows)) < physics.bremsstrahlung_accepted(share)
        rows, share = rows[kept], share[kept]
        photons = walkers[rows]
        photons.kinetic, photons.mass = share * photons.kinetic, np.zeros(len(rows))
        walkers.kinetic[rows] -= photons.kinetic
        return [photons]

    def _knocked_on(self, walkers: Particles, heavy: NDArray[np.bool_]) -> list[Particles]:
        """Delta rays of this step."""
        rows = np.flatnonzero(heavy)
        rate = physics.delta_rate(walkers.kinetic[rows], walkers.mass[rows])
        rows = rows[self.random.random(len(rows)) < rate * STEP]
        kinetic, mass = walkers.kinetic[rows], walkers.mass[rows]
        energy = physics.delta_energy(self.random.random(len(rows)), kinetic, mass)
        kept = self.random.random(len(rows)) < physics.delta_accepted(energy, kinetic, mass)
        rows, energy, kinetic, mass = rows[kept], energy[kept], kinetic[kept], mass[kept]
        electrons = walkers[rows]
        cosine = physics.delta_cosine(energy, kinetic, mass)
        electrons.direction = tilted(electrons.direction, cosine, self.random)
        electrons.kinetic, electrons.mass = energy, np.full(len(rows), ELECTRON)
        electrons.label = np.full(len(rows), DELTA)
        walkers.kinetic[rows] -= energy
        return [electrons]

    def _stepped(self, walkers: Particles) -> tuple[Particles, Particles]:
        """Continuous loss, scattering, one step; those that go on, and those that stopped."""
        loss = np.minimum(self._loss(walkers), walkers.kinetic)
        stops = walkers.kinetic - loss < 1e-3
        loss = np.where(stops, walkers.kinetic, loss)
        along = walkers.position + 0.5 * STEP * walkers.direction
        self.deposits.add(walkers, loss, along)
        np.add.at(self.ledger.deposited, walkers.event, loss)
        walkers.kinetic = walkers.kinetic - loss
        walkers.position = walkers.position + STEP * walkers.direction * ~stops[:, None]
        inside = self._inside(walkers.position)
        self._leave(walkers[~inside], walkers.kinetic[~inside])
        stopped, walkers = walkers[stops & inside], walkers[~stops & inside]
        width = np.minimum(physics.scattering_angle(walkers.kinetic, walkers.mass, STEP), 1.0)
        first, second = frame(walkers.direction)
        angles = width[:, None] * self.random.normal(size=(len(walkers), 2))
        bent = walkers.direction + angles[:, :1] * first + angles[:, 1:] * second
        walkers.direction = bent / np.linalg.norm(bent, axis=-1, keepdims=True)
        return walkers, stopped

    def _loss(self, walkers: Particles) -> Array:
        """Continuous loss of a step, with its straggling: gamma distributed, so that it is positive."""
        electrons = walkers.mass == ELECTRON
        loss = np.empty(len(walkers))
        loss[electrons] = physics.stopping_power_of_electrons(walkers.kinetic[electrons]) * STEP
        kinetic, mass = walkers.kinetic[~electrons], walkers.mass[~electrons]
        mean = (physics.stopping_power(kinetic, mass) - physics.loss_to_deltas(kinetic, mass)) * STEP
        variance = physics.straggling_variance(kinetic, mass) * STEP
        loss[~electrons] = self.random.gamma(mean**2 / variance, variance / mean)
        return loss

    def _decayed(self, stopped: Particles) -> list[Particles]:
        """Michel electrons of muons at rest."""
        electrons = stopped[stopped.mass == MUON]
        count = len(electrons)
        electrons.kinetic = physics.michel_energy(count, self.random)
        electrons.mass, electrons.label = np.full(count, ELECTRON), np.full(count, MICHEL)
        electrons.direction = isotropic(count, self.random)
        np.add.at(self.ledger.given, electrons.event, electrons.kinetic)
        return [electrons]

    def _photons(self, photons: Particles) -> list[Particles]:
        """Photons to their next interaction; what comes of it."""
        pair, compton = physics.pair_rate(photons.kinetic), physics.compton_rate(photons.kinetic)
        path = self.random.exponential(size=len(photons)) / (pair + compton)
        photons.position = photons.position + path[:, None] * photons.direction
        inside = self._inside(photons.position)
        self._leave(photons[~inside], photons.kinetic[~inside])
        pairs = self.random.random(len(photons)) * (pair + compton) < pair
        return [*self._paired(photons[pairs & inside]), *self._scattered(photons[~pairs & inside])]

    def _paired(self, photons: Particles) -> list[Particles]:
        """Pairs that share the energy uniformly, at angles of m / E."""
        np.add.at(self.ledger.mass, photons.event, np.full(len(photons), 2 * ELECTRON))
        energy = photons.kinetic - 2 * ELECTRON
        share = self.random.random(len(photons))
        label = _of_photons(photons)
        made = []
        for own in (share * energy, (1 - share) * energy):
            angle = self.random.exponential(size=len(own)) * ELECTRON / np.maximum(photons.kinetic, 2 * ELECTRON)
            direction = tilted(photons.direction, np.cos(np.minimum(angle, 1.5)), self.random)
            mass = np.full(len(own), ELECTRON)
            made.append(Particles(photons.event, label, mass, np.maximum(own, 1e-6), photons.position, direction))
        return made

    def _scattered(self, photons: Particles) -> list[Particles]:
        """Compton scattering: an electron, and the photon while it is hard enough."""
        share = physics.compton_share(photons.kinetic, self.random)
        after, given = share * photons.kinetic, (1 - share) * photons.kinetic
        cosine = 1 - (1 - share) * ELECTRON / np.maximum(after, 1e-12)
        direction = tilted(photons.direction, cosine, self.random)
        recoil = photons.kinetic[:, None] * photons.direction - after[:, None] * direction
        recoil /= np.maximum(np.linalg.norm(recoil, axis=-1, keepdims=True), 1e-12)
        mass = np.full(len(photons), ELECTRON)
        label = np.where(given < SCATTER_BELOW, SCATTER, _of_photons(photons))
        electrons = Particles(photons.event, label, mass, given, photons.position, recoil)
        soft = after < physics.PHOTON_CUT
        self._leave(photons[soft], after[soft])
        on = Particles(photons.event, photons.label, photons.mass, after, photons.position, direction)[~soft]
        return [electrons, on]


def _of_photons(photons: Particles) -> Whole:
    """What the electrons that a photon sets free are: of a shower, or scatters where the photon is soft or comes of a
    trajectory that is none."""
    return np.where((photons.label == SHOWER) & (photons.kinetic >= SCATTER_BELOW), SHOWER, SCATTER)
