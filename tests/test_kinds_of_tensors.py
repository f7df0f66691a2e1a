"""Sums, axes, tensors of any rank and Voigt orders: what turns how, against e3nn and against rotations by hand."""

import itertools

import e3nn.o3
import numpy as np
import pytest
import torch

import equiscope as eq
from equiscope.groups.generators import matrices
from equiscope.kernels import reference

DOUBLE = torch.float64
Kind = eq.Representation
G = eq.random_rotations(200, group="O3", generator=torch.Generator().manual_seed(0))
SIGNS = torch.linalg.det(G)
SYMMETRIES = ["ij=ji", "ij=-ji", "ijk=jik", "ijk=-jik", "ijk=jki", "ijk=jik=kji", "ijkl=jikl=ijlk=klij"]
WRITTEN = [
    "vector",
    "pseudotensor",
    "tensor(3)",
    "tensor(4)",
    "tensor(ijkl=jikl=ijlk=klij)",
    "pseudotensor(ij=-ji)",
    "voigt(xx,yy,zz,xy,yz,xz)",
    "voigt-strain",
    "voigt-strain(xx,yy,zz,xy,xz,yz)",
    "mandel",
    "scalar+vector",
    "2xscalar+vector+pseudovector",
    "3xvector",
    "1xtensor",
    "1xscalar",
    "invariant+tensor+voigt",
    "scalar+2x1o+1x2e",
    "vector (axis -2)",
    "tensor (axis -3)",
    "1x0e+1x1o (axis -2)",
    "2xscalar+vector (axis -4)",
]


def draw(*shape, seed=1):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def values(kind, *lead):
    """``(*lead, ...)`` with the component axes where the kind has them."""
    return kind.unflatten(draw(*lead, *range(2, 1 - kind.axis), kind.components))


@pytest.mark.parametrize("text", [*WRITTEN, "vector[1:4]", "2xvector[2:8]", "azimuth", "2xinvariant+azimuth"])
def test_names_and_reprs_are_read_back(text):
    kind = Kind.parse(text, basis="e3nn")
    assert Kind.parse(kind.name, basis="e3nn") == kind and kind.name == text
    assert eval(repr(kind), {"Representation": Kind}) == kind


@pytest.mark.parametrize("text", WRITTEN)
def test_components_move_out_of_any_axis_and_back(text):
    kind = Kind.parse(text)
    x = values(kind, 5)
    kind.check(tuple(x.shape), "x")
    flat = kind.flatten(x)
    assert flat.shape == (*kind.rest(x.shape), kind.components)
    assert torch.equal(kind.unflatten(flat), x)
    # axes of copies before all others change nothing
    assert torch.equal(kind.flatten(x.expand(2, *x.shape))[1], flat)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("text", WRITTEN)
def test_rotate_agrees_with_the_readable_reference(text, inverse):
    kind = Kind.parse(text)
    x = values(kind, 200)
    g = G.reshape(200, *(1,) * (len(kind.rest(x.shape)) - 1), 3, 3)
    expected = reference.rotate(x, g, kind, inverse=inverse)
    torch.testing.assert_close(eq.rotate(x, g, kind, inverse=inverse), expected, rtol=0, atol=1e-13)
    back = eq.rotate(eq.rotate(x, g, kind, inverse=inverse), g, kind, inverse=not inverse)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-13)


