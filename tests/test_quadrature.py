"""Grids on O(3) and SO(3)."""

import pathlib

import numpy as np
import pytest
import torch

import equiscope as eq
from equiscope.groups.quadrature import next_degree
from equiscope.groups.rings import LEBEDEV_DEGREES, NEGATIVE_WEIGHTS
from equiscope.groups.rotations import polar

DOUBLE = torch.float64


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 7, 8, 12, 16])
def test_matrix_elements_integrate_exactly_up_to_the_degree(degree):
    grid = eq.quadrature(degree, group="SO3")
    for l, D in enumerate(eq.wigner_D(grid.rotations, degree)):
        mean = torch.einsum("g,gij->ij", grid.weights, D)
        expected = torch.ones(1, 1, dtype=DOUBLE) if l == 0 else torch.zeros(2 * l + 1, 2 * l + 1, dtype=DOUBLE)
        torch.testing.assert_close(mean, expected, rtol=0, atol=1e-13)


def test_elements_are_rings_turned_about_z_and_both_cosets():
    grid = eq.quadrature(5)
    R = grid.rotations
    assert R.shape == (len(grid), 3, 3) == (2 * len(grid.rings) * grid.gammas, 3, 3)
    half = len(grid) // 2
    assert torch.equal(R[half:], -R[:half])
    assert torch.equal(torch.sign(torch.linalg.det(R)), torch.tensor([1.0, -1.0], dtype=DOUBLE).repeat_interleave(half))
    ring = R[:half].reshape(-1, grid.gammas, 3, 3)
    torch.testing.assert_close(ring[:, 0], grid.rings, rtol=0, atol=1e-15)
    # all of a ring send z to the same point
    assert float((ring[..., 2] - ring[:, :1, :, 2]).abs().max()) < 1e-15
    assert float((R @ R.mT - torch.eye(3)).abs().max()) < 1e-15 * 4


@pytest.mark.parametrize("degree", [*range(0, 32), 47, 131])
@pytest.mark.parametrize("group", ["O3", "SO3"])
def test_weights_are_positive_and_sum_to_one(degree, group):
    grid = eq.quadrature(degree, group=group)
    assert grid.lebedev_degree >= degree and grid.gammas == degree + 1
    assert float(grid.weights.min()) > 0
    assert abs(float(grid.weights.sum()) - 1) < 1e-13 and abs(float(grid.ring_weights.sum()) - 1) < 1e-14


def test_rules_with_negative_weights_come_only_when_asked_for():
    for degree in NEGATIVE_WEIGHTS:
        assert eq.quadrature(degree).lebedev_degree == degree + 2 + 2 * (degree == 25)
        assert eq.quadrature(degree, allow_negative=True).lebedev_degree == degree
        assert float(eq.quadrature(degree, allow_negative=True).weights.min()) < 0


def test_select_is_a_part_of_the_whole():
    grid = eq.quadrature(6)
    for start, stop in ((0, 0), (0, 1), (3, 50), (len(grid) // 2 - 3, len(grid) // 2 + 3), (0, len(grid))):
        assert torch.equal(grid.select(start, stop), grid.rotations[start:stop])
    for start, stop in ((-1, 3), (5, 4), (0, len(grid) + 1)):
        with pytest.raises(eq.errors.ArgumentError, match="start"):
            grid.select(start, stop)


def test_degree_8_is_the_grid_of_the_stored_reference():
    stored = pathlib.Path(__file__).parent / "data" / "pet_reference_f64_L4.npz"
    with np.load(stored) as reference:
        rotations, weights = (torch.from_numpy(reference[name]) for name in ("grid/rotations", "grid/weights_so3"))
    grid = eq.quadrature(8, group="SO3")
    torch.testing.assert_close(grid.rotations, rotations, rtol=0, atol=1e-14)
    torch.testing.assert_close(grid.weights, weights, rtol=0, atol=1e-15)


def test_next_degree_grows_by_a_quarter_on_rules_without_negative_weights():
    degree = 1
    while (following := next_degree(degree)) <= 131:
        assert following in LEBEDEV_DEGREES and following not in NEGATIVE_WEIGHTS and following > 1.25 * degree
        degree = following


@pytest.mark.parametrize("degree", [-1, 132, 8.0, True, "8", None, float("nan")])
def test_bad_degrees_are_refused(degree):
    with pytest.raises(eq.errors.ArgumentError, match="degree: expected an integer from 0 to 131, got"):
        eq.quadrature(degree)


@pytest.mark.parametrize("group", ["so3", None, 3, ["O3"]])
def test_unknown_groups_are_refused(group):
    with pytest.raises(eq.errors.ArgumentError, match="group: expected"):
        eq.quadrature(8, group=group)


@pytest.mark.parametrize("group", ["SO3", "O3"])
def test_random_rotations_are_orthogonal_uniform_and_repeatable(group):
    draw = [eq.random_rotations(4000, group=group, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*draw)
    R = draw[0]
    assert float((R @ R.mT - torch.eye(3)).abs().max()) < 2e-15
    improper = float((torch.linalg.det(R) < 0).double().mean())
    assert improper == 0 if group == "SO3" else abs(improper - 0.5) < 0.05
    # means of D over Haar measure vanish: 5 standard deviations
    for D in eq.wigner_D(R * torch.sign(torch.linalg.det(R))[:, None, None], 4)[1:]:
        assert float(D.mean(0).abs().max()) < 5 / 4000**0.5
    for n in (-1, 2.0, True, None):
        with pytest.raises(eq.errors.ArgumentError, match="n: expected"):
            eq.random_rotations(n)


def test_polar_step_leaves_the_fourth_power_of_the_error():
    R = eq.random_rotations(50, group="O3")
    bent = R + 1e-4 * torch.randn(50, 3, 3, dtype=DOUBLE)
    U, _, V = torch.linalg.svd(bent)
    torch.testing.assert_close(polar(bent), U @ V, rtol=0, atol=1e-13)


@pytest.mark.parametrize("front", [eq, eq.numpy], ids=["torch", "numpy"])
def test_a_grid_shows_itself_in_a_line(front):
    assert repr(front.quadrature(16)) == "<Quadrature of O3: degree 16, 3740 elements>"
    assert repr(front.quadrature(4, group="SO3")) == "<Quadrature of SO3: degree 4, 70 elements>"
