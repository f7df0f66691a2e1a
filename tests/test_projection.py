"""Projection onto the irreps of O(3): the sectors with known answers, Parseval, and the adjoint."""

import pytest
import torch

import equiscope as eq
from equiscope.kernels import reference
from equiscope.kernels.cpu import CpuBackend
from equiscope.kernels.plain import PlainBackend
from equiscope.ops.projection import CharacterProjection, _of_cosets, _project, _synthesize

DOUBLE, SINGLE = torch.float64, torch.float32


def size(lmax):
    return (lmax + 1) * (2 * lmax + 1) * (2 * lmax + 3) // 3


def analytic(grid):
    """1, z, xy, xyz of a turned unit vector, and these times det of a turned orthonormal frame, on a grid of O(3)."""
    x, y, z = grid.rotations[:, :, 2].unbind(-1)
    even = torch.stack([torch.ones_like(z), z, x * y, x * y * z], dim=1)
    return torch.cat([even, even * torch.linalg.det(grid.rotations)[:, None]], dim=1)


@pytest.mark.parametrize("degree", [8, 17, 24])
def test_analytic_sectors(degree):
    grid = eq.quadrature(degree)
    B = eq.character_power(analytic(grid), grid, 4)
    expected = torch.zeros_like(B)
    for l, power in enumerate((1.0, 1 / 3, 1 / 15, 1 / 105)):
        expected[l, 0, l] = power
        expected[l, 1, 4 + l] = power
    torch.testing.assert_close(B, expected, rtol=0, atol=1e-12)


def band_limited(grid, lmax, channels, dtype=DOUBLE):
    """Random functions on O(3) with content up to lmax, and their coefficients of both cosets."""
    c = torch.randn(2, size(lmax), channels, dtype=DOUBLE)
    rotations = grid.rotations[: len(grid) // 2]
    D = torch.cat([(2 * l + 1) * D.flatten(1) for l, D in enumerate(eq.wigner_D(rotations, lmax))], dim=1)
    return torch.cat([D @ c[0], D @ c[1]]).to(dtype), c


@pytest.mark.parametrize(("dtype", "bound"), [(DOUBLE, 1e-13), (SINGLE, 1e-5)])
@pytest.mark.parametrize("lmax", [0, 1, 4, 8])
def test_parseval(lmax, dtype, bound):
    grid = eq.quadrature(2 * lmax)
    u, _ = band_limited(grid, lmax, 3, dtype)
    total = grid.weights @ u.double().square()
    B = eq.character_power(u, grid, lmax)
    assert B.dtype == dtype and B.shape == (lmax + 1, 2, 3)
    assert float(((B.double().sum((0, 1)) - total) / total).abs().max()) < bound * 10


def test_coefficients_come_back_on_a_grid_of_twice_the_degree():
    grid, lmax = eq.quadrature(16), 8
    u, c = band_limited(grid, lmax, 2)
    projection = CharacterProjection(grid, lmax, 2)
    for coset, values in enumerate(u.reshape(2, -1, grid.gammas, 2)):
        projection.update(values, slice(None), coset)
    torch.testing.assert_close(projection.coefficients, c, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("degree", "lmax"), [(0, 0), (2, 1), (5, 2), (8, 4), (16, 8), (18, 9)])
@pytest.mark.parametrize("group", ["O3", "SO3"])
@pytest.mark.parametrize("rest", [(), (1,), (3,), (2, 5), (17,), (0,)])
def test_separable_projection_agrees_with_the_dense_reference(degree, lmax, group, rest):
    grid = eq.quadrature(degree, group=group)
    u = torch.randn(len(grid), *rest, dtype=DOUBLE)
    B = eq.character_power(u, grid, lmax)
    expected = reference.character_power(u, grid, lmax)
    assert B.shape == expected.shape == (lmax + 1, 2 if group == "O3" else 1, *rest)
    torch.testing.assert_close(B, expected, rtol=0, atol=1e-12)


def test_arbitrary_grid_in_any_order_agrees_with_the_rings():
    grid = eq.quadrature(8)
    u = torch.randn(len(grid), 4, dtype=DOUBLE)
    expected = eq.character_power(u, grid, 4)
    torch.testing.assert_close(eq.character_power(u, (grid.rotations, grid.weights), 4), expected, rtol=0, atol=1e-13)
    order = torch.randperm(len(grid))
    # the weights of a coset may have any sum
    mixed = eq.character_power(u[order], (grid.rotations[order], 7 * grid.weights[order]), 4)
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-13)
    float_grid = (grid.rotations[order].to(SINGLE), grid.weights[order].to(SINGLE))
    torch.testing.assert_close(eq.character_power(u[order], float_grid, 4), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("dtype", "bound"), [(DOUBLE, 1e-13), (SINGLE, 1e-5)])