def test_each_kind_turns_as_its_name_says():
    p, w, s = draw(200, 3), draw(200, 3, seed=2), draw(200, 1, seed=3)
    turned = (G @ p[..., None])[..., 0]
    axial = SIGNS[:, None] * (G @ w[..., None])[..., 0]
    got = eq.rotate(torch.cat([s, p, w, s], 1), G, "scalar+vector+pseudovector+pseudoscalar")
    torch.testing.assert_close(got, torch.cat([s, turned, axial, SIGNS[:, None] * s], 1), rtol=0, atol=1e-14)
    t = draw(200, 3, 3, 3, 3)
    by_hand = torch.einsum("nia,njb,nkc,nld,nabcd->nijkl", G, G, G, G, t)
    torch.testing.assert_close(eq.rotate(t, G, "tensor(4)"), by_hand, rtol=0, atol=1e-13)
    channels = draw(200, 3, 8)
    torch.testing.assert_close(eq.rotate(channels, G[:, None], Kind.parse("vector", axis=-2)), G @ channels)
    spherical = Kind.parse("1x0e+1x1o+1x2e", basis="e3nn", axis=-2)
    D = torch.block_diag
    degrees = zip(*(D.unbind(0) for D in eq.wigner_D(SIGNS[:, None, None] * G, 2, basis="e3nn")), strict=True)
    dense = torch.stack([D(a, sign * b, c) for sign, (a, b, c) in zip(SIGNS, degrees, strict=True)])
    features = draw(200, 9, 4)
    torch.testing.assert_close(eq.rotate(features, G[:, None], spherical), dense @ features, rtol=0, atol=1e-13)


def test_slices_turn_and_the_rest_of_the_axis_stays():
    x = draw(200, 9)
    kind = Kind.parse({"vector": [slice(1, 4), slice(5, 8)]})
    got = eq.rotate(x, G, kind)
    for where in (slice(1, 4), slice(5, 8)):
        torch.testing.assert_close(got[:, where], (G @ x[:, where, None])[..., 0], rtol=0, atol=1e-14)
    assert torch.equal(got[:, [0, 4, 8]], x[:, [0, 4, 8]])
    assert Kind.parse("vector[1:4]+vector[5:8]") == kind


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_symmetric_tensors_hold_the_irreps_that_e3nn_finds(symmetry):
    torch.set_default_dtype(DOUBLE)
    kind = Kind.parse(f"tensor({symmetry})")
    letters = dict.fromkeys(symmetry.split("=")[0], "1o")
    theirs = e3nn.o3.ReducedTensorProducts(symmetry, filter_ir_out=None, **letters)
    found = {(b.lam, b.sigma * (-1) ** b.lam): b.components // (2 * b.lam + 1) for b in kind.blocks}
    expected = {}
    for mul, irrep in theirs.irreps_out:
        expected[irrep.l, irrep.p] = expected.get((irrep.l, irrep.p), 0) + mul
    assert found == expected
    basis = theirs.change_of_basis.reshape(len(kind.matrix), -1).double()
    projector = basis.T @ torch.linalg.pinv(basis.T)
    torch.testing.assert_close(kind.matrix.T @ kind.matrix, projector, rtol=0, atol=1e-14)


@pytest.mark.parametrize("text", [*(f"tensor({s})" for s in SYMMETRIES), "tensor(3)", "tensor(5)", "pseudotensor(4)"])
def test_the_split_of_a_tensor_is_orthonormal_and_turns_by_D(text):
    kind = Kind.parse(text)
    n = len(kind.matrix)
    torch.testing.assert_close(kind.matrix @ kind.matrix.T, torch.eye(n, dtype=DOUBLE), rtol=0, atol=1e-14)
    parts = draw(200, n)
    x = kind.unflatten(parts @ kind.matrix)
    turned = kind.flatten(eq.rotate(x, G, kind)) @ kind.matrix.T
    for block in kind.blocks:
        rows = list(block.rows)
        irreps = f"{len(rows) // (2 * block.lam + 1)}x{block.lam}{'e' if block.sigma * (-1) ** block.lam > 0 else 'o'}"
        torch.testing.assert_close(turned[:, rows], eq.rotate(parts[:, rows], G, irreps), rtol=0, atol=2e-13)


def test_rank_6_splits_to_round_off():
    kind = Kind.parse("tensor(6)")
    torch.testing.assert_close(kind.matrix @ kind.matrix.T, torch.eye(729, dtype=DOUBLE), rtol=0, atol=3e-14)
    assert {b.lam: b.components // (2 * b.lam + 1) for b in kind.blocks} == {
        0: 15,
        1: 36,
        2: 40,
        3: 29,
        4: 15,
        5: 5,
        6: 1,
    }


@pytest.mark.parametrize("word", ["voigt", "voigt-strain", "mandel"])
@pytest.mark.parametrize("order", ["xx,yy,zz,yz,xz,xy", "xx,yy,zz,xy,yz,xz", "zz,xz,yy,yz,xy,xx"])
def test_six_numbers_in_any_order_turn_as_the_tensor_and_have_its_norm(word, order):
    factor = {"voigt": 1.0, "voigt-strain": 2.0, "mandel": 2**0.5}[word]
    kind = Kind.parse(f"{word}({order})")
    t = draw(200, 3, 3)
    t = t + t.mT
    pairs = [("xyz".index(a), "xyz".index(b)) for a, b in order.split(",")]

    def six(tensor):
        return torch.stack([tensor[:, i, j] * (1.0 if i == j else factor) for i, j in pairs], 1)

    torch.testing.assert_close(eq.rotate(six(t), G, kind), six(G @ t @ G.mT), rtol=0, atol=1e-13)
    norms = (six(t) @ kind.matrix.T).square().sum(1)
    torch.testing.assert_close(norms, t.square().sum((1, 2)), rtol=1e-13, atol=0)
    assert kind.entries == 9


@pytest.mark.parametrize("text", ["tensor(ijk=jik)", "scalar+vector+tensor", "2x1o+voigt-strain", "mandel"])
def test_projectors_sort_every_kind_as_its_blocks_say(text):
    kind = Kind.parse(text)
    dense = matrices(kind, G[:20])
    torch.testing.assert_close(
        dense @ dense.mT, torch.eye(len(kind.matrix), dtype=DOUBLE).expand_as(dense), atol=1e-12, rtol=0
    )
    stated, found = eq.groups.O3().decompose(kind), eq.groups.Group.decompose(eq.groups.O3(), kind)
    assert {p.label: p.components for p in stated.parts} == {p.label: p.components for p in found.parts}


@pytest.mark.parametrize("text", ["scalar+vector", "tensor(3)", "mandel", "scalar+1x1o", "vector[1:4]"])
def test_derivatives_by_values_and_rotations(text):
    kind = Kind.parse(text, axis=-2 if text != "tensor(3)" else None)
    x = values(kind, 2).detach().requires_grad_()
    g = G[:2].reshape(2, *(1,) * (len(kind.rest(x.shape)) - 1), 3, 3).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, g: eq.rotate(x, g, kind), (x, g), check_forward_ad=False)


