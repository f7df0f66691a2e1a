"""Declarations of how tensors transform."""

import pytest
import torch

import equiscope as eq
from equiscope.groups.irreps import Irreps
from equiscope.groups.representation import KINDS, Representation
from equiscope.ops.rotation import rotate_copies


@pytest.mark.parametrize(
    ("text", "written", "dim"),
    [
        ("8x0e+4x1o", "8x0e+4x1o", 20),
        ("1o", "1x1o", 3),
        (" 2x0e + 3 x 2e ", "2x0e+3x2e", 17),
        ("0x3e", "0x3e", 0),
        ("1x131o", "1x131o", 263),
    ],
)
def test_irreps_are_read_as_e3nn_writes_them(text, written, dim):
    irreps = Irreps.parse(text)
    assert str(irreps) == written and irreps.dim == dim
    assert Irreps.parse(written) == irreps == Irreps.parse(irreps)
    assert [s.stop - s.start for s in irreps.slices()] == [term.dim for term in irreps]


@pytest.mark.parametrize(
    "text", ["", "+", "1x0", "x0e", "1x0e+", "1xe", "1x0x0e", "-1x0e", "1.5x0e", "1x132e", None, 3]
)
def test_what_is_no_irreps_is_refused(text):
    with pytest.raises(eq.errors.ArgumentError, match="text: expected terms"):
        Irreps.parse(text)


def test_sigma_is_the_parity_times_minus_one_to_the_l():
    sigmas = {str(term): term.sigma for term in Irreps.parse("0e+0o+1o+1e+2e+2o")}
    assert sigmas == {"1x0e": 1, "1x0o": -1, "1x1o": 1, "1x1e": -1, "1x2e": 1, "1x2o": -1}


@pytest.mark.parametrize("name", KINDS)
def test_blocks_cover_the_components_once(name):
    kind = Representation.parse(name)
    rows = sorted(row for block in kind.blocks for row in block.rows)
    assert rows == list(range(kind.components))
    assert all(block.components == 2 * block.lam + 1 for block in kind.blocks)


def test_copies_of_one_irrep_are_one_block():
    kind = Representation.parse("2x0e+1x1o+3x0e+1x1e")
    assert [(b.lam, b.sigma, b.rows) for b in kind.blocks] == [
        (0, 1, (0, 1, 5, 6, 7)),
        (1, 1, (2, 3, 4)),
        (1, -1, (8, 9, 10)),
    ]


@pytest.mark.parametrize("name", [*KINDS, "2x0e+1x1o"])
def test_norms_are_kept_by_the_split(name):
    kind = Representation.parse(name)
    x = torch.randn((5, *kind.component_shape), dtype=torch.float64)
    full = x
    if name == "voigt":
        order = torch.tensor([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
        full = x[:, order]
    split = kind.flatten(x) @ kind.matrix.T
    norms = full.reshape(5, -1).square().sum(-1)
    torch.testing.assert_close(split.square().sum(-1), norms, rtol=1e-14, atol=0)
    torch.testing.assert_close(kind.unflatten(kind.flatten(x)), x, rtol=0, atol=0)


def test_tensor_splits_into_trace_axial_vector_and_quadrupole():
    kind = Representation.parse("tensor")
    assert [(b.lam, b.sigma) for b in kind.blocks] == [(0, 1), (1, -1), (2, 1)]
    a, b = torch.randn(2, 3, dtype=torch.float64)
    parts = kind.matrix @ (a[:, None] * b).reshape(9)
    assert float(parts[0]) == pytest.approx(float(a @ b) / 3**0.5)
    cross = torch.linalg.cross(a, b)[[1, 2, 0]]
    ratio = parts[1:4] / cross
    torch.testing.assert_close(ratio, ratio[:1].expand(3), rtol=1e-12, atol=0)


def test_shapes_are_refused_by_name():
    with pytest.raises(eq.errors.ShapeError, match=r"cell: expected \(\.\.\., 3, 3\) for 'tensor', got \(3, 2\)"):
        Representation.parse("tensor").check((3, 2), "cell")
    with pytest.raises(eq.errors.ShapeError, match="got \\(\\)"):
        Representation.parse("vector").check((), "x")
    Representation.parse("scalar").check((), "x")


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("name", [*KINDS, "2x0e+1x1o+1x2e"])
def test_rotating_copies_without_checks_is_rotating(name, inverse):
    kind = Representation.parse(name)
    grid = eq.quadrature(3).rotations[::5]
    x = torch.randn(len(grid), 4, *kind.component_shape, dtype=torch.float64)
    flat = kind.flatten(x)
    expected = eq.rotate(x, grid.unsqueeze(1), kind, inverse=inverse)
    torch.testing.assert_close(
        kind.unflatten(rotate_copies(kind, flat, grid, inverse=inverse)), expected, rtol=1e-14, atol=1e-14
    )
    one = eq.rotate(x[:1].expand_as(x), grid.unsqueeze(1), kind, inverse=inverse)
    torch.testing.assert_close(
        kind.unflatten(rotate_copies(kind, flat[:1], grid, inverse=inverse)), one, rtol=1e-14, atol=1e-14
    )
