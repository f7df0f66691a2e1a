"""Rotation of irreps and Cartesian tensors by elements of O(3)."""

import e3nn.o3
import pytest
import torch

import equiscope as eq
from equiscope.groups.rotations import polar
from equiscope.kernels import reference

DOUBLE, SINGLE = torch.float64, torch.float32
KINDS = ["scalar", "invariant", "pseudoscalar", "vector", "pseudovector", "tensor", "voigt"]
IRREPS = ["1x0e", "5x0e+2x0o+3x0e", "3x1o", "8x0e+4x1o", "2x0o+1x1e+3x2o+1x5e+2x1o", "1x12e+2x3o"]


def draw(rep, *lead, dtype=DOUBLE):
    return torch.randn((*lead, *eq.Representation.parse(rep).component_shape), dtype=dtype)


@pytest.mark.parametrize("rep", KINDS + IRREPS)
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize(
    ("lead", "batch"),
    [
        ((), ()),
        ((7,), ()),
        ((), (5,)),
        ((5,), (5,)),
        ((4, 2, 3), (4, 1, 1)),
        ((4, 1, 3), (4, 2, 1)),
        ((3, 4), (4,)),
        ((1, 4), (3, 1)),
        ((2, 1, 3), (5, 1)),
        ((3, 1), (1, 2)),
        ((0,), ()),
        ((3,), (0, 1)),
    ],
)
def test_rotate_agrees_with_dense_matrices(rep, inverse, lead, batch):
    x = draw(rep, *lead)
    g = eq.random_rotations(int(torch.Size(batch).numel()), group="O3").reshape(*batch, 3, 3)
    expected = reference.rotate(x, g, rep, inverse=inverse)
    got = eq.rotate(x, g, rep, inverse=inverse)
    assert got.shape == expected.shape
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("rep", [k for k in KINDS if k not in ("scalar", "invariant")] + IRREPS[1:])
@pytest.mark.parametrize("basis", ["standard", "e3nn"])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_rotate_is_a_representation_of_O3(rep, basis, layout):
    g, h = eq.random_rotations(6, group="O3"), eq.random_rotations(6, group="O3")
    x = draw(rep, 6)
    how = {"basis": basis, "layout": layout}
    twice = eq.rotate(eq.rotate(x, h, rep, **how), g, rep, **how)
    torch.testing.assert_close(twice, eq.rotate(x, g @ h, rep, **how), rtol=0, atol=1e-12)
    back = eq.rotate(eq.rotate(x, g, rep, **how), g, rep, inverse=True, **how)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        eq.rotate(x, g.mT, rep, **how), eq.rotate(x, g, rep, inverse=True, **how), rtol=0, atol=1e-12
    )


def test_inversion_multiplies_by_the_parity():
    x = draw("8x0e+4x1o")
    flipped = eq.rotate(x, -torch.eye(3, dtype=DOUBLE), "8x0e+4x1o")
    assert torch.equal(flipped, torch.cat([x[:8], -x[8:]]))
    for rep, sign in (
        ("scalar", 1),
        ("pseudoscalar", -1),
        ("vector", -1),
        ("pseudovector", 1),
        ("tensor", 1),
        ("voigt", 1),
    ):
        y = draw(rep)
        assert torch.equal(eq.rotate(y, -torch.eye(3, dtype=DOUBLE), rep), sign * y)


@pytest.mark.parametrize("inverse", [False, True])
def test_rotate_in_the_e3nn_basis_agrees_with_e3nn(inverse):
    rep = "2x0e+3x1o+1x1e+2x2o+1x3e+1x0o"
    torch.set_default_dtype(DOUBLE)
    x, g = draw(rep, 9), eq.random_rotations(9, group="O3")
    D = e3nn.o3.Irreps(rep).D_from_matrix(g.mT if inverse else g)
    expected = (D @ x[..., None])[..., 0]
    torch.testing.assert_close(eq.rotate(x, g, rep, basis="e3nn", inverse=inverse), expected, rtol=0, atol=2e-5)


def test_vector_is_the_e3nn_irrep_1o_and_pseudovector_1e():
    x, g = draw("vector", 9), eq.random_rotations(9, group="O3")
    for kind, irrep in (("vector", "1x1o"), ("pseudovector", "1x1e")):
        torch.testing.assert_close(eq.rotate(x, g, kind), eq.rotate(x, g, irrep, basis="e3nn"), rtol=0, atol=1e-14)


@pytest.mark.parametrize("rep", ["tensor", "voigt", "vector"])
def test_components_split_into_the_declared_irreps(rep):
    kind, g = eq.Representation.parse(rep), eq.random_rotations(9, group="O3")
    x = draw(rep, 9)
    parts = kind.flatten(x) @ kind.matrix.T
    turned = kind.flatten(eq.rotate(x, g, rep)) @ kind.matrix.T
    # a vector keeps the order (x, y, z): the l = 1 of the e3nn basis
    basis = "e3nn" if rep == "vector" else "standard"
    for block in kind.blocks:
        irrep = f"1x{block.lam}{'e' if block.sigma * (-1) ** block.lam > 0 else 'o'}"
        rows = list(block.rows)
        torch.testing.assert_close(
            turned[:, rows], eq.rotate(parts[:, rows], g, irrep, basis=basis), rtol=0, atol=1e-13
        )