REFUSED = [
    ("tensor(1)", 'a rank of 2 to 6, as "tensor\\(3\\)"'),
    ("tensor(7)", "a rank of 2 to 6"),
    ("tensor(ij=ji=-ij)", "a symmetry that some tensor but 0 has"),
    ("tensor(ij=jk)", "2 to 6 different letters and orders of the same"),
    ("voigt(xx,yy)", "the six of xx,yy,zz,yz,xz,xy"),
    ("vector[1:3]", "a slice of 3 components or a multiple"),
    ("1x1o[0:6]", "a slice of 3 components for '1x1o'"),
    ("vector[1:4]+scalar", "a slice for every term"),
    ("vector[1:4]+scalar[3:4]", "slices that do not overlap"),
    ("scalar+quaternion", "one of scalar"),
    ("999999999xtensor", "at most 16777216 components"),
    ({"vector": (1, 4)}, "a dict from kinds to slices"),
    ({"vector": slice(1, None)}, "a dict from kinds to slices"),
    ({}, "at least one slice"),
]


@pytest.mark.parametrize(("rep", "words"), REFUSED, ids=str)
def test_what_is_no_kind_is_refused_in_words(rep, words):
    with pytest.raises(eq.errors.ArgumentError, match=f"rep: expected {words}"):
        Kind.parse(rep)


def test_shapes_and_axes_are_refused_by_name():
    with pytest.raises(
        eq.errors.ShapeError, match=r"x: expected \(\.\.\., 3, :\) for 'vector \(axis -2\)', got \(4, 5\)"
    ):
        eq.rotate(draw(4, 5), G[0], Kind.parse("vector", axis=-2))
    with pytest.raises(eq.errors.ShapeError, match=r"x: expected \(\.\.\., >= 4\) for 'vector\[1:4\]', got \(5, 3\)"):
        eq.rotate(draw(5, 3), G[0], "vector[1:4]")
    with pytest.raises(eq.errors.ArgumentError, match="axis: expected a negative number"):
        Kind.parse("vector", axis=1)
    with pytest.raises(eq.errors.ArgumentError, match="axis: expected none for 'scalar', which has no component axis"):
        Kind.parse("scalar", axis=-2)


