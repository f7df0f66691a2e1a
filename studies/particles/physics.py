"""How charged particles and photons lose their energy in liquid argon: formulae of NumPy arrays, in MeV and cm.

Sources: the Particle Data Group's review, chapter "Passage of particles through matter" (its equations for the stopping
power of heavy particles and of electrons, delta rays, multiple scattering and bremsstrahlung), and the density
effect of Sternheimer, Berger and Seltzer (1984). Each function says what it leaves out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ELECTRON, MUON, PROTON = 0.51100, 105.658, 938.272
"""Rest energies."""
DENSITY = 1.396
"""g/cm^3."""
RADIATION_LENGTH = 14.0
CRITICAL_ENERGY = 32.8
"""Of electrons: where collisions and bremsstrahlung take as much."""
_Z_OVER_A, _EXCITATION = 18 / 39.948, 188e-6
_K = 0.307075 * _Z_OVER_A * DENSITY
"""4 pi N_A r_e^2 m_e c^2 Z/A per cm."""
_DENSITY_EFFECT = {"C": 5.2146, "x0": 0.2, "x1": 3.0, "a": 0.19559, "k": 3.0}
"""Of liquid argon."""

MICHEL_ENDPOINT = (MUON**2 + ELECTRON**2) / (2 * MUON)
"""Largest total energy of the electron of a muon at rest, 52.8 MeV."""

DELTA_CUT = 1.5
"""MeV: electrons knocked on with more are followed by themselves, the others are part of the continuous loss."""
PHOTON_CUT = 1.0
"""MeV: photons with less are not followed. Their energy counts as photons that leave."""


def beta_gamma(kinetic: Array, mass: Array | float) -> tuple[Array, Array]:
    """Velocity and Lorentz factor."""
    gamma = 1 + kinetic / mass
    return np.sqrt(1 - gamma**-2), gamma


def momentum(kinetic: Array, mass: Array | float) -> Array:
    return np.sqrt(kinetic * (kinetic + 2 * mass))


def largest_transfer(kinetic: Array, mass: Array | float) -> Array:
    """Most that a heavy particle can give to an electron in one collision."""
    beta, gamma = beta_gamma(kinetic, mass)
    ratio = ELECTRON / mass
    return 2 * ELECTRON * (beta * gamma) ** 2 / (1 + 2 * gamma * ratio + ratio**2)


def _density_effect(beta_times_gamma: Array) -> Array:
    x, d = np.log10(beta_times_gamma), _DENSITY_EFFECT
    high = 2 * np.log(10) * x - d["C"]
    return np.where(x < d["x0"], 0.0, high + np.where(x < d["x1"], d["a"] * np.maximum(d["x1"] - x, 0) ** d["k"], 0.0))


def stopping_power(kinetic: Array, mass: Array | float) -> Array:
    """Mean loss per cm of a heavy particle of charge one by collisions, MeV/cm (Bethe, without shell corrections)."""
    beta, gamma = beta_gamma(kinetic, mass)
    most = largest_transfer(kinetic, mass)
    logarithm = 0.5 * np.log(2 * ELECTRON * (beta * gamma) ** 2 * most / _EXCITATION**2)
    return _K / beta**2 * np.maximum(logarithm - beta**2 - 0.5 * _density_effect(beta * gamma), 0.5)


def stopping_power_of_electrons(kinetic: Array) -> Array:
    """The same of electrons, by Moller scattering; positrons, which lose a little less, are taken for electrons."""
    beta, gamma = beta_gamma(kinetic, ELECTRON)
    logarithm = np.log((beta * gamma) ** 2 * (gamma - 1) * ELECTRON**2 / (2 * _EXCITATION**2))
    rest = 1 - beta**2 - (2 * gamma - 1) / gamma**2 * np.log(2) + ((gamma - 1) / gamma) ** 2 / 8
    return 0.5 * _K / beta**2 * np.maximum(logarithm + rest - _density_effect(beta * gamma), 1.0)


def delta_rate(kinetic: Array, mass: Array | float) -> Array:
    """Electrons with more than `DELTA_CUT` that a heavy particle knocks on per cm, before `delta_accepted`."""
    beta, _ = beta_gamma(kinetic, mass)
    return 0.5 * _K / beta**2 * np.maximum(1 / DELTA_CUT - 1 / largest_transfer(kinetic, mass), 0.0)


def delta_energy(uniform: Array, kinetic: Array, mass: Array | float) -> Array:
    """Kinetic energy of such an electron, distributed as 1/T^2."""
    most = np.maximum(largest_transfer(kinetic, mass), DELTA_CUT)
    return 1 / (1 / DELTA_CUT - uniform * (1 / DELTA_CUT - 1 / most))


def delta_accepted(energy: Array, kinetic: Array, mass: Array | float) -> Array:
    """Probability to keep it: what the spectrum of a particle with spin 0 has beyond 1/T^2."""
    beta, _ = beta_gamma(kinetic, mass)
    return 1 - beta**2 * energy / np.maximum(largest_transfer(kinetic, mass), energy)


def loss_to_deltas(kinetic: Array, mass: Array | float) -> Array:
    """What goes per cm into electrons above `DELTA_CUT`, and is no part of the continuous loss."""
    beta, _ = beta_gamma(kinetic, mass)
    most = np.maximum(largest_transfer(kinetic, mass), DELTA_CUT)
    return 0.5 * _K / beta**2 * (np.log(most / DELTA_CUT) - beta**2 * (1 - DELTA_CUT / most))


def straggling_variance(kinetic: Array, mass: Array | float) -> Array:
    """Variance per cm of the continuous loss, MeV^2/cm: collisions below `DELTA_CUT`."""
    beta, _ = beta_gamma(kinetic, mass)
    most = np.minimum(largest_transfer(kinetic, mass), DELTA_CUT)
    return 0.5 * _K / beta**2 * most * (1 - beta**2 / 2)


def delta_cosine(energy: Array, kinetic: Array, mass: Array | float) -> Array:
    """Cosine of the angle between the electron that was knocked on and the particle."""
    most = largest_transfer(kinetic, mass)
    cosine = np.sqrt(energy / most * (most + 2 * ELECTRON) / (energy + 2 * ELECTRON))
    return np.minimum(cosine, 1.0)


def scattering_angle(kinetic: Array, mass: Array | float, length: Array | float) -> Array:
    """Standard deviation in one plane of the angle after `length` cm. Highland's formula with the logarithm of one cm
    whatever the length, so that variances of steps add."""
    beta, _ = beta_gamma(kinetic, mass)
    logarithm = 1 + 0.038 * np.log(1 / RADIATION_LENGTH)
    return 13.6 * logarithm / (beta * momentum(kinetic, mass)) * np.sqrt(length / RADIATION_LENGTH)


def bremsstrahlung_rate(kinetic: Array) -> Array:
    """Photons above `PHOTON_CUT` per cm of an electron, before `bremsstrahlung_accepted`: 4/3 dk/k in a radiation
    length."""
    return 4 / 3 * np.log(np.maximum(kinetic / PHOTON_CUT, 1.0)) / RADIATION_LENGTH


def bremsstrahlung_share(uniform: Array, kinetic: Array) -> Array:
    """k/E of such a photon, distributed as 1/k from `PHOTON_CUT` up."""
    return np.maximum(PHOTON_CUT / kinetic, 1e-12) ** uniform


def bremsstrahlung_accepted(share: Array) -> Array:
    """Probability to keep it: complete screening, 4/3 - 4/3 y + y^2 of y = k/E, which holds above some 50 MeV and is
    too much by some ten per cent below."""
    return 1 - share + 0.75 * share**2


def soft_bremsstrahlung(kinetic: Array) -> Array:
    """What goes per cm into photons below `PHOTON_CUT`."""
    top = np.minimum(PHOTON_CUT, kinetic)
    y = top / kinetic
    return kinetic * (4 / 3 * y - 2 / 3 * y**2 + y**3 / 3) / RADIATION_LENGTH


def pair_rate(energy: Array) -> Array:
    """Pairs per cm of path of a photon: 7/9 in a radiation length at high energy, below that a line in the logarithm
    through 0.22 of it at 10 MeV and 0.73 at 100 MeV, about what tables of argon have."""
    return 7 / 9 / RADIATION_LENGTH * np.clip(0.22 * np.log(np.maximum(energy, 1e-3) / 3.7), 0.0, 0.95)


def compton_rate(energy: Array) -> Array:
    """Compton scatterings per cm of path, by the formula of Klein and Nishina for free electrons."""
    a = energy / ELECTRON
    logarithm = np.log(1 + 2 * a)
    first = (1 + a) / a**2 * (2 * (1 + a) / (1 + 2 * a) - logarithm / a)
    square = first + logarithm / (2 * a) - (1 + 3 * a) / (1 + 2 * a) ** 2
    return 0.5 * _K / ELECTRON * square


def compton_share(energy: Array, random: np.random.Generator) -> Array:
    """E'/E of photons after Compton scattering, by rejection from the formula of Klein and Nishina."""
    a = energy / ELECTRON
    share, left = np.ones_like(energy), np.arange(len(energy))
    while len(left):
        own = a[left]
        log = np.log(1 + 2 * own)
        weight = 0.5 * (1 - (1 + 2 * own) ** -2)
        low = random.random(len(left)) * (log + weight) < log
        u = random.random(len(left))
        lowest = 1 / (1 + 2 * own)
        tried = np.where(low, lowest**u, np.sqrt(lowest**2 + (1 - lowest**2) * u))
        away = (1 - tried) / (own * tried)
        sine2 = away * (2 - away)
        kept = random.random(len(left)) < 1 - tried * sine2 / (1 + tried**2)
        share[left[kept]] = tried[kept]
        left = left[~kept]
    return share


def michel_energy(count: int, random: np.random.Generator) -> Array:
    """Kinetic energies of electrons of muons at rest: x^2 (3 - 2x) of x = E / `MICHEL_ENDPOINT`, unpolarised, without
    radiative corrections."""
    x, left = np.zeros(count), np.arange(count)
    while len(left):
        tried = random.random(len(left)) ** (1 / 3)
        kept = random.random(len(left)) < 1 - 2 / 3 * tried
        x[left[kept]] = tried[kept]
        left = left[~kept]
    return np.maximum(x * MICHEL_ENDPOINT - ELECTRON, 0.05)
