"""What must not be computed is refused, by argument, expectation and what came, before any memory is read."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import equiscope as eq
from equiscope.errors import ArgumentError, DeviceError, DTypeError, EquiscopeError, ShapeError

DOUBLE, SINGLE = torch.float64, torch.float32
ONE, POINTS, GRID = torch.eye(3), torch.ones(4, 3), eq.quadrature(2)
VALUES = torch.ones(len(GRID), 2)


def stacked(n, row, matrix):
    R = torch.eye(3, dtype=DOUBLE).repeat(n, 1, 1)
    R[row] = matrix
    return R


SKEWED = torch.tensor([[1.0, 0.1, 0], [0, 1, 0], [0, 0, 1]])
NAN, INF = torch.full((3, 3), float("nan")), torch.diag(torch.tensor([1.0, 1.0, float("inf")]))
MIRROR = torch.diag(torch.tensor([1.0, 1.0, -1.0]))

# (call, error, what the message says)
REFUSED = {
    # lmax
    "negative lmax": (lambda: eq.wigner_D(ONE, -1), ArgumentError, "lmax: expected an integer from 0 to 131, got -1"),
    "fractional lmax": (lambda: eq.wigner_D(ONE, 2.0), ArgumentError, "lmax: .*got 2.0"),
    "boolean lmax": (lambda: eq.wigner_D(ONE, True), ArgumentError, "lmax: .*got True"),
    "huge lmax": (lambda: eq.wigner_D(ONE, 132), ArgumentError, "lmax: .*got 132"),
    "overflowing lmax": (lambda: eq.wigner_D(ONE, 2**63), ArgumentError, "lmax: "),
    "text lmax": (lambda: eq.spherical_harmonics(POINTS, "3"), ArgumentError, "lmax: .*got '3'"),
    "tensor lmax": (lambda: eq.spherical_harmonics(POINTS, torch.tensor(3)), ArgumentError, "lmax: "),
    "no lmax": (lambda: eq.character_power(VALUES, GRID, None), ArgumentError, "lmax: .*got None"),
    "lmax above half the degree": (
        lambda: eq.character_power(VALUES, GRID, 2),
        ArgumentError,
        r"lmax: expected at most half the degree of the grid \(2\), got 2",
    ),
    "lmax above what the elements hold": (
        lambda: eq.character_power(VALUES, (GRID.rotations, GRID.weights), 2),
        ArgumentError,
        "quadrature: expected 70 elements or more, which lmax = 2 needs, got 36",
    ),
    # matrices
    "vector for a matrix": (
        lambda: eq.wigner_D(torch.ones(3), 2),
        ShapeError,
        r"rotations: expected \(\*batch, 3, 3\), got \(3,\)",
    ),
    "scalar for a matrix": (lambda: eq.wigner_D(torch.tensor(1.0), 2), ShapeError, r"got \(\)"),
    "2 x 2": (lambda: eq.wigner_D(torch.eye(2), 2), ShapeError, r"got \(2, 2\)"),
    "3 x 2": (lambda: eq.rotate(POINTS, torch.ones(3, 2), "vector"), ShapeError, r"got \(3, 2\)"),
    "2 x 3": (lambda: eq.rotate(POINTS, torch.ones(2, 3), "vector"), ShapeError, r"got \(2, 3\)"),
    "quaternions": (lambda: eq.wigner_D(torch.ones(5, 4), 2), ShapeError, r"got \(5, 4\)"),
    "scaled": (
        lambda: eq.wigner_D(2 * ONE, 2),
        ArgumentError,
        r"rotations: expected orthogonal 3x3 .*row 0 with \|R R\^T - 1\| = 3",
    ),
    "skewed in row 5": (
        lambda: eq.wigner_D(stacked(9, 5, SKEWED), 2),
        ArgumentError,
        r"got row 5 with \|R R\^T - 1\| = 0.1",
    ),
    "NaN in row 2": (lambda: eq.wigner_D(stacked(4, 2, NAN), 2), ArgumentError, "got row 2 with non-finite values"),
    "infinity in row 3": (
        lambda: eq.rotate(torch.ones(3, dtype=DOUBLE), stacked(4, 3, INF), "1x1o"),
        ArgumentError,
        "row 3 with non-fin",
    ),
    "zero matrix": (lambda: eq.wigner_D(torch.zeros(3, 3), 2), ArgumentError, "row 0"),
    "skewed, Cartesian": (
        lambda: eq.rotate(torch.ones(3, dtype=DOUBLE), stacked(9, 5, SKEWED), "vector"),
        ArgumentError,
        "row 5",
    ),
    "skewed, scalar": (
        lambda: eq.rotate(torch.ones(9, dtype=DOUBLE), stacked(9, 5, SKEWED), "scalar"),
        ArgumentError,
        "row 5",
    ),
    "mirror": (
        lambda: eq.wigner_D(stacked(4, 1, MIRROR), 2),
        ArgumentError,
        "proper rotations.*pass -R.*row 1 with determinant -1",
    ),
    "integer matrix": (lambda: eq.wigner_D(torch.eye(3, dtype=torch.int64), 2), DTypeError, "rotations: .*got int64"),
    "half matrix": (lambda: eq.wigner_D(ONE.half(), 2), DTypeError, "rotations: .*float32 or float64, got float16"),
    "complex matrix": (lambda: eq.wigner_D(ONE.to(torch.complex64), 2), DTypeError, "got complex64"),
    "numpy matrix": (
        lambda: eq.wigner_D(np.eye(3), 2),
        DTypeError,
        "rotations: expected a torch.Tensor of matrices.*got ndarray",
    ),
    "scipy Rotation": (
        lambda: eq.wigner_D(Rotation.identity(), 2),
        DTypeError,
        r"torch.from_numpy\(r.as_matrix\(\)\).*got Rotation",
    ),
    "list": (lambda: eq.wigner_D([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], 2), DTypeError, "got list"),
    "sparse matrix": (lambda: eq.wigner_D(ONE.to_sparse(), 2), ArgumentError, "rotations: expected a dense"),
    # points
    "two coordinates": (
        lambda: eq.spherical_harmonics(torch.ones(5, 2), 2),
        ShapeError,
        r"xyz: expected \(\*batch, 3\), got \(5, 2\)",
    ),
    "four coordinates": (lambda: eq.spherical_harmonics(torch.ones(5, 4), 2), ShapeError, r"got \(5, 4\)"),
    "no axis": (lambda: eq.spherical_harmonics(torch.tensor(1.0), 2), ShapeError, r"got \(\)"),
    "NaN point": (
        lambda: eq.spherical_harmonics(torch.tensor([[1.0, 0, 0], [0, float("nan"), 0]]), 2),
        ArgumentError,
        "xyz: expected finite.*row 1",
    ),
    "infinite point": (
        lambda: eq.spherical_harmonics(torch.tensor([0, float("inf"), 0]), 2),
        ArgumentError,
        "xyz: expected finite.*row 0",
    ),
    "integer points": (
        lambda: eq.spherical_harmonics(torch.ones(5, 3, dtype=torch.int32), 2),
        DTypeError,
        "xyz: .*got int32",
    ),
    "numpy points": (lambda: eq.spherical_harmonics(np.ones((5, 3)), 2), DTypeError, "xyz: .*got ndarray"),
    # basis, layout, representation
    "basis": (
        lambda: eq.wigner_D(ONE, 2, basis="E3NN"),
        ArgumentError,
        "basis: expected 'standard' or 'e3nn', got 'E3NN'",
    ),
    "basis of points": (lambda: eq.spherical_harmonics(POINTS, 2, basis=None), ArgumentError, "basis: .*got None"),
    "basis of features": (lambda: eq.rotate(POINTS, ONE, "1x1o", basis="x"), ArgumentError, "basis: .*got 'x'"),
    "layout": (lambda: eq.rotate(POINTS, ONE, "1x1o", layout=["mul_ir"]), ArgumentError, "layout: "),
    "kind": (lambda: eq.rotate(POINTS, ONE, "vectors"), ArgumentError, "rep: expected one of scalar"),
    "parity": (lambda: eq.rotate(POINTS, ONE, "1x1"), ArgumentError, "rep: .*got '1x1'"),
    "empty irreps": (lambda: eq.rotate(POINTS, ONE, ""), ArgumentError, "rep: "),
    "negative l": (lambda: eq.rotate(POINTS, ONE, "1x-1o"), ArgumentError, "rep: "),
    "l above 131": (lambda: eq.rotate(torch.ones(265), ONE, "1x132e"), ArgumentError, "l <= 131"),
    "no representation": (lambda: eq.rotate(POINTS, ONE, None), DTypeError, "rep: .*got NoneType"),
    "list of irreps": (lambda: eq.rotate(POINTS, ONE, ["1x1o"]), DTypeError, "rep: .*got list"),
    # features
    "two components": (
        lambda: eq.rotate(torch.ones(4, 2), ONE, "vector"),
        ShapeError,
        r"x: expected \(\.\.\., 3\) for 'vector', got \(4, 2\)",
    ),
    "tensor without an axis": (
        lambda: eq.rotate(torch.ones(3), ONE, "tensor"),
        ShapeError,
        r"x: expected \(\.\.\., 3, 3\)",
    ),
    "wrong dim": (
        lambda: eq.rotate(torch.ones(4, 9), ONE, "1x0e+3x1o"),
        ShapeError,
        r"x: expected \(\.\.\., 10\) for '1x0e\+3x1o'",
    ),
    "batches": (
        lambda: eq.rotate(torch.ones(4, 3), ONE.expand(5, 3, 3), "vector"),
        ShapeError,
        r"rotations: .*\(4,\), got \(5,\)",
    ),
    "mixed dtypes": (
        lambda: eq.rotate(POINTS, ONE.double(), "vector"),
        DTypeError,
        "rotations: expected torch.float32.*got torch.float64",
    ),
    "mixed dtypes, half": (
        lambda: eq.rotate(POINTS.half(), ONE.double(), "1x1o"),
        DTypeError,
        "rotations: expected torch.float32",
    ),
    "integer features": (lambda: eq.rotate(POINTS.int(), ONE, "vector"), DTypeError, "x: .*got int32"),
    "numpy features": (lambda: eq.rotate(np.ones(3), ONE, "vector"), DTypeError, "x: .*got ndarray"),
    "mixed devices": (
        lambda: eq.rotate(POINTS, ONE.to("meta"), "vector"),
        DeviceError,
        "rotations: expected the device of x",
    ),
    # values on a grid
    "values short by one": (
        lambda: eq.character_power(VALUES[1:], GRID, 1),
        ShapeError,
        rf"values: expected \({len(GRID)}, \*rest\)",
    ),
    "no values": (lambda: eq.character_power(torch.tensor(1.0), GRID, 1), ShapeError, r"values: .*got \(\)"),
    "NaN value": (
        lambda: eq.character_power(_with(float("nan"), 7), GRID, 1),
        ArgumentError,
        "values: expected finite values, got NaN or infinity at grid element 7",
    ),
    "infinite value": (lambda: eq.character_power(_with(float("inf"), 29), GRID, 1), ArgumentError, "grid element 29"),
    "infinite first value": (
        lambda: eq.character_power(_with(float("inf"), 0), GRID, 1),
        ArgumentError,
        "grid element 0",
    ),
    "overflowing values": (
        lambda: eq.character_power(torch.full((len(GRID),), 3e38), GRID, 0),
        ArgumentError,
        "values: expected finite",
    ),
    "integer values": (lambda: eq.character_power(VALUES.long(), GRID, 1), DTypeError, "values: "),
    "grid of another kind": (
        lambda: eq.character_power(VALUES, 2, 1),
        DTypeError,
        "quadrature: expected a Quadrature or a pair",
    ),
    "rotations alone": (lambda: eq.character_power(VALUES, (GRID.rotations,), 1), DTypeError, "quadrature: "),
    "weights short by one": (
        lambda: eq.character_power(VALUES, (GRID.rotations, GRID.weights[1:]), 1),
        ShapeError,
        "quadrature: ",
    ),
    "weights with an axis": (
        lambda: eq.character_power(VALUES, (GRID.rotations, GRID.weights[:, None]), 1),
        ShapeError,
        "quadrature: ",
    ),
    "integer weights": (
        lambda: eq.character_power(VALUES, (GRID.rotations, GRID.weights.long()), 1),
        DTypeError,
        "weights: ",
    ),
    "NaN weights": (
        lambda: eq.character_power(VALUES, (GRID.rotations, GRID.weights * float("nan")), 1),
        ArgumentError,
        "weights",
    ),
    "zero weights": (
        lambda: eq.character_power(VALUES, (GRID.rotations, 0 * GRID.weights), 1),
        ArgumentError,
        "weights",
    ),
    "one coset": (
        lambda: eq.character_power(VALUES, (GRID.rotations.abs() * 0 + torch.eye(3), GRID.weights), 1),
        ArgumentError,
        "both cosets",
    ),
    "skewed grid": (
        lambda: eq.character_power(VALUES, (1.01 * GRID.rotations, GRID.weights), 1),
        ArgumentError,
        "rotations: expected orthogonal",
    ),
    "empty grid": (
        lambda: eq.character_power(VALUES[:0], (GRID.rotations[:0], GRID.weights[:0]), 1),
        ArgumentError,
        "quadrature: expected 20 elements or more, .*got 0",
    ),
}


def _with(value, where):
    changed = VALUES.clone()
    changed[where, 1] = value
    return changed


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_by_name(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("basis", ["standard", "e3nn"])
@pytest.mark.parametrize("coordinate", [0, 1, 2])
def test_a_point_that_is_not_finite_is_named_by_its_row(coordinate, basis):
    points = torch.ones(5, 2, 3)
    points[3, 1, coordinate] = -torch.inf
    message = "xyz: expected finite coordinates, got row 7 with non-finite values"
    for xyz, call in (
        (points, eq.spherical_harmonics),
        (points.clone().requires_grad_(), eq.spherical_harmonics),
        (points.numpy(), eq.numpy.spherical_harmonics),
    ):
        with pytest.raises(ArgumentError, match=message):
            call(xyz, 2, basis=basis)


@pytest.mark.parametrize("error", [ArgumentError, ShapeError, DTypeError, DeviceError])
def test_errors_are_also_the_builtin_kind(error):
    assert issubclass(error, EquiscopeError) and issubclass(error, TypeError if error is DTypeError else ValueError)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_orthogonality_tolerance_lies_where_it_is_stated(dtype):
    limit = {SINGLE: 1e-4, DOUBLE: 1e-8}[dtype]
    stretched = torch.eye(3, dtype=dtype)
    stretched[0, 0] = 1 + 0.4 * limit
    eq.wigner_D(stretched, 2)
    eq.rotate(torch.ones(3, dtype=dtype), stretched, "vector")
    stretched[0, 0] = 1 + 0.6 * limit
    for call in (lambda: eq.wigner_D(stretched, 2), lambda: eq.rotate(torch.ones(3, dtype=dtype), stretched, "vector")):
        with pytest.raises(ArgumentError, match="row 0"):
            call()


SIZES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 5]), max_size=4)
DTYPES = st.sampled_from([torch.float16, torch.bfloat16, SINGLE, DOUBLE, torch.int64, torch.bool, torch.complex64])
FILLS = st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), -0.0])
LMAX = st.one_of(st.integers(-2, 6), st.sampled_from([None, True, 2.5, "2", 132, 10**30]))
REPS = st.one_of(
    st.sampled_from(
        ["vector", "scalar", "tensor", "voigt", "pseudoscalar", "1x1o", "2x0e+1x1o", "0x3e", "x", "", "1x1"]
    ),
    st.text(max_size=6),
    st.none(),
)
HOSTILE = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def tensors(draw, rotations=False):
    shape, dtype = draw(SIZES), draw(DTYPES)
    if rotations and draw(st.booleans()):
        batch = draw(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=3))
        n = int(np.prod(batch))
        x = eq.random_rotations(n, group=draw(st.sampled_from(["SO3", "O3"]))).reshape(*batch, 3, 3)
        return x.to(draw(st.sampled_from([SINGLE, DOUBLE])))
    x = torch.full(shape, draw(FILLS), dtype=DOUBLE).to(dtype)
    if draw(st.booleans()) and x.ndim > 1:
        x = x.transpose(0, 1)
    return x


def tried(call):
    try:
        return call()
    except EquiscopeError:
        return None


@HOSTILE
@given(tensors(rotations=True), LMAX, st.sampled_from(["standard", "e3nn", "", None]))
def test_wigner_D_answers_or_refuses(R, lmax, basis):
    degrees = tried(lambda: eq.wigner_D(R, lmax, basis=basis))
    if degrees is not None:
        assert all(bool(torch.isfinite(D).all()) and D.shape[:-2] == R.shape[:-2] for D in degrees)


@HOSTILE
@given(tensors(), LMAX)
def test_spherical_harmonics_answers_or_refuses(xyz, lmax):
    Y = tried(lambda: eq.spherical_harmonics(xyz, lmax))
    if Y is not None:
        assert bool(torch.isfinite(Y).all()) and Y.shape == (*xyz.shape[:-1], (lmax + 1) ** 2)


@HOSTILE
@given(tensors(), tensors(rotations=True), REPS, st.booleans(), st.sampled_from(["mul_ir", "ir_mul"]))
def test_rotate_answers_or_refuses(x, R, rep, inverse, layout):
    y = tried(lambda: eq.rotate(x, R, rep, inverse=inverse, layout=layout))
    if y is not None:
        axes = eq.Representation.parse(rep).component_axes
        lead = torch.broadcast_shapes(x.shape[: x.ndim - axes], R.shape[:-2])
        assert y.dtype == x.dtype and y.shape == (*lead, *x.shape[x.ndim - axes :])


@HOSTILE
@given(tensors(), tensors(rotations=True), tensors(), LMAX)
def test_character_power_answers_or_refuses(values, R, weights, lmax):
    B = tried(lambda: eq.character_power(values, (R, weights), lmax))
    if B is not None:
        assert B.shape == (lmax + 1, 2, *values.shape[1:])


def test_missing_compiled_module_is_said_with_a_remedy():
    code = "import sys; sys.modules['equiscope._C'] = None; import equiscope; equiscope.rotate"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "ImportError: equiscope: expected the compiled module" in run.stderr and "pip install" in run.stderr


def test_public_names_are_what_dir_shows():
    assert sorted(dir(eq)) == sorted(eq.__all__)
    assert all(hasattr(eq, name) for name in eq.__all__)
