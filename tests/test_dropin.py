"""The drop-ins: e3nn's functions in value and gradient, and edge matrices against a construction of their own."""

import doctest
import math

import numpy as np
import pytest
import torch
from e3nn import o3
from scipy.linalg import block_diag
from scipy.spatial.transform import Rotation

import equiscope as eq
from equiscope.dropin import _o3, e3nn, fairchem
from equiscope.dropin._edges import edge_rotations

DOUBLE = torch.float64
RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def e3nn_in_double():
    """e3nn's generators are made in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(DOUBLE)
    yield
    torch.set_default_dtype(before)


def angles(*shapes, dtype=DOUBLE):
    return [torch.from_numpy(RNG.uniform(-7, 7, shape)).to(dtype).requires_grad_() for shape in shapes]


def close(a, b, bound):
    torch.testing.assert_close(a, b, rtol=0, atol=bound)


@pytest.mark.parametrize("l", [0, 1, 2, 5, 11])
def test_wigner_D_is_that_of_e3nn_in_value_and_gradients(l):
    given = angles((4, 3), (3,), (4, 1))
    own, theirs = e3nn.wigner_D(l, *given), o3.wigner_D(l, *given)
    assert own.shape == theirs.shape == (4, 3, 2 * l + 1, 2 * l + 1)
    close(own, theirs, 1e-12)
    outer = torch.randn_like(theirs)
    for one, other in zip(
        torch.autograd.grad(own, given, outer), torch.autograd.grad(theirs, given, outer), strict=True
    ):
        close(one, other, 1e-11 * (l + 1))


def test_wigner_D_in_single_precision_keeps_its_dtype():
    given = angles((50,), (50,), (50,), dtype=torch.float32)
    own, exact = e3nn.wigner_D(6, *given), o3.wigner_D(6, *(x.double() for x in given))
    assert own.dtype == torch.float32
    # cosines of angles of single precision, and matrices of them
    close(own.double(), exact, 6e-6)


def test_wigner_D_has_no_bad_place():
    for beta in (0.0, 1e-9, math.pi):
        given = [torch.tensor(x, dtype=DOUBLE, requires_grad=True) for x in (0.3, beta, -0.8)]
        outer = torch.randn(9, 9, dtype=DOUBLE)
        own = torch.autograd.grad((e3nn.wigner_D(4, *given) * outer).sum(), given, create_graph=True)
        theirs = torch.autograd.grad((o3.wigner_D(4, *given) * outer).sum(), given)
        close(torch.stack(own), torch.stack(theirs), 1e-11)
        # the Hessian too
        assert all(torch.isfinite(x).all() for x in torch.autograd.grad(own[1], given))


@pytest.mark.parametrize(
    "l", [0, 3, [0, 1, 2], [4, 1, 1], "0e + 1o + 2e", "2x1o + 3o", "1e + 2e", o3.Irreps("1x0e+2x2e")]
)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("normalization", ["integral", "component", "norm"])
def test_spherical_harmonics_are_those_of_e3nn_in_value_and_gradient(l, normalize, normalization):
    x = torch.randn(5, 2, 3, dtype=DOUBLE, requires_grad=True)
    own = e3nn.spherical_harmonics(l, x, normalize, normalization)
    theirs = o3.spherical_harmonics(l, x, normalize, normalization)
    close(own, theirs, 1e-11)
    outer = torch.randn_like(theirs)
    # e3nn gives l = 0 no graph at all
    grad = torch.autograd.grad(theirs, x, outer, allow_unused=True)[0] if theirs.requires_grad else None
    close(torch.autograd.grad(own, x, outer)[0], torch.zeros_like(x) if grad is None else grad, 1e-10)


def test_polynomials_at_the_origin_have_the_derivatives_of_e3nn():
    x = torch.zeros(2, 3, dtype=DOUBLE, requires_grad=True)
    with torch.no_grad():
        x[1] = torch.tensor([0.3, -0.2, 0.9])
    for l in (1, 2, 3):
        outer = torch.randn(2, 2 * l + 1, dtype=DOUBLE)
        found = []
        for front in (e3nn, o3):
            (first,) = torch.autograd.grad(
                (front.spherical_harmonics(l, x, False, "component") * outer).sum(), x, create_graph=True
            )
            second = torch.autograd.grad(first[:, 0].sum(), x, allow_unused=True)[0] if first.requires_grad else None
            found.append((first, torch.zeros_like(x) if second is None else second))
        for own, theirs in zip(*found, strict=True):
            close(own, theirs, 1e-11)


def shortest(edge, gamma):
    """The rotation of `edge_rotations` by axis and angle."""
    x, y, z = edge / np.linalg.norm(edge)
    first = Rotation.identity() if y >= 0 else Rotation.from_rotvec([math.pi, 0, 0])
    x, y, z = first.apply([x, y, z])
    axis, sine = np.array([-z, 0, x]), math.hypot(x, z)
    turn = Rotation.from_rotvec(axis / sine * math.atan2(sine, y) if sine > 0 else [0, 0, 0])
    return Rotation.from_rotvec([0, gamma, 0]) * turn * first


EDGES = np.concatenate(
    [RNG.normal(size=(20, 3)), np.eye(3), -np.eye(3), [[1e-9, 1, 0], [0, -1, 1e-9], [1e-160, 1e-170, 0]]]
)


def test_edges_are_turned_to_y_by_the_shortest_rotation_and_gamma():
    edges, gamma = torch.from_numpy(EDGES), torch.from_numpy(RNG.uniform(0, 6, len(EDGES)))
    R = edge_rotations(edges, gamma)
    expected = np.stack([shortest(e, g).as_matrix() for e, g in zip(EDGES, gamma.numpy(), strict=True)])
    close(R, torch.from_numpy(expected), 1e-15 * 10)
    unit = edges / edges.abs().amax(-1, keepdim=True)
    unit = unit / unit.norm(dim=-1, keepdim=True)
    close((R @ unit[..., None])[..., 0], torch.tensor([0.0, 1.0, 0.0], dtype=DOUBLE).expand(len(EDGES), 3), 1e-15 * 5)


def test_edge_matrices_are_blocks_of_e3nns_D():
    edges, gamma, lmax = torch.from_numpy(EDGES), torch.from_numpy(RNG.uniform(0, 6, len(EDGES))), 6
    wigner, inverse = fairchem.axis_angle_wigner_hybrid(edges, lmax, gamma)
    for own, edge, turn in zip(wigner, EDGES, gamma.numpy(), strict=True):
        angles = o3.matrix_to_angles(torch.from_numpy(shortest(edge, turn).as_matrix()))
        blocks = [o3.wigner_D(l, *angles).numpy() for l in range(lmax + 1)]
        # e3nn's angles lose half of the digits at the poles
        close(own, torch.from_numpy(block_diag(*blocks)), 1e-6)
    close(inverse @ wigner, torch.eye(49, dtype=DOUBLE).expand(len(EDGES), 49, 49), 1e-13)
    # and what a network asks of it: harmonics of the edge are, in its frame, those of y
    Y = o3.spherical_harmonics(list(range(lmax + 1)), edges[:20], True)
    pole = o3.spherical_harmonics(list(range(lmax + 1)), torch.tensor([0.0, 1.0, 0.0], dtype=DOUBLE), True)
    close((wigner[:20] @ Y[..., None])[..., 0], pole.expand(20, 49), 1e-13)


@pytest.mark.parametrize(
    "edge", [[0.3, 0.8, -0.5], [0.3, -0.8, -0.5], [0, 2, 0], [0, -2, 0], [1e-8, 1, -1e-8], [1, 0.1, 0]]
)
def test_derivatives_are_those_of_differences_at_the_poles_too(edge):
    edges = torch.tensor([edge], dtype=DOUBLE, requires_grad=True)
    gamma = torch.tensor([0.4], dtype=DOUBLE, requires_grad=True)
    outer = torch.randn(16, 16)

    def of_both(edges, gamma):
        return (fairchem.axis_angle_wigner_hybrid(edges, 3, gamma)[0] * outer).sum()

    assert torch.autograd.gradcheck(of_both, (edges, gamma), atol=1e-7)
    assert torch.autograd.gradgradcheck(of_both, (edges, gamma), atol=1e-5)


def test_gradients_are_bounded_everywhere():
    directions = np.concatenate([EDGES[:-1], [[t, s, t] for t in 10.0 ** np.arange(-12, 0) for s in (1, -1)]])
    edges = torch.from_numpy(directions).requires_grad_()
    gamma = torch.zeros(len(directions), dtype=DOUBLE)
    for row in edge_rotations(edges, gamma).flatten(1).unbind(1):
        (grad,) = torch.autograd.grad(row.sum(), edges, retain_graph=True)
        assert (grad.norm(dim=1) * edges.norm(dim=1) < 3).all()


def test_an_invariant_of_a_network_over_edges_does_not_depend_on_gamma_or_the_frame():
    torch.manual_seed(0)
    edges, features, lmax = torch.randn(30, 3, dtype=DOUBLE), torch.randn(30, 16, 2, dtype=DOUBLE), 3
    weights = torch.randn(3, 3, 4, 4, dtype=DOUBLE)

    def message(edges, features, gamma):
        """Any map that commutes with turns about y: in each order +-m, complex numbers."""
        D, back = fairchem.axis_angle_wigner_hybrid(edges, lmax, gamma)
        turned, out = D @ features, torch.zeros_like(features)
        for m in range(lmax + 1):
            plus, minus = ([l * l + l + s * m for l in range(m, lmax + 1)] for s in (1, -1))
            a, b = weights[0, 0, : len(plus), : len(plus)], weights[1, 1, : len(plus), : len(plus)]
            if m == 0:
                out[:, plus] = a @ turned[:, plus]
                continue
            out[:, plus] = a @ turned[:, plus] - b @ turned[:, minus]
            out[:, minus] = a @ turned[:, minus] + b @ turned[:, plus]
        return back @ out

    first, second = (message(edges, features, torch.rand(30, dtype=DOUBLE) * 6) for _ in range(2))
    close(first, second, 1e-12)
    R = eq.random_rotations(1)[0]
    turned, expected = (eq.rotate(x.mT, R, "1x0e+1x1o+1x2e+1x3o", basis="e3nn").mT for x in (features, first))
    close(message(edges @ R.mT, turned, None), expected, 1e-12)


def test_rotation_to_wigner_is_D_of_the_matrix_for_a_range_of_degrees():
    R = eq.random_rotations(7).requires_grad_()
    own = fairchem.rotation_to_wigner(R, 2, 4, Jd=None, rot_clip=True)
    angles = o3.matrix_to_angles(R.detach())
    close(
        own,
        torch.stack(
            [torch.block_diag(*(o3.wigner_D(l, *(a[i] for a in angles)) for l in (2, 3, 4))) for i in range(7)]
        ),
        1e-12,
    )
    assert own.requires_grad and not fairchem.rotation_to_wigner(R, 0, 1).requires_grad


def test_no_gamma_is_a_random_one_that_torch_seeds():
    edges = torch.randn(5, 3, dtype=torch.float32)
    torch.manual_seed(1)
    first = fairchem.axis_angle_wigner_hybrid(edges, 2)[0]
    other = fairchem.axis_angle_wigner_hybrid(edges, 2)[0]
    torch.manual_seed(1)
    assert torch.equal(first, fairchem.axis_angle_wigner_hybrid(edges, 2)[0]) and not torch.equal(first, other)
    assert fairchem.axis_angle_wigner_hybrid(edges[:0], 2)[0].shape == (0, 9, 9)


@pytest.mark.parametrize("call, words", [
    (lambda: e3nn.wigner_D(-1, *[torch.zeros(())] * 3), "l: expected an integer from 0 to 131, got -1"),
    (lambda: e3nn.wigner_D(1, 0.0, torch.zeros(()), torch.zeros(())), "alpha: expected a torch.Tensor of float32 or"),
    (lambda: e3nn.wigner_D(1, *[torch.tensor(math.nan)] * 3), "alpha, beta, gamma: expected orthogonal"),
    (lambda: e3nn.wigner_D(1, *map(torch.ones, ((2,), (3,), ()))), r"alpha, beta, gamma: .*\(2,\), \(3,\), \(\)"),
    (lambda: e3nn.spherical_harmonics("1o+2o", torch.ones(3), True), "l: expected irreps of the parities of a vector"),
    (lambda: e3nn.spherical_harmonics([1, 200], torch.ones(3), True), "l: expected an integer from 0 to 131, got 200"),
    (lambda: e3nn.spherical_harmonics(1, torch.ones(2), True), r"x: expected \(\*batch, 3\)"),
    (lambda: e3nn.spherical_harmonics(1, torch.ones(3), 1), "normalize: expected True or False"),
    (lambda: e3nn.spherical_harmonics(1, torch.ones(3), True, "unit"), "normalization: expected 'integral' or"),
    (lambda: fairchem.axis_angle_wigner_hybrid(torch.zeros(2, 3), 1), "edge_distance_vec: expected edges that have"),
    (lambda: fairchem.axis_angle_wigner_hybrid(torch.ones(3), 1), r"edge_distance_vec: expected \(E, 3\)"),
    (lambda: fairchem.axis_angle_wigner_hybrid(np.ones((2, 3)), 1), "edge_distance_vec: expected a torch.Tensor"),
    (lambda: fairchem.axis_angle_wigner_hybrid(torch.ones(2, 3), 1, torch.ones(3)), "gamma: expected None or"),
    (lambda: fairchem.rotation_to_wigner(torch.eye(3)[None], 3, 2), r"start_lmax: expected at most end_lmax"),
])  # fmt: skip
def test_what_cannot_be_right_is_refused(call, words):
    with pytest.raises(eq.errors.EquiscopeError, match=rf"^{words}"):
        call()


def test_examples_run():
    found = doctest.testmod(_o3, extraglobs={"torch": torch})
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("module", [e3nn, fairchem])
def test_no_name_is_there_that_the_other_library_does_not_have(module):
    # pytest puts names into modules of its plugins that nobody can write
    names = [name for name in vars(module) if name.isidentifier() and not name.startswith("_")]
    assert sorted(names) == sorted(module.__all__)


def test_the_names_of_e3nn_are_those_of_o3():
    assert all(callable(getattr(o3, name)) for name in e3nn.__all__)