def test_voigt_is_the_symmetric_tensor_in_the_order_of_ASE():
    t = draw("tensor", 5)
    t, g = t + t.mT, eq.random_rotations(5, group="O3")
    order = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))
    six = t[:, order[0], order[1]]
    torch.testing.assert_close(
        eq.rotate(six, g, "voigt"), eq.rotate(t, g, "tensor")[:, order[0], order[1]], rtol=0, atol=1e-13
    )


def test_layouts_differ_by_a_transpose():
    x, g = draw("4x3o", 6), eq.random_rotations(6, group="O3")
    other = x.reshape(6, 4, 7).mT.reshape(6, 28)
    got = eq.rotate(other, g, "4x3o", layout="ir_mul").reshape(6, 7, 4).mT.reshape(6, 28)
    torch.testing.assert_close(got, eq.rotate(x, g, "4x3o"), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rep", ["3x1o+1x4e", "vector", "tensor"])
def test_half_precision_is_rotated_in_float32_and_rounded_once(dtype, rep):
    x, g = draw(rep, 20).to(dtype), eq.random_rotations(20, group="O3", dtype=SINGLE)
    got = eq.rotate(x, g, rep)
    assert got.dtype == dtype
    expected = eq.rotate(x.to(SINGLE), g, rep).to(dtype)
    assert torch.equal(got, expected)


def test_float32_error_is_round_off():
    rep = "2x0e+3x1o+1x8e+1x32o"
    x, g = draw(rep, 50, dtype=SINGLE), eq.random_rotations(50, group="O3", dtype=SINGLE)
    expected = reference.rotate(x.double(), reference.polar(g.double()), rep)
    scale = x.double().square().sum(-1).sqrt().max()
    assert float((eq.rotate(x, g, rep).double() - expected).abs().max() / scale) < 1e-6


def test_input_is_left_alone_and_never_returned():
    for rep in KINDS + IRREPS:
        x, one = draw(rep, 3), torch.eye(3, dtype=DOUBLE)
        before = x.clone()
        y = eq.rotate(x, one, rep)
        y += 1
        assert torch.equal(x, before), rep


def test_zero_copies_of_an_irrep_take_no_room():
    x, g = draw("2x1o", 4), eq.random_rotations(4)
    torch.testing.assert_close(eq.rotate(x, g, "0x5e+2x1o+0x0e"), eq.rotate(x, g, "2x1o"), rtol=0, atol=0)
    assert eq.rotate(torch.zeros(4, 0, dtype=DOUBLE), g, "0x5e").shape == (4, 0)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
@pytest.mark.parametrize("mul", [8, 16, 17, 31, 64, 67])
def test_many_copies_are_multiplied_by_D(dtype, layout, mul):
    degrees = (0, 1, 2, 3, 4, 8)
    rep = "+".join(f"{mul}x{l}e" for l in degrees)
    g = eq.random_rotations(11, dtype=dtype)
    D = eq.wigner_D(g, 8)
    for lead in ((11, 1), (11, 3), (1, 2)):
        parts = [torch.randn(*lead, mul, 2 * l + 1).to(dtype) for l in degrees]
        for inverse in (False, True):
            turned = [p @ (D[l] if inverse else D[l].mT)[:, None] for p, l in zip(parts, degrees, strict=True)]
            x, expected = (
                torch.cat([(p if layout == "mul_ir" else p.mT).flatten(2) for p in some], dim=2)
                for some in (parts, turned)
            )
            got = eq.rotate(x, g[:, None], rep, layout=layout, inverse=inverse)
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-13 if dtype == DOUBLE else 2e-5)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_many_copies_in_float32_stay_within_their_bound(layout):
    for l in (1, 4, 12):
        rep, size = f"32x{l}e", 2 * l + 1
        x, g = torch.randn(50, 32 * size), eq.random_rotations(50, group="O3", dtype=SINGLE)
        got = eq.rotate(x, g, rep, layout=layout).double()
        # the polar factor of the matrices given, since their rounding is no error of ours
        exact = eq.rotate(x.double(), polar(g.double()), rep, layout=layout)
        norm = x.double().reshape(50, 32, size) if layout == "mul_ir" else x.double().reshape(50, size, 32).mT
        bound = (6e-8 + 6e-8 * (2 * l + 2)) * norm.norm(dim=2, keepdim=True)
        error = (got - exact).abs()
        error = error.reshape(50, 32, size) if layout == "mul_ir" else error.reshape(50, size, 32).mT
        assert bool((error <= bound).all()), l


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_large_results_have_the_bits_of_small_ones(dtype, layout):
    rep = "64x0e+64x1o+64x2e+64x3o"
    x, g = torch.randn(2400, 1024).to(dtype), eq.random_rotations(2400, dtype=dtype)
    large = eq.rotate(x, g, rep, layout=layout)
    parts = [eq.rotate(x[a : a + 100], g[a : a + 100], rep, layout=layout) for a in range(0, 2400, 100)]
    assert torch.equal(large, torch.cat(parts))
    assert torch.equal(
        eq.rotate(x, g[0], rep, layout=layout)[1000:1100], eq.rotate(x[1000:1100], g[0], rep, layout=layout)
    )
