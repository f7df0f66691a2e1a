"""Wigner-D matrices: right, a representation, and without a bad place on SO(3)."""

import e3nn.o3
import numpy as np
import pytest
import quaternionic
import spherical
import torch
from metatomic.torch.o3._wigner import build_packed_wigner_matrices
from scipy.spatial.transform import Rotation

import equiscope as eq
from equiscope.groups.rotations import hat
from equiscope.kernels import reference
from equiscope.tolerance import tolerance

DOUBLE, SINGLE = torch.float64, torch.float32
EPS = torch.finfo(DOUBLE).eps


def deviation(a, b):
    return max(float((x.double() - y.double()).abs().max()) for x, y in zip(a, b, strict=True))


def about_y(beta):
    c, s, o, i = torch.cos(beta), torch.sin(beta), torch.zeros_like(beta), torch.ones_like(beta)
    return torch.stack([c, o, s, o, i, o, -s, o, c], -1).reshape(-1, 3, 3)


@pytest.fixture(scope="module")
def near_poles():
    """Both poles exactly, and at distances 10^-k, between generic turns about z."""
    small = torch.cat([torch.zeros(1, dtype=DOUBLE), 10.0 ** -torch.arange(1, 21, dtype=DOUBLE)])
    beta = torch.cat([small, torch.pi - small])
    generator = torch.Generator().manual_seed(3)
    angle = torch.rand(2, len(beta), generator=generator, dtype=DOUBLE) * 6
    turns = [torch.matrix_exp(a[:, None, None] * torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]])) for a in angle]
    return turns[0] @ about_y(beta) @ turns[1]


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_wigner_D_agrees_with_50_digits(tables, dtype):
    rows = tables["D"]
    # a few rotations at a time: all of them up to l = 131 are a gigabyte
    for first in range(0, len(tables["rotations"]), 4):
        degrees = eq.wigner_D(tables["rotations"][first : first + 4].to(dtype), 131)
        for l in rows[:, 1].unique().long().tolist():
            own = rows[(rows[:, 1] == l) & (rows[:, 0] >= first) & (rows[:, 0] < first + 4)]
            index, _, mp, m = own[:, :4].long().T
            error = (degrees[l][index - first, mp + l, m + l].double() - own[:, 4]).abs().max()
            assert float(error) <= tolerance("wigner_D", l, dtype).atol, l


def test_wigner_D_agrees_with_the_reference(near_poles):
    for R in (eq.random_rotations(37), near_poles):
        assert deviation(eq.wigner_D(R, 40), reference.wigner_D(R, 40)) < tolerance("wigner_D", 40, DOUBLE).atol


def test_wigner_D_agrees_with_spherical():
    R, lmax = eq.random_rotations(6), 12
    q = torch.from_numpy(_quaternions(R))
    wigner = spherical.Wigner(lmax)
    for index in range(len(R)):
        complex_D = torch.from_numpy(wigner.D(quaternionic.array(q[index].numpy())))
        for l, D in enumerate(eq.wigner_D(R, lmax)):
            start = wigner.Dindex(l, -l, -l)
            block = complex_D[start : start + (2 * l + 1) ** 2].reshape(2 * l + 1, 2 * l + 1)
            U = _real_basis(l)
            assert float(((U @ block @ U.mH).real - D[index]).abs().max()) < 1e-13


def _quaternions(R):
    return Rotation.from_matrix(R.numpy()).as_quat(scalar_first=True)


def _real_basis(l):
    U = torch.zeros(2 * l + 1, 2 * l + 1, dtype=torch.complex128)
    U[l, l] = 1.0
    for m in range(1, l + 1):
        U[l + m, l + m], U[l + m, l - m] = (-1) ** m / 2**0.5, 1 / 2**0.5
        U[l - m, l - m], U[l - m, l + m] = 1j / 2**0.5, -1j * (-1) ** m / 2**0.5
    return U


def test_wigner_D_in_the_e3nn_basis_agrees_with_e3nn():
    R = eq.random_rotations(11)
    torch.set_default_dtype(DOUBLE)
    ours = eq.wigner_D(R, 7, basis="e3nn")
    # e3nn goes through Euler angles and three matrix exponentials of rounded generators
    assert deviation(ours, [e3nn.o3.Irrep(l, 1).D_from_matrix(R) for l in range(8)]) < 5e-6
    assert deviation([ours[1]], [R]) < 4 * EPS


def test_wigner_D_agrees_with_metatomic():
    R, lmax = eq.random_rotations(5), 9
    packed = build_packed_wigner_matrices(R, lmax)
    # the same layout, element for element
    ours = torch.cat([D.reshape(-1) for D in eq.wigner_D(R, lmax)])
    assert float((packed - ours).abs().max()) < 1e-13


@pytest.mark.parametrize("lmax", [0, 1, 8, 33, 64])
def test_product_of_D_is_D_of_product(lmax):
    A, B = eq.random_rotations(9), eq.random_rotations(9)
    for l, (a, b, c) in enumerate(
        zip(eq.wigner_D(A, lmax), eq.wigner_D(B, lmax), eq.wigner_D(A @ B, lmax), strict=True)
    ):
        assert float((a @ b - c).abs().max()) <= 16 * (2 * l + 1) * EPS


