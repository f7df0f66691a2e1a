"""The front end for NumPy: the bits of the torch functions, their refusals, and no torch."""

import doctest
import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

import equiscope as eq
from equiscope import numpy as en
from equiscope.numpy import grid, harmonics, projection, rotation, wigner

DTYPES = [np.float32, np.float64]
RNG = np.random.default_rng(14)


def rotations(*shape, dtype=np.float64, improper=False):
    found = Rotation.random(int(np.prod(shape)), random_state=RNG.integers(1 << 30)).as_matrix().reshape(*shape, 3, 3)
    signs = RNG.choice([-1.0, 1.0], size=(*shape, 1, 1)) if improper else 1.0
    return (signs * found).astype(dtype)


def of_torch(function, *arguments, **keywords):
    tensors = [torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in arguments]
    return function(*tensors, **keywords)


def test_it_imports_and_works_without_torch():
    code = (
        "import sys, numpy as np, equiscope.numpy as en\n"
        "R = en.random_rotations(4, group='O3')\n"
        "grid = en.quadrature(4)\n"
        "en.wigner_D(abs(np.linalg.det(R))[:, None, None] * np.eye(3), 3), en.spherical_harmonics(R[0], 3)\n"
        "en.rotate(np.ones((4, 8)), R, '2x0e+2x1o'), en.rotate(np.ones((4, 9)), R, '2xvector+3xscalar')\n"
        "en.rotate(np.ones((4, 6)), R, 'voigt')\n"
        "en.character_power(np.ones(len(grid)), grid, 2)\n"
        "en.character_power(np.ones(len(grid)), (grid.rotations, grid.weights), 2)\n"
        "try: en.wigner_D(R[0], 200)\n"
        "except ValueError: pass\n"
        "print(*[name for name in sys.modules if name.partition('.')[0] == 'torch'])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split() == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("basis", ["standard", "e3nn"])
@pytest.mark.parametrize("lmax", [0, 1, 6, 20])
def test_D_and_Y_have_the_bits_of_torch(dtype, basis, lmax):
    R, xyz = rotations(5, 7, dtype=dtype), RNG.normal(size=(5, 7, 3)).astype(dtype)
    for own, other in zip(en.wigner_D(R, lmax, basis=basis), of_torch(eq.wigner_D, R, lmax, basis=basis), strict=True):
        assert own.dtype == dtype and np.array_equal(own, other.numpy())
    expected = of_torch(eq.spherical_harmonics, xyz, lmax, basis=basis).numpy()
    assert np.array_equal(en.spherical_harmonics(xyz, lmax, basis=basis), expected)


@pytest.mark.parametrize("dtype", [np.float16, *DTYPES])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("basis", ["standard", "e3nn"])
@pytest.mark.parametrize("inverse", [False, True])
def test_rotated_irreps_have_the_bits_of_torch(dtype, layout, basis, inverse):
    said = {"layout": layout, "basis": basis, "inverse": inverse}
    working = np.float64 if dtype == np.float64 else np.float32
    # one rotation for many rows, many rotations for one row, rotations along a later axis than the rows
    for lead, batch in (((4, 3), ()), ((), (6,)), ((5, 3), (3,)), ((5, 1, 2), (5, 3, 1)), ((0, 2), (2,))):
        x, R = RNG.normal(size=(*lead, 42)).astype(dtype), rotations(*batch, dtype=working, improper=True)
        rep = "3x0e+2x0o+4x1o+5x2e"
        own, expected = en.rotate(x, R, rep, **said), of_torch(eq.rotate, x, R, rep, **said).numpy()
        assert own.dtype == dtype and np.array_equal(own, expected)


@pytest.mark.parametrize("dtype", [np.float16, *DTYPES])
@pytest.mark.parametrize("rep", [
    "scalar", "pseudoscalar", "vector", "pseudovector", "tensor", "pseudotensor(3)", "tensor(4)", "tensor(ij=-ji)",
    "voigt", "voigt-strain", "mandel(xx,xy,xz,yy,yz,zz)", "2xscalar+3xvector", "tensor+pseudoscalar+2xpseudovector",
    "vector[1:4]", "vector (axis -2)", "pseudotensor (axis -2)", "1x0e+2xvector",
])  # fmt: skip
def test_rotated_cartesian_tensors_have_the_bits_of_torch(dtype, rep):
    kind = eq.Representation.parse(rep)
    working = np.float64 if dtype == np.float64 else np.float32
    shape = (6, 5, *((7,) if kind.partial else kind.component_shape), *((4,) if kind.axis == -2 else ()))
    x = RNG.normal(size=shape).astype(dtype)
    # some rows of each rotation, one rotation for all, one row of each, a rotation for each of two axes
    for lead, batch in ((6, 5), (6, 1)), ((6, 5), ()), ((6,), (6,)), ((1, 5), (6, 5)):
        own = x[: lead[0]] if len(lead) == 2 else x[:, 0]
        R = rotations(*batch, *((1,) if kind.axis == -2 and batch else ()), dtype=working, improper=True)
        for inverse in (False, True):
            found = en.rotate(own, R, kind, inverse=inverse)
            expected = of_torch(eq.rotate, own, R, kind, inverse=inverse).numpy()
            assert found.dtype == dtype and found.flags.writeable and np.array_equal(found, expected)
        if dtype != np.float16:
            back = en.rotate(en.rotate(own, R, kind), R, kind, inverse=True)
            own = np.broadcast_to(own, back.shape)
            np.testing.assert_allclose(back, own, rtol=0, atol=60 * np.finfo(dtype).eps)


def test_an_azimuth_turns_by_the_angle():
    angle, phi = 0.3, np.array([0.1, -3.0, 3.0])
    R = Rotation.from_euler("z", angle).as_matrix()
    turned = en.rotate(phi, R, "azimuth")
    np.testing.assert_allclose(turned, (phi + angle + np.pi) % (2 * np.pi) - np.pi, atol=1e-15)


@pytest.mark.parametrize("group", ["O3", "SO3"])
@pytest.mark.parametrize("degree", [0, 5, 12, 16, 28])
def test_grids_and_power_have_the_bits_of_torch(degree, group):
    own, other = en.quadrature(degree, group=group), eq.quadrature(degree, group=group)
    assert len(own) == len(other) and own.lebedev_degree == other.lebedev_degree
    assert np.array_equal(own.rotations, other.rotations.numpy()) and np.array_equal(own.weights, other.weights.numpy())
    for dtype in (np.float16, *DTYPES):
        values = RNG.normal(size=(len(own), 3, 2)).astype(dtype)
        for lmax in {0, degree // 2}:
            power = en.character_power(values, own, lmax)
            expected = eq.character_power(torch.from_numpy(values), other, lmax).numpy()
            assert power.dtype == expected.dtype
            # beyond what fits into cache the squares are summed in another order
            np.testing.assert_allclose(power, expected, rtol=1e-12 if degree > 16 and dtype == np.float64 else 1e-5)
            assert degree > 16 or np.array_equal(power, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_power_on_elements_in_any_order_is_that_of_the_grid(dtype):
    own = en.quadrature(6)
    order = RNG.permutation(len(own))
    values = RNG.normal(size=(len(own), 4)).astype(dtype)
    pair = own.rotations[order].astype(dtype), own.weights[order].astype(dtype)
    expected, bound = en.character_power(values, own, 3), 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(en.character_power(values[order], pair, 3), expected, rtol=0, atol=bound)


def test_a_constant_and_a_vector_lie_in_their_sectors():
    own = en.quadrature(6)
    power = en.character_power(np.stack([np.full(len(own), 1e6), own.rotations[:, 2, 2]], axis=1), own, 3)
    assert power[0, 0, 0] == pytest.approx(1e12, rel=1e-14) and power[1, 0, 1] == pytest.approx(1 / 3, abs=1e-14)
    assert power[1:, :, 0].max() < 1e-12 and np.delete(power[..., 1].ravel(), 2).max() < 1e-14


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    R, found = rotations(300, dtype=np.float32), []
    for count in ("1", "2", "7", "none"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        found.append(np.concatenate([D.ravel() for D in en.wigner_D(R, 9)]))
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_buffers_of_the_caller_are_filled():
    R, xyz, x = rotations(6), RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2, 8))
    packed, Y, turned = np.empty(6 * 35), np.empty((6, 16)), np.empty((6, 2, 8))
    D = en.wigner_D(R, 2, out=packed)
    assert all(np.shares_memory(part, packed) for part in D) and np.array_equal(D[2], en.wigner_D(R, 2)[2])
    assert en.spherical_harmonics(xyz, 3, out=Y) is Y and np.array_equal(Y, en.spherical_harmonics(xyz, 3))
    assert en.rotate(x, R[:, None], "2x0e+2x1o", out=turned) is turned
    assert np.array_equal(turned, en.rotate(x, R[:, None], "2x0e+2x1o"))


def test_strides_alignment_and_subclasses_change_nothing():
    R = rotations(8)
    wide = np.empty((8, 3, 6))
    wide[..., ::2] = R
    unaligned = np.frombuffer(b"\0" + R.tobytes(), dtype=np.uint8)[1:].view(R.dtype).reshape(R.shape)
    for other in (wide[..., ::2], np.asfortranarray(R), R[::-1][::-1], unaligned):
        assert np.array_equal(en.wigner_D(other, 4)[4], en.wigner_D(R, 4)[4])
    point = np.ones((1, 3)).view(type("Own", (np.ndarray,), {}))
    assert type(en.spherical_harmonics(point, 2)) is np.ndarray


E, A = eq.errors, np.ones
WRONG = {
    "a list": (E.DTypeError, lambda n, t: (n.wigner_D, [[1.0]], 2)),
    "whole numbers": (E.DTypeError, lambda n, t: (n.wigner_D, t(np.eye(3, dtype=np.int64)), 2)),
    "half precision for D": (E.DTypeError, lambda n, t: (n.wigner_D, t(np.eye(3, dtype=np.float16)), 2)),
    "two axes": (E.ShapeError, lambda n, t: (n.wigner_D, t(A((3, 2))), 2)),
    "lmax below": (E.ArgumentError, lambda n, t: (n.wigner_D, t(np.eye(3)), -1)),
    "lmax above": (E.ArgumentError, lambda n, t: (n.spherical_harmonics, t(A(3)), 132)),
    "not orthogonal": (E.ArgumentError, lambda n, t: (n.wigner_D, t(2 * np.eye(3)), 2)),
    "improper": (E.ArgumentError, lambda n, t: (n.wigner_D, t(-np.eye(3)), 2)),
    "NaN in R": (E.ArgumentError, lambda n, t: (n.wigner_D, t(np.full((2, 3, 3), np.nan)), 2)),
    "infinity in xyz": (E.ArgumentError, lambda n, t: (n.spherical_harmonics, t(np.array([[1, np.inf, 0]])), 2)),
    "points": (E.ShapeError, lambda n, t: (n.spherical_harmonics, t(A((4, 2))), 2)),
    "components": (E.ShapeError, lambda n, t: (n.rotate, t(A((4, 2))), t(np.eye(3)), "vector")),
    "batches": (E.ShapeError, lambda n, t: (n.rotate, t(A((4, 3))), t(np.tile(np.eye(3), (5, 1, 1))), "vector")),
    "mixed dtypes": (E.DTypeError, lambda n, t: (n.rotate, t(A(3)), t(np.eye(3, dtype=np.float32)), "vector")),
    "representation": (E.ArgumentError, lambda n, t: (n.rotate, t(A(3)), t(np.eye(3)), "vektor")),
    "elements": (E.ShapeError, lambda n, t: (n.character_power, t(A(7)), n.quadrature(4), 2)),
    "above half the degree": (E.ArgumentError, lambda n, t: (n.character_power, t(A(140)), n.quadrature(4), 3)),
    "few elements": (E.ArgumentError, lambda n, t: (
        n.character_power, t(A(18)), (t(np.tile(np.eye(3), (18, 1, 1))), t(A(18))), 1)),
    "NaN in values": (E.ArgumentError, lambda n, t: (n.character_power, t(np.full(140, np.nan)), n.quadrature(4), 2)),
    "one coset": (E.ArgumentError, lambda n, t: (
        n.character_power, t(A(2)), (t(np.tile(np.eye(3), (2, 1, 1))), t(A(2))), 0)),
    "weights": (E.ArgumentError, lambda n, t: (
        n.character_power, t(A(2)), (t(np.stack([np.eye(3), -np.eye(3)])), t(-A(2))), 0)),
    "no pair": (E.DTypeError, lambda n, t: (n.character_power, t(A(2)), "O3", 2)),
    "degree": (E.ArgumentError, lambda n, t: (n.quadrature, 132)),
}  # fmt: skip


IN_NUMPY = [
    ("torch.Tensor", "numpy.ndarray"), ("a tensor", "an array"), ("torch.from_numpy(r.as_matrix())", "r.as_matrix()"),
    ("bfloat16 or ", ""), ("torch.float", "float"),
]  # fmt: skip
"""What the messages of torch call by other names."""


@pytest.mark.parametrize("case", WRONG)
def test_what_torch_refuses_is_refused_in_the_same_words(case):
    error, call = WRONG[case]
    said = []
    for front, made in ((en, lambda x: x), (eq, torch.from_numpy)):
        function, *arguments = call(front, made)
        with pytest.raises(error) as raised:
            function(*arguments)
        said.append(str(raised.value))
    own, other = said
    assert own == functools.reduce(lambda text, words: text.replace(*words), IN_NUMPY, other)


@pytest.mark.parametrize("out", [
    np.empty(34), np.empty(35, np.float32), np.empty(70)[::2], [0.0], np.ma.zeros(35), np.zeros(35).view(),
])  # fmt: skip
def test_a_buffer_that_does_not_fit_is_refused(out):
    if type(out) is np.ndarray and out.base is not None and out.flags.c_contiguous:
        out.setflags(write=False)
    with pytest.raises(eq.errors.EquiscopeError, match=r"^out: expected"):
        en.wigner_D(np.eye(3), 2, out=out)


def test_a_buffer_apart_from_the_arguments_is_asked_for():
    buffer = np.eye(3).ravel()
    with pytest.raises(eq.errors.ArgumentError, match=r"^out: expected memory apart from xyz"):
        en.spherical_harmonics(buffer[:3], 1, out=buffer[2:6])


def test_masks_other_byte_orders_and_grids_of_torch_are_refused():
    with pytest.raises(eq.errors.ArgumentError, match="xyz: expected an array without a mask"):
        en.spherical_harmonics(np.ma.array(np.ones((2, 3)), mask=True), 1)
    with pytest.raises(eq.errors.DTypeError, match=r"xyz: expected an array of float32 or float64, got [<>]f8"):
        en.spherical_harmonics(np.ones(3).astype(np.dtype(np.float64).newbyteorder()), 1)
    with pytest.raises(eq.errors.DTypeError, match=r"quadrature: expected one of equiscope\.numpy\.quadrature"):
        en.character_power(np.ones(180), eq.quadrature(4), 1)
    with pytest.raises(eq.errors.ArgumentError, match='group: expected "O3" or "SO3"'):
        en.quadrature(4, group="SO2")


def test_random_rotations_are_uniform_and_repeatable():
    first, again = (en.random_rotations(4000, group="O3", generator=np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, again)
    np.testing.assert_allclose(first @ first.swapaxes(1, 2), np.broadcast_to(np.eye(3), first.shape), atol=1e-14)
    assert abs((np.linalg.det(first) > 0).mean() - 0.5) < 0.04
    proper = en.random_rotations(4000, dtype=np.float32, generator=np.random.default_rng(4))
    assert proper.dtype == np.float32 and (np.linalg.det(proper) > 0).all()
    # of Haar measure, the mean of every D^l with l > 0 is 0
    means = [np.abs(D.mean(0)).max() for D in en.wigner_D(proper, 4)[1:]]
    assert max(means) < 4 / 4000**0.5
    for wrong in ({"n": -1}, {"dtype": np.float16}, {"generator": 7}, {"group": "C4"}, {"n": 1 << 39}):
        with pytest.raises(eq.errors.EquiscopeError, match=rf"^{next(iter(wrong))}: expected"):
            en.random_rotations(**{"n": 2, **wrong})


@pytest.mark.parametrize("module", [grid, harmonics, projection, rotation, wigner], ids=lambda module: module.__name__)
def test_examples_run(module):
    found = doctest.testmod(module, extraglobs={"np": np, "quadrature": en.quadrature})
    assert found.attempted > 0 and found.failed == 0
