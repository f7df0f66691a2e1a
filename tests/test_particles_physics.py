"""The generator of events of the study: its formulae against tabulated constants, its events against the formulae."""

from __future__ import annotations

import numpy as np
import pytest
from studies.particles import events, physics, transport
from studies.particles.physics import ELECTRON, MUON, PROTON, RADIATION_LENGTH

PDG_LEAST, PDG_LEAST_AT = 1.508 * 1.396, 266.0
"""Least stopping power of muons in liquid argon, MeV/cm, and the kinetic energy where it is (Particle Data Group)."""
DETECTOR = events.Detector()


def beam(count: int, mass: float, kinetic: float, label: int) -> transport.Particles:
    """Particles from the origin along z, each an event of its own."""
    return transport.Particles(
        np.arange(count), np.full(count, label), np.full(count, mass), np.full(count, kinetic), np.zeros((count, 3)),
        np.tile([0.0, 0.0, 1.0], (count, 1)),
    )  # fmt: skip


def box(count: int, half: float = 1e4, seed: int = 0) -> transport.Box:
    return transport.Box(half, count, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def simulated():
    return events.simulated(256, DETECTOR, np.random.default_rng(3))


@pytest.fixture(scope="module")
def voxels(simulated) -> events.Events:
    return events.voxelised(simulated[0], 256, DETECTOR)


def test_least_stopping_power_of_muons_is_the_tabulated_one():
    kinetic = np.geomspace(20, 1e4, 2000)
    power = physics.stopping_power(kinetic, MUON)
    assert power.min() == pytest.approx(PDG_LEAST, rel=5e-3)
    assert kinetic[power.argmin()] == pytest.approx(PDG_LEAST_AT, rel=0.02)


def test_electrons_lose_as_much_to_photons_as_to_collisions_at_the_critical_energy():
    kinetic = np.linspace(10, 80, 3000)
    collisions = physics.stopping_power_of_electrons(kinetic)
    # Rossi's definition, that of the table: collisions take E / X0
    assert kinetic[np.abs(collisions - kinetic / RADIATION_LENGTH).argmin()] == pytest.approx(
        physics.CRITICAL_ENERGY, rel=0.05
    )


def test_electrons_radiate_one_part_in_e_in_a_radiation_length():
    # 3 GeV over 2 cm: d<E>/dx = -E/X0 by photons, and what collisions take beside it
    count, start = 4000, 3000.0
    line = box(count)
    walkers = beam(count, ELECTRON, start, transport.SHOWER)
    for _ in range(20):
        line._radiated(walkers, walkers.mass == ELECTRON)
    expected = start * np.exp(-20 * transport.STEP / RADIATION_LENGTH)
    error = walkers.kinetic.std() / count**0.5
    assert walkers.kinetic.mean() == pytest.approx(expected, abs=4 * error)
    assert error < 0.01 * start


def test_hard_photons_convert_after_nine_sevenths_of_a_radiation_length():
    path = 1 / (physics.pair_rate(np.array([5e3])) + physics.compton_rate(np.array([5e3])))
    assert path[0] == pytest.approx(9 / 7 * RADIATION_LENGTH, rel=0.06)


def test_compton_rate_has_the_limit_of_thomson():
    electrons = 6.02214e23 * physics._Z_OVER_A * physics.DENSITY
    assert physics.compton_rate(np.array([1e-3]))[0] == pytest.approx(electrons * 0.66525e-24, rel=5e-3)


def test_photons_after_compton_scattering_have_the_mean_of_the_formula():
    energy = 3.0
    share = physics.compton_share(np.full(40_000, energy), np.random.default_rng(0))
    a = energy / ELECTRON
    e = np.linspace(1 / (1 + 2 * a), 1, 20_001)
    away = (1 - e) / (e * a)
    density = 1 / e + e - away * (2 - away)
    mean = np.trapezoid(e * density, e) / np.trapezoid(density, e)
    assert share.mean() == pytest.approx(mean, abs=5 * share.std() / len(share) ** 0.5)


def test_stopping_power_rises_towards_the_end_of_a_track():
    count = 200
    line = box(count)
    line._charged(beam(count, MUON, 60.0, transport.TRACK))
    track = np.concatenate(line.deposits.label) == transport.TRACK
    depth = np.concatenate(line.deposits.position)[track, 2]
    energy, event = np.concatenate(line.deposits.energy)[track], np.concatenate(line.deposits.event)[track]
    end = np.zeros(count)
    np.maximum.at(end, event, depth)
    left = end[event] - depth
    near, far = energy[left < 0.5].sum() / count / 0.5, energy[(left > 5) & (left < 10)].sum() / count / 5
    assert far == pytest.approx(physics.stopping_power(np.array([35.0]), MUON)[0], rel=0.1)
    assert near > 3 * far


def test_range_of_muons_is_the_integral_of_the_stopping_power():
    line = box(400)
    line._charged(beam(400, MUON, 50.0, transport.TRACK))
    track = np.concatenate(line.deposits.label) == transport.TRACK
    length = transport.STEP * np.bincount(np.concatenate(line.deposits.event)[track], minlength=400)
    kinetic = np.linspace(0.3, 50, 20_000)
    expected = np.trapezoid(1 / physics.stopping_power(kinetic, MUON), kinetic)
    assert length.mean() == pytest.approx(expected, rel=0.02)


def test_scattering_angles_of_steps_add_in_squares():
    once = physics.scattering_angle(np.array([500.0]), MUON, 4.0)
    assert once[0] == pytest.approx(2 * physics.scattering_angle(np.array([500.0]), MUON, 1.0)[0])
    # Highland at one radiation length, by hand: 13.6 / (beta c p) (the logarithm is that of one cm)
    beta, _ = physics.beta_gamma(np.array([500.0]), MUON)
    p = physics.momentum(np.array([500.0]), MUON)
    whole = physics.scattering_angle(np.array([500.0]), MUON, RADIATION_LENGTH)
    assert whole[0] == pytest.approx(13.6 / (beta[0] * p[0]), rel=0.11)


def test_michel_spectrum_ends_at_half_the_mass_of_the_muon_and_has_its_mean():
    kinetic = physics.michel_energy(100_000, np.random.default_rng(0))
    total = kinetic + ELECTRON
    assert physics.MICHEL_ENDPOINT == pytest.approx(52.83, abs=0.005)
    assert 52.5 < total.max() <= physics.MICHEL_ENDPOINT
    assert total.mean() == pytest.approx(0.7 * physics.MICHEL_ENDPOINT, rel=5e-3)


def test_delta_rays_stay_below_the_largest_transfer():
    # head-on, by conservation of energy and momentum: 2 m p^2 / (M^2 + m^2 + 2 m E)
    whole = 1000.0 + MUON
    head_on = 2 * ELECTRON * (whole**2 - MUON**2) / (MUON**2 + ELECTRON**2 + 2 * ELECTRON * whole)
    assert physics.largest_transfer(np.array([1000.0]), MUON)[0] == pytest.approx(head_on)
    u = np.random.default_rng(0).random(10_000)
    energy = physics.delta_energy(u, np.full(10_000, 500.0), MUON)
    most = physics.largest_transfer(np.array([500.0]), MUON)[0]
    assert energy.min() >= physics.DELTA_CUT and 0.5 * most < energy.max() <= most
    # half of a 1/T^2 spectrum lies below the harmonic mean of its ends
    assert np.median(energy) == pytest.approx(2 / (1 / physics.DELTA_CUT + 1 / most), rel=0.03)


def test_protons_of_the_same_energy_stop_earlier_than_muons():
    assert np.all(physics.stopping_power(np.array([50.0, 140.0]), PROTON) > 2 * PDG_LEAST)


def test_no_energy_is_lost(simulated):
    _, ledger = simulated
    left = ledger.given - ledger.deposited - ledger.left - ledger.mass
    assert np.abs(left).max() < 1e-9 * ledger.given.max()
    assert ledger.deposited.mean() > 50


def test_every_class_is_there_and_tracks_are_the_most(voxels):
    shares = np.bincount(voxels.label, minlength=4) / len(voxels.label)
    shower, track, michel, delta = shares
    assert track > 0.5 and 0.15 < shower < 0.35 and 0.05 < michel < 0.2 and 0.02 < delta < 0.08


def test_voxels_are_of_the_box_once_each_and_above_the_threshold(voxels):
    assert voxels.energy.min() >= DETECTOR.threshold
    assert voxels.voxels.min() >= 0 and voxels.voxels.max() < DETECTOR.edge
    event = np.repeat(np.arange(len(voxels)), np.diff(voxels.offsets))
    assert len(np.unique(np.c_[event, voxels.voxels], axis=0)) == len(event)


def test_michel_electrons_begin_where_a_muon_ends(voxels):
    apart = []
    for i in range(len(voxels)):
        label, place = voxels.label[voxels.rows(i)], voxels.voxels[voxels.rows(i)]
        michel, track = place[label == transport.MICHEL], place[label == transport.TRACK]
        if len(michel) and len(track):
            apart.append(np.linalg.norm(michel[:, None] - track[None], axis=-1).min())
    assert np.median(apart) < 2


def test_directions_prefer_the_beam_and_are_even_about_it():
    directions = events.forward(20_000, 3.0, np.random.default_rng(0))
    assert directions[:, 2].mean() == pytest.approx(1 / np.tanh(3.0) - 1 / 3.0, abs=0.01)
    assert np.abs(directions[:, :2].mean(0)).max() < 0.02


def test_the_same_seed_gives_the_same_events():
    small = events.Detector(points=(20, 400))
    one, two, other = (events.generate(4, seed, small, chunk=16) for seed in (5, 5, 6))
    assert np.array_equal(one.voxels, two.voxels) and np.array_equal(one.energy, two.energy)
    assert len(one) == 4 and not np.array_equal(one.offsets, other.offsets)