# -- in an audit -------------------------------------------------------------------------------------------------

ASK = {"inputs": "vector", "lmax": 2, "degree": 8, "progress": False}
CLOUDS = [draw(5, 3, seed=4), draw(4, 3, seed=5)]


class Channels(torch.nn.Module):
    """Exactly equivariant: vectors (atoms, 3, channels) whose channels alone are mixed."""

    def __init__(self, channels):
        super().__init__()
        self.up = torch.nn.Linear(1, channels, bias=False, dtype=DOUBLE)

    def forward(self, input):
        return self.up(input[..., None])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("what", ["outputs", "layers"])
def test_vectors_with_channels_behind_them_are_exact(channels, what):
    name = {"outputs": "output", "layers": "up"}[what]
    report = eq.audit(Channels(channels), CLOUDS, **{what: {name: Kind.parse("vector", axis=-2)}}, **ASK)
    found = getattr(report, what)[name]
    assert found.relative < 1e-14 and found.representation == "vector (axis -2)"
    with pytest.raises(eq.errors.ShapeError, match="axis=-2"):
        eq.audit(Channels(channels), CLOUDS, outputs={"output": "vector"}, **ASK)


def test_spherical_features_with_channels_behind_them_are_exact_and_a_wrong_degree_is_not():
    kind = Kind.parse("1x0e+1x1o+1x2e", basis="e3nn", axis=-2)

    def features(input):
        Y = eq.spherical_harmonics(input, 2, basis="e3nn")
        return Y[..., None] * input.norm(dim=-1)[..., None, None] ** torch.arange(1, 5)

    assert eq.audit(features, CLOUDS, outputs={"y": kind}, **ASK).outputs["y"].relative < 1e-13
    swapped = eq.audit(lambda input: features(input).flip(-2), CLOUDS, outputs={"y": kind}, **ASK)
    assert swapped.outputs["y"].relative > 0.1


def test_vectors_with_components_first_are_exact():
    report = eq.audit(
        lambda field: field * field.square().sum(-2, keepdim=True),
        [{"field": draw(3, 7)}],
        **{**ASK, "inputs": {"field": Kind.parse("vector", axis=-2)}, "outputs": {"y": Kind.parse("vector", axis=-2)}},
    )
    assert report.outputs["y"].relative < 1e-14


def fourth(pos):
    return torch.einsum("bni,bnj,bnk,bnl->bijkl", pos, pos, pos, pos)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (fourth, "tensor(4)"),
        (fourth, "tensor(ijkl=jikl=ijlk=klij)"),
        (lambda pos: torch.einsum("bni,bnj,bnk->bijk", pos, pos, pos), "tensor(ijk=jik)"),
        (lambda pos: torch.einsum("ijk,bnk->bnij", levi_civita(), pos), "pseudotensor(ij=-ji)"),
    ],
    ids=["rank 4", "elasticity", "hyperpolarisability", "the dual of a vector"],
)
def test_tensors_of_higher_rank_are_exact_and_break_by_what_is_planted(model, kind):
    exact = eq.audit(model, CLOUDS, outputs={"c": kind}, **{**ASK, "lmax": 4}).outputs["c"]
    assert exact.relative < 1e-14
    size = 0.01
    rank = len(model(CLOUDS[0][None])[0].shape) if kind != "pseudotensor(ij=-ji)" else 2

    def broken(pos):
        spoilt = model(pos).clone()
        if rank == 2:
            spoilt[..., 0, 1] += size
            spoilt[..., 1, 0] -= size
        else:
            spoilt[(..., *(2,) * rank)] += size
        return spoilt

    # the constant tensor zz.. has norm 1; its invariant part, sum over pairs of deltas, is all that the average keeps
    squares = {2: 2.0, 3: 1.0, 4: 1.0 - 1.0 / 5.0}[rank]
    found = eq.audit(broken, CLOUDS, outputs={"c": kind}, **{**ASK, "lmax": 4}).outputs["c"]
    assert found.rmse == pytest.approx(size * (squares / 3**rank) ** 0.5, rel=1e-9)