@pytest.mark.parametrize(("degree", "lmax", "group"), [(0, 0, "O3"), (8, 4, "O3"), (16, 8, "SO3"), (40, 20, "SO3")])
def test_synthesis_is_the_adjoint_of_projection(degree, lmax, group, dtype, bound):
    grid = eq.quadrature(degree, group=group)
    rings, weights = _of_cosets(grid.rings, grid.ring_weights, grid.cosets)
    u = torch.randn(len(rings), grid.gammas, 3, dtype=dtype)
    c = torch.randn(2, size(lmax), 3, dtype=dtype)
    projected = _project(u, rings, weights, lmax, grid.cosets, True)
    synthesized = _synthesize(c, rings, weights, grid.gammas, lmax, grid.cosets)
    left, right = (projected.double() * c.double()).sum(), (u.double() * synthesized.double()).sum()
    scale = projected.double().norm() * c.double().norm()
    assert float((left - right).abs() / scale) < bound


def test_large_constant_costs_no_digits():
    grid = eq.quadrature(8)
    u = analytic(grid)[:, :4]
    shifted = eq.character_power(u + 1e6, grid, 4)
    B = eq.character_power(u, grid, 4)
    # u + 1e6 itself has lost ten digits; nothing else is lost
    torch.testing.assert_close(shifted[1:], B[1:], rtol=0, atol=1e-9)
    assert float(shifted[0, 1].abs().max()) < 1e-18
    constant = eq.character_power(torch.full((len(grid), 1), 1e6, dtype=SINGLE), grid, 4)
    assert float(constant[0, 0]) == pytest.approx(1e12, rel=1e-6)
    assert float(constant[1:].abs().max()) == float(constant[0, 1].abs().max()) == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_accumulates_in_float32(dtype):
    grid = eq.quadrature(8)
    u = torch.randn(len(grid), 3).to(dtype)
    B = eq.character_power(u, grid, 4)
    assert B.dtype == SINGLE
    torch.testing.assert_close(B, eq.character_power(u.to(SINGLE), grid, 4), rtol=0, atol=0)


@pytest.mark.parametrize("piece", [1, 3, 1000])
@pytest.mark.parametrize(("values", "out"), [(DOUBLE, DOUBLE), (SINGLE, DOUBLE), (SINGLE, SINGLE), (DOUBLE, SINGLE)])
def test_streaming_agrees_with_the_whole(piece, values, out):
    grid, channels = eq.quadrature(8), 5
    u = (torch.randn(len(grid), channels, dtype=DOUBLE) + 100).to(values)
    stream = CharacterProjection(grid, 4, channels, dtype=out)
    center = u[0].double()
    split = u.reshape(2, -1, grid.gammas, channels)
    for coset in (1, 0):
        for start in range(0, split.shape[1], piece):
            points = slice(start, start + piece)
            stream.update(split[coset, points], points, coset, center=center)
    expected = reference.character_power(u.double(), grid, 4)
    bound = 1e-14 if out == DOUBLE else 2e-7
    torch.testing.assert_close(stream.power(center.to(out)).double(), expected, rtol=0, atol=bound * 1e4)


def test_streaming_refuses_what_does_not_fit():
    grid = eq.quadrature(4)
    stream = CharacterProjection(grid, 2, 3)
    good = torch.zeros(2, grid.gammas, 3)
    for values, points, coset, center in (
        (good[..., :2], slice(0, 2), 0, None),
        (good, slice(0, 3), 0, None),
        (good, slice(0, 2), 2, None),
        (good, slice(0, 2), -1, None),
        (good, slice(0, 2), 0, torch.zeros(2)),
        (good.long(), slice(0, 2), 0, None),
    ):
        with pytest.raises(eq.errors.EquiscopeError):
            stream.update(values, points, coset, center=center)


def test_power_does_not_depend_on_the_orientation_of_the_function():
    # the grid turns from the left: c becomes D c, and the sum over m, n of squares stays
    grid = eq.quadrature(16)
    turn = eq.random_rotations(1)[0]
    u = torch.tanh(grid.rotations @ torch.tensor([0.3, -0.2, 0.9], dtype=DOUBLE)).sum(-1)
    v = torch.tanh(turn @ grid.rotations @ torch.tensor([0.3, -0.2, 0.9], dtype=DOUBLE)[:, None])
    w = torch.tanh(grid.rotations @ turn @ torch.tensor([0.3, -0.2, 0.9], dtype=DOUBLE)).sum(-1)
    assert v.shape[0] == len(grid)
    # what is odd under inversion lives in odd l of sigma +1 only
    B, C = eq.character_power(u, grid, 6), eq.character_power(w, grid, 6)
    assert float(B[::2].abs().max()) < 1e-12 and float(B[:, 1].abs().max()) < 1e-12
    torch.testing.assert_close(B, C, rtol=0, atol=2e-4)


