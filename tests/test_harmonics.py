"""Real spherical harmonics: right, equivariant, and defined everywhere."""

import math

import e3nn.o3
import mpmath
import pytest
import sphericart.torch
import torch

import equiscope as eq
from equiscope.kernels import reference
from equiscope.tolerance import tolerance

DOUBLE, SINGLE = torch.float64, torch.float32


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_harmonics_agree_with_50_digits(tables, dtype):
    rows = tables["Y"]
    Y = eq.spherical_harmonics(rows[:, :3].to(dtype), 131).double()
    l, m = rows[:, 3].long(), rows[:, 4].long()
    error = (Y.gather(1, (l * l + l + m)[:, None])[:, 0] - rows[:, 5]).abs()
    for degree in l.unique().tolist():
        assert float(error[l == degree].max()) <= tolerance("spherical_harmonics", degree, dtype).atol, degree


def test_bound_near_a_pole():
    # there z is rounded at 1, and Y_l0 is steepest in it
    angle = torch.linspace(0, 2 * math.pi, 40, dtype=DOUBLE)
    for tilt in (0.3, 0.1, 1e-2, 1e-4):
        xyz = torch.stack([tilt * angle.cos(), tilt * angle.sin(), torch.linspace(-1, 1, 40, dtype=DOUBLE)], 1)
        xyz[:, 2] += xyz[:, 2].sign()
        found = eq.spherical_harmonics(xyz, 131)
        with mpmath.workdps(30):
            cosines = [z / mpmath.sqrt(x * x + y * y + z * z) for x, y, z in (map(mpmath.mpf, p) for p in xyz.tolist())]
            for l in (8, 32, 131):
                exact = [mpmath.sqrt((2 * l + 1) / (4 * mpmath.pi)) * mpmath.legendre(l, c) for c in cosines]
                error = max(abs(f - e) for f, e in zip(found[:, l * l + l].tolist(), exact, strict=True))
                assert error <= tolerance("spherical_harmonics", l, DOUBLE).atol, (tilt, l)


def test_harmonics_agree_with_the_reference():
    xyz = torch.randn(101, 3, dtype=DOUBLE)
    error = (eq.spherical_harmonics(xyz, 40) - reference.spherical_harmonics(xyz, 40)).abs().max()
    assert float(error) <= tolerance("spherical_harmonics", 40, DOUBLE).atol


def test_harmonics_agree_with_sphericart():
    xyz = torch.randn(101, 3, dtype=DOUBLE)
    theirs = sphericart.torch.SphericalHarmonics(20).compute(xyz)
    assert float((eq.spherical_harmonics(xyz, 20) - theirs).abs().max()) < 1e-12


def test_harmonics_in_the_e3nn_basis_agree_with_e3nn():
    xyz = torch.randn(50, 3, dtype=DOUBLE)
    theirs = e3nn.o3.spherical_harmonics(list(range(9)), xyz, normalize=True, normalization="integral")
    assert float((eq.spherical_harmonics(xyz, 8, basis="e3nn") - theirs).abs().max()) < 1e-12


@pytest.mark.parametrize("basis", ["standard", "e3nn"])
def test_rotated_points_have_rotated_harmonics(basis):
    R, xyz, lmax = eq.random_rotations(20), torch.randn(20, 3, dtype=DOUBLE), 30
    Y = eq.spherical_harmonics(xyz, lmax, basis=basis)
    turned = eq.spherical_harmonics((R @ xyz[..., None])[..., 0], lmax, basis=basis)
    for l, D in enumerate(eq.wigner_D(R, lmax, basis=basis)):
        own = slice(l * l, (l + 1) ** 2)
        assert float(((D @ Y[:, own, None])[..., 0] - turned[:, own]).abs().max()) < 1e-12


def test_harmonics_are_orthonormal_on_the_sphere():
    grid, lmax = eq.quadrature(16, group="SO3"), 8
    Y = eq.spherical_harmonics(grid.rings[:, :, 2].contiguous(), lmax)
    gram = 4 * torch.pi * (Y * grid.ring_weights[:, None]).T @ Y
    torch.testing.assert_close(gram, torch.eye((lmax + 1) ** 2, dtype=DOUBLE), rtol=0, atol=1e-13)