def levi_civita():
    tensor = torch.zeros(3, 3, 3, dtype=DOUBLE)
    for order in itertools.permutations(range(3)):
        tensor[order] = float(np.linalg.det(np.eye(3)[list(order)]))
    return tensor


def test_what_lacks_its_declared_symmetry_is_refused_in_words():
    words = r"outputs\['c'\]: expected the symmetry of indices of 'tensor\(ij=ji\)' \(declare 'tensor\(2\)'"
    with pytest.raises(eq.errors.DataError, match=words):
        eq.audit(lambda pos: pos[:, :1, :, None] * pos[:, 1:2, None], CLOUDS, outputs={"c": "tensor(ij=ji)"}, **ASK)
    with pytest.raises(eq.errors.DataError, match=r"data\[0\]\.t: expected the symmetry"):
        asked = {**ASK, "inputs": {"t": "tensor(ij=-ji)"}, "outputs": {"c": "tensor"}}
        eq.audit(lambda t: t * 1.0, [{"t": draw(3, 3)}], **asked)


def test_four_momenta_are_a_scalar_and_a_vector():
    def boost(p):
        energy, momentum = p[..., :1], p[..., 1:]
        return torch.cat([energy * momentum.square().sum(-1, keepdim=True), energy * momentum], -1)

    jets = [{"p": draw(6, 4, seed=7)}]
    asked = {**ASK, "inputs": {"p": "scalar+vector"}}
    assert eq.audit(boost, jets, outputs={"q": "scalar+vector"}, **asked).outputs["q"].relative < 1e-14
    found = eq.audit(lambda p: boost(p).roll(1, -1), jets, outputs={"q": "scalar+vector"}, **asked).outputs["q"]
    assert found.relative > 0.3 and set(found.parts) == {(0, 1), (1, 1)}
    named = eq.audit(boost, jets, outputs={"q": "scalar+vector"}, **{**ASK, "inputs": {"p": {"vector": slice(1, 4)}}})
    assert named.outputs["q"].relative < 1e-14 and named.settings["inputs"] == {"p": "vector[1:4]"}
    with pytest.raises(eq.errors.ArgumentError, match=r"outputs\['q'\]: expected a kind for every component"):
        eq.audit(boost, jets, outputs={"q": {"vector": slice(1, 4)}}, **asked)
    covered = eq.audit(boost, jets, outputs={"q": {"vector": slice(1, 4), "scalar": slice(0, 1)}}, **asked)
    assert covered.outputs["q"].representation == "scalar+vector"


@pytest.mark.usefixtures("blank_pictures")
def test_a_sum_is_saved_and_read_back_under_its_name(tmp_path):
    report = eq.audit(lambda input: input * 1.0, CLOUDS, outputs={"y": Kind.parse("vector")}, **ASK)
    summed = eq.audit(
        lambda input: torch.cat([input.norm(dim=-1, keepdim=True), input], -1),
        CLOUDS,
        outputs={"y": "scalar+vector"},
        **ASK,
    )
    again = eq.Audit.load(summed.save(tmp_path))
    assert again.outputs["y"].representation == "scalar+vector" and "scalar+vector" in again.to_html()
    assert Kind.parse(again.outputs["y"].representation) == Kind.parse("scalar+vector")
    assert report.outputs["y"].components + 1 == again.outputs["y"].components == 4


def test_one_tensor_along_one_axis_is_another_kind_than_one_with_two():
    def outer(input):
        return torch.einsum("bni,bnj->bij", input, input).flatten(1)

    for declared in ("1xtensor", {"tensor": slice(0, 9)}):
        found = eq.audit(outer, CLOUDS, outputs={"t": declared}, **ASK).outputs["t"]
        assert found.relative < 1e-14 and found.representation == "1xtensor"
    assert Kind.parse("1xtensor").component_shape == (9,) and Kind.parse("tensor").component_shape == (3, 3)