def test_inverse_rotation_gives_the_transpose():
    R = eq.random_rotations(9)
    for l, (a, b) in enumerate(zip(eq.wigner_D(R, 64), eq.wigner_D(R.mT, 64), strict=True)):
        assert float((a.mT - b).abs().max()) <= 16 * (2 * l + 1) * EPS


def test_D_is_orthogonal_with_determinant_one(near_poles):
    R = torch.cat([near_poles, eq.random_rotations(9)])
    for l, D in enumerate(eq.wigner_D(R, 64)):
        one = torch.eye(2 * l + 1, dtype=DOUBLE)
        assert float((D @ D.mT - one).abs().max()) <= 16 * (2 * l + 1) * EPS
        if l <= 8:
            torch.testing.assert_close(torch.linalg.det(D), torch.ones(len(R), dtype=DOUBLE), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_D_of_the_identity_is_exactly_one(dtype):
    for l, D in enumerate(eq.wigner_D(torch.eye(3, dtype=dtype), 131)):
        assert torch.equal(D, torch.eye(2 * l + 1, dtype=dtype))


def test_quarter_turns_permute_with_signs():
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=DOUBLE)
    D = eq.wigner_D(turn, 2)
    torch.testing.assert_close(D[1], torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]], dtype=DOUBLE), rtol=0, atol=0)
    assert torch.equal(D[2].diagonal(), torch.tensor([-1.0, 0, 1, 0, -1], dtype=DOUBLE))


def test_l_1_is_the_matrix_itself():
    R = eq.random_rotations(50)
    order = [1, 2, 0]
    assert float((eq.wigner_D(R, 1)[1] - R[:, order][:, :, order]).abs().max()) <= 4 * EPS


def test_traces_are_characters():
    angle = torch.linspace(0.1, 3.0, 7, dtype=DOUBLE)
    axis = torch.nn.functional.normalize(torch.randn(7, 3, dtype=DOUBLE), dim=-1)
    for l, D in enumerate(eq.wigner_D(torch.matrix_exp(hat(axis * angle[:, None])), 30)):
        expected = torch.sin((2 * l + 1) * angle / 2) / torch.sin(angle / 2)
        torch.testing.assert_close(D.diagonal(dim1=-2, dim2=-1).sum(-1), expected, rtol=0, atol=1e-12 * (2 * l + 1))


def test_no_bad_place_with_signed_zeros():
    for signs in torch.cartesian_prod(*[torch.tensor([0.0, -0.0])] * 6):
        for corner in (1.0, -1.0):
            R = torch.diag(torch.tensor([1.0, corner, corner], dtype=DOUBLE))
            R[~torch.eye(3, dtype=torch.bool)] = signs.double()
            for l, D in enumerate(eq.wigner_D(R, 6)):
                assert torch.isfinite(D).all()
                assert float((D @ D.mT - torch.eye(2 * l + 1)).abs().max()) <= 16 * (2 * l + 1) * EPS


def test_float32_is_float64_of_the_given_matrix():
    R = eq.random_rotations(200, dtype=SINGLE)
    for single, double in zip(eq.wigner_D(R, 32), eq.wigner_D(_projected(R), 32), strict=True):
        assert float((single.double() - double).abs().max()) <= 6e-8


def _projected(R):
    U, _, V = torch.linalg.svd(R.double())
    return U @ V


def test_nearly_orthogonal_matrices_count_as_their_polar_factor():
    R = eq.random_rotations(20)
    bent = R + 1e-9 * torch.randn(20, 3, 3, dtype=DOUBLE)
    assert deviation(eq.wigner_D(bent, 8), eq.wigner_D(_projected(bent), 8)) <= tolerance("wigner_D", 8, DOUBLE).atol


def test_degrees_are_views_of_one_buffer_in_the_documented_order():
    degrees = eq.wigner_D(eq.random_rotations(5), 4)
    base = degrees[0].untyped_storage().data_ptr()
    offset = 0
    for l, D in enumerate(degrees):
        assert D.shape == (5, 2 * l + 1, 2 * l + 1) and D.is_contiguous()
        assert D.untyped_storage().data_ptr() == base and D.storage_offset() == offset
        offset += D.numel()


@pytest.mark.parametrize("batch", [(), (0,), (1,), (7,), (2, 0, 3), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_batch_axes_are_kept(batch, dtype):
    R = eq.random_rotations(int(np.prod(batch)), dtype=dtype).reshape(*batch, 3, 3)
    whole = eq.wigner_D(R, 5)
    assert [D.shape for D in whole] == [(*batch, 2 * l + 1, 2 * l + 1) for l in range(6)]
    assert all(D.dtype == dtype for D in whole)
    for index in np.ndindex(*batch):
        for D, one in zip(whole, eq.wigner_D(R[index], 5), strict=True):
            assert torch.equal(D[index], one)


def test_strides_do_not_matter():
    R = eq.random_rotations(8)
    spread = torch.zeros(16, 3, 6, dtype=DOUBLE)[::2, :, ::2]
    spread.copy_(R)
    expanded = R[:1].expand(8, 3, 3)
    for strange, plain in ((spread, R), (R.mT, R.mT.contiguous()), (expanded, R[:1].repeat(8, 1, 1))):
        assert deviation(eq.wigner_D(strange, 6), eq.wigner_D(plain, 6)) == 0
    negated = torch._neg_view(-R)
    assert negated.is_neg()
    assert deviation(eq.wigner_D(negated, 6), eq.wigner_D(R, 6)) == 0