def test_streaming_reads_values_of_any_stride_and_pending_negation():
    grid = eq.quadrature(4)
    u = torch.randn(2, len(grid.rings), grid.gammas, 3, dtype=DOUBLE)
    wide = u.repeat_interleave(2, dim=-1)[..., ::2]
    found = []
    for values in (u, wide, u.transpose(1, 2).contiguous().transpose(1, 2), torch._neg_view(-u)):
        stream = CharacterProjection(grid, 2, 3)
        for coset in range(2):
            stream.update(values[coset], slice(None), coset, center=values[0, 0, 0])
        found.append(stream.coefficients)
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
@pytest.mark.parametrize(("degree", "lmax", "channels"), [(3, 1, 1), (9, 4, 8), (11, 5, 37), (15, 6, 70)])
def test_synthesis_on_grids_with_structure_agrees_with_the_reference(dtype, degree, lmax, channels):
    grid = eq.quadrature(degree)
    about_z = torch.tensor([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]], dtype=DOUBLE)
    coefficients = torch.randn(size(lmax), channels).to(dtype)
    for rings in (grid.rings, grid.rings @ about_z):
        arguments = (rings, grid.ring_weights, grid.gammas, lmax)
        expected = PlainBackend().synthesize(coefficients.double(), *arguments)
        got = CpuBackend().synthesize(coefficients, *arguments)
        scale = float(expected.abs().max())
        bound = 1e-14 if dtype == DOUBLE else 1e-6
        torch.testing.assert_close(got.double(), expected, rtol=0, atol=bound * scale)


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_power_of_many_channels_is_that_of_each(dtype):
    # rows longer than a page, and more channels than are packed at once
    grid = eq.quadrature(8)
    u = torch.randn(len(grid), 3003, generator=torch.Generator().manual_seed(0)).to(dtype)
    parts = [eq.character_power(part, grid, 4) for part in u.split([1, 300, 700, 900, 37, 1065], dim=1)]
    assert torch.equal(eq.character_power(u, grid, 4), torch.cat(parts, dim=2))


@pytest.mark.parametrize("channels", [1, 3, 9, 37])
def test_a_channel_does_not_see_those_beside_it(channels):
    grid = eq.quadrature(6)
    u = torch.randn(len(grid), channels + 1, dtype=DOUBLE)
    alone = eq.character_power(u[:, :channels].contiguous(), grid, 3)
    u[:, channels] *= 1e30
    assert torch.equal(eq.character_power(u, grid, 3)[..., :channels], alone)


def test_a_center_that_float32_does_not_hold_is_subtracted_to_the_last_digit():
    grid = eq.quadrature(6)
    u = 1e3 + torch.randn(len(grid), 5)
    center = u[0].double() + 1e-5
    projection = CharacterProjection(grid, 2, 5, dtype=SINGLE)
    for coset, own in enumerate(u.reshape(2, -1, grid.gammas, 5)):
        projection.update(own, slice(None), coset, center=center)
    coset = (u.double() - center).reshape(2, -1, grid.gammas, 5)
    mean = torch.einsum("spgc,p->sc", coset, grid.ring_weights.double()) / grid.gammas
    torch.testing.assert_close(projection.coefficients[:, 0], mean.float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_the_tables_that_a_grid_keeps_are_those_it_made(dtype):
    # degrees that no other test asks for: the first call makes what the second finds
    grid = eq.quadrature(18, group="SO3")
    values = torch.randn(len(grid), 3, dtype=dtype)
    for lmax in (5, 9):
        first = eq.character_power(values, grid, lmax)
        assert torch.equal(eq.character_power(values, grid, lmax), first)
    other = eq.character_power(values.to(SINGLE if dtype == DOUBLE else DOUBLE), grid, 9)
    torch.testing.assert_close(other.to(DOUBLE), first.to(DOUBLE), rtol=0, atol=1e-5)


def test_finite_powers_whose_sum_overflows_are_given():
    grid = eq.quadrature(4)
    power = eq.character_power(torch.full((len(grid), 8), 8e18), grid, 1)
    assert torch.isfinite(power).all()
    assert not torch.isfinite(power.sum())
