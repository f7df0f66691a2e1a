"""Kernels where work changes hands: tables in several runs, blocks of opposite sign, streams, near-equal angles."""

import pytest
import torch

import equiscope as eq
from equiscope.groups.rotations import about_y, about_z, hat
from equiscope.kernels import products, reference
from equiscope.kernels.registry import backend
from equiscope.ops.projection import CharacterProjection, power_and_moments, power_at_once

DOUBLE = torch.float64
CPU = backend(torch.device("cpu"))


def projected(values, rings, weights, lmax, center=None, dtype=DOUBLE):
    out = torch.zeros(products.matrix_count(lmax), values.shape[2], dtype=dtype)
    CPU.project(values, rings, weights, lmax, center, out)
    return out


def test_scattered_rings_beyond_one_table_are_all_counted():
    # D of 3,000 rings up to l = 20 take 296 MB, in chunks of 32; those of 100 fit into one
    rings, weights = eq.random_rotations(3000), torch.rand(3000, dtype=DOUBLE)
    values = torch.randn(3000, 1, 2, dtype=DOUBLE)
    whole = projected(values, rings, weights, 20)
    parts = [projected(values[i : i + 100], rings[i : i + 100], weights[i : i + 100], 20) for i in range(0, 3000, 100)]
    expected = torch.stack(parts).sum(0)
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-11 * float(weights.sum()))


def test_a_grid_beyond_one_table_of_angles_is_counted_whole():
    # d of its angles beta up to l = 40 takes several runs; the same grid ring by ring has no such table
    grid, lmax = eq.quadrature(80), 40
    assert power_at_once(grid, 20, torch.device("cpu")) and not power_at_once(grid, lmax, torch.device("cpu"))
    axis = grid.rotations[:, :, 2]
    values = eq.spherical_harmonics(axis, 3)[:, [2, 10]] + 0.1 * grid.rotations[:, 2, :2]
    values = values + (9 * grid.rotations[:, 0, :1]).sin()
    power = eq.character_power(values, grid, lmax)
    stream = CharacterProjection(grid, lmax, 2)
    shaped = values.reshape(2, grid.rings.shape[0], grid.gammas, 2)
    for coset in range(2):
        for start in range(0, grid.rings.shape[0], 100):
            own = slice(start, min(start + 100, grid.rings.shape[0]))
            stream.update(shaped[coset, own], own, coset)
    torch.testing.assert_close(power, stream.power(), rtol=0, atol=1e-13 * float(values.square().max()))
    # content up to the top, or nothing was compared
    assert float(power[9:20].amax((0, 1)).min()) > 1e-6


@pytest.mark.parametrize("channels", [3, 131])
@pytest.mark.parametrize("aligned", [True, False])
def test_a_centre_is_taken_off_in_float64(channels, aligned):
    # 1 + 1e-9 is 1 in float32; whole vectors of channels and some left over, rings in octants and scattered ones
    grid = eq.quadrature(8)
    rings = grid.rings if aligned else eq.random_rotations(50)
    weights = torch.full((rings.shape[0],), 1 / rings.shape[0], dtype=DOUBLE)
    values = torch.ones(rings.shape[0], 4, channels)
    center = torch.full((channels,), 1.0 + 1e-9, dtype=DOUBLE)
    for dtype in (torch.float32, DOUBLE):
        found = projected(values, rings, weights, 2, center, dtype)
        torch.testing.assert_close(found[0], torch.full((channels,), -1e-9, dtype=dtype), rtol=1e-6, atol=0)


@pytest.mark.parametrize("degree", [6, 7])
@pytest.mark.parametrize("channels", [3, 131])
def test_means_that_come_with_the_power_are_those_of_the_values(degree, channels):
    # rings of odd and of even length: these have a sample in the middle that no other mirrors
    grid = eq.quadrature(degree)
    assert power_at_once(grid, 2, torch.device("cpu")) and grid.gammas == degree + 1
    values, center = torch.randn(len(grid), channels, dtype=DOUBLE), torch.randn(channels, dtype=DOUBLE)
    power, (mean, square) = power_and_moments(values, grid, 2, center)
    expected = [(grid.weights @ (values - center) ** k) / grid.weights.sum() for k in (1, 2)]
    torch.testing.assert_close(mean, expected[0], rtol=0, atol=1e-13)
    torch.testing.assert_close(square, expected[1], rtol=0, atol=1e-13)
    torch.testing.assert_close(power, eq.character_power(values, grid, 2), rtol=0, atol=1e-13)


def test_rings_may_start_anywhere():
    # octants by their first two angles, each ring turned about its own axis by a third one
    grid, lmax = eq.quadrature(8), 4
    rings = grid.rings @ about_z(torch.rand(grid.rings.shape[0], dtype=DOUBLE) * 6)
    assert CPU.power_at_once(rings, grid.ring_weights, grid.gammas, lmax, rings.device)
    values = torch.randn(rings.shape[0], grid.gammas, 5, dtype=DOUBLE)
    found = projected(values, rings, grid.ring_weights, lmax)
    expected = torch.zeros_like(found)
    elements = products.elements(rings, grid.ring_weights, grid.gammas)
    products.project(values.flatten(0, 1), *elements, lmax, None, expected, CPU.wigner_D)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("apart", [1e-9, 1e-7])