def test_inversion_gives_the_parity_of_l():
    xyz = torch.randn(20, 3, dtype=DOUBLE)
    sign = torch.cat([torch.full((2 * l + 1,), (-1.0) ** l, dtype=DOUBLE) for l in range(13)])
    torch.testing.assert_close(
        eq.spherical_harmonics(-xyz, 12), sign * eq.spherical_harmonics(xyz, 12), rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_only_the_direction_counts_at_any_length(dtype):
    xyz = torch.randn(20, 3, dtype=dtype)
    expected = eq.spherical_harmonics(xyz, 10)
    exponents = (-120, -30, 0, 30, 120) if dtype == SINGLE else (-1000, -500, 0, 500, 1000)
    for exponent in exponents:
        # powers of two change no digit
        scaled = eq.spherical_harmonics(torch.ldexp(xyz, torch.tensor(exponent)), 10)
        torch.testing.assert_close(scaled, expected, rtol=0, atol=100 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_zero_vector_has_the_only_equivariant_value(dtype):
    zero = torch.zeros(3, 3, dtype=dtype, requires_grad=True)
    Y = eq.spherical_harmonics(zero, 5)
    assert torch.allclose(Y[:, 0], torch.tensor(0.28209479177387814, dtype=dtype))
    assert torch.equal(Y[:, 1:], torch.zeros(3, 35, dtype=dtype))
    (gradient,) = torch.autograd.grad(Y.sum(), zero)
    assert torch.equal(gradient, torch.zeros_like(zero))


def test_axes_and_signed_zeros_are_no_bad_place():
    for axis in range(3):
        for sign in (1.0, -1.0):
            for rest in torch.cartesian_prod(torch.tensor([0.0, -0.0]), torch.tensor([0.0, -0.0])).double():
                xyz = torch.full((3,), sign, dtype=DOUBLE)
                xyz[[(axis + 1) % 3, (axis + 2) % 3]] = rest
                Y = eq.spherical_harmonics(xyz, 20)
                assert float((Y - reference.spherical_harmonics(xyz, 20)).abs().max()) < 1e-13


@pytest.mark.parametrize("batch", [(), (0,), (1,), (9,), (2, 0, 3), (2, 3, 4)])
@pytest.mark.parametrize("lmax", [0, 3])
def test_batch_axes_are_kept(batch, lmax):
    xyz = torch.randn(*batch, 3)
    Y = eq.spherical_harmonics(xyz, lmax)
    assert Y.shape == (*batch, (lmax + 1) ** 2) and Y.dtype == SINGLE
    flat = xyz.reshape(-1, 3)
    for index, row in enumerate(Y.reshape(len(flat), (lmax + 1) ** 2)):
        assert torch.equal(row, eq.spherical_harmonics(flat[index], lmax))


def test_strides_and_pending_negation_do_not_matter():
    xyz = torch.randn(8, 3, dtype=DOUBLE)
    expected = eq.spherical_harmonics(xyz, 5)
    spread = torch.zeros(16, 6, dtype=DOUBLE)[::2, ::2]
    spread.copy_(xyz)
    columns = xyz.T.contiguous().T
    negated = torch._neg_view(-xyz)
    assert negated.is_neg() and not columns.is_contiguous()
    for strange in (spread, columns, negated):
        assert torch.equal(eq.spherical_harmonics(strange, 5), expected)
    assert torch.equal(eq.spherical_harmonics(xyz[:1].expand(8, 3), 5), expected[:1].expand(8, 36))


def test_points_are_not_read_where_the_result_cannot_be_held():
    # a view of 2^40 rows: a pass over it would take an hour
    xyz = torch.ones(1, 3).expand(1 << 40, 3)
    with pytest.raises(RuntimeError, match="memory"):
        eq.spherical_harmonics(xyz, 2)