def test_angles_that_nearly_agree_are_not_one(apart):
    lmax = 16
    beta = torch.tensor([0.7, 0.7 + apart], dtype=DOUBLE)
    alpha = torch.arange(24, dtype=DOUBLE) * 0.26
    rings = torch.cat([about_z(alpha) @ about_y(b.expand(24)) for b in beta])
    weights = torch.cat([torch.ones(24), -torch.ones(24)]).to(DOUBLE)
    # what is left of a constant on both is a derivative by beta, times `apart`
    values = torch.ones(48, 34, 1, dtype=DOUBLE)
    found = projected(values, rings, weights, lmax)
    expected = torch.zeros_like(found)
    elements = products.elements(rings, weights, 34)
    products.project(values.flatten(0, 1), *elements, lmax, None, expected, CPU.wigner_D)
    assert float(expected.abs().max()) > 10 * apart
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("rep", ["16x1o+16x1e", "17x1e+17x1o+17x2o", "16x2e+16x2o+33x0o+1x1o"])
def test_blocks_of_opposite_parity_keep_their_own_sign(rep, layout, dtype):
    g = eq.random_rotations(6, group="O3", dtype=dtype)
    assert set(torch.linalg.det(g).sign().tolist()) == {1.0, -1.0}
    dim = eq.Irreps.parse(rep).dim
    x = torch.randn(6, 5, dim, dtype=dtype)
    for inverse in (False, True):
        found = eq.rotate(x, g[:, None], rep, layout=layout, inverse=inverse)
        expected = reference.rotate(x, g[:, None].expand(6, 5, 3, 3), rep, layout=layout, inverse=inverse)
        eps = 1e-13 if dtype == DOUBLE else 1e-5
        torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=eps)


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32])
def test_results_that_pass_by_the_caches_are_those_that_do_not(dtype):
    # 17 copies side by side: no row but the first starts at a whole vector
    rep, rows = "17x1o+17x2e", 12_000
    x = torch.randn(1, rows, 17 * 8, dtype=dtype)
    g = eq.random_rotations(6, group="O3", dtype=dtype)
    whole = eq.rotate(x, g[:, None], rep, layout="ir_mul")
    assert whole.nbytes > 30e6
    for start in range(0, rows, 4000):
        part = x[:, start : start + 100]
        assert torch.equal(whole[:, start : start + 100], eq.rotate(part, g[:, None], rep, layout="ir_mul"))


@pytest.mark.parametrize("scale", [1e-160, 1e-300, 1e-310, 1e160, 1e300])
def test_harmonics_know_directions_of_any_length(scale):
    xyz = torch.randn(37, 3, dtype=DOUBLE)
    # of a number that has lost digits already the direction is that of what is left
    short = scale * xyz
    expected = eq.spherical_harmonics(short / scale if scale > 1e-305 else short * 2.0**1000, 8)
    torch.testing.assert_close(eq.spherical_harmonics(short, 8), expected, rtol=0, atol=1e-13)


def test_a_matrix_a_little_off_is_replaced_by_its_polar_factor():
    R = eq.random_rotations(20)
    stretched = R @ torch.linalg.matrix_exp(1e-9 * torch.randn(20, 3, 3, dtype=DOUBLE).mT)
    D = eq.wigner_D(stretched, 8)[8]
    one = torch.eye(17, dtype=DOUBLE)
    torch.testing.assert_close(D @ D.mT, one.expand(20, 17, 17), rtol=0, atol=4e-14)
    left, _, right = torch.linalg.svd(stretched)
    torch.testing.assert_close(D, eq.wigner_D(left @ right, 8)[8], rtol=0, atol=4e-14)


def test_a_matrix_in_float32_is_as_good_as_its_polar_factor():
    # off by nearly as much as is taken: the square of that, times l, would show beside half a unit in the last place
    stretch = torch.eye(3, dtype=DOUBLE) + torch.diag(torch.tensor([3.5e-5, -3.5e-5, 2e-5], dtype=DOUBLE))
    given = (eq.random_rotations(10) @ stretch).float()
    left, _, right = torch.linalg.svd(given.double())
    found, expected = eq.wigner_D(given, 64)[64], eq.wigner_D(left @ right, 64)[64]
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=4e-8)


def test_a_turn_is_the_exponential_of_its_generators():
    # signs of the generators, against nothing that the kernels share
    omega = torch.tensor([0.3, -0.2, 0.5], dtype=DOUBLE)
    R = torch.linalg.matrix_exp(hat(omega))
    D = torch.linalg.matrix_exp(torch.einsum("k,kij->ij", omega, reference.generators(5)))
    torch.testing.assert_close(eq.wigner_D(R, 5)[5], D, rtol=0, atol=1e-13)
