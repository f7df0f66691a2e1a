"""What no function can answer is refused in this package's words: argument, expectation, what came."""

import math

import numpy as np
import pytest
import torch

import equiscope as eq
from equiscope.errors import (
    ArgumentError,
    DataError,
    DeviceError,
    DTypeError,
    MemoryLimitError,
    NonFiniteValues,
    ShapeError,
)
from equiscope.measure.finite import LARGEST, in_range
from equiscope.metrics import CharacterSpectrum, EquivarianceError

GRID = eq.quadrature(4)
ARRAY = np.zeros(2)


def values(*shape, scale=1.0):
    return scale * torch.randn(len(GRID), *shape, dtype=torch.float64)


def with_nan(index):
    bad = values(3)
    bad[index, 1] = math.nan
    return bad


def energy(p):
    return p.square().sum((1, 2))


def audit(data=None, **asked):
    asked = {"outputs": {"y": "scalar"}, "lmax": 1, "degree": 4, "progress": False, **asked}
    return eq.audit(energy, [torch.randn(4, 3)] if data is None else data, inputs="vector", **asked)


def measured(metric, given):
    metric.update(given)
    return metric.compute()


def on(device):
    return torch.Generator(device)


CALLS = {
    "integer rotations": (DTypeError, "dtype", lambda: eq.random_rotations(2, dtype=torch.int64)),
    "boolean rotations": (DTypeError, "dtype", lambda: eq.random_rotations(2, dtype=torch.bool)),
    "complex rotations": (DTypeError, "dtype", lambda: eq.random_rotations(2, dtype=torch.complex64)),
    "dtype by name": (DTypeError, "dtype", lambda: eq.random_rotations(2, dtype="float32")),
    "rotations on no device": (DeviceError, "device", lambda: eq.random_rotations(2, device="x")),
    "device that is none": (DeviceError, "device", lambda: eq.random_rotations(2, device=5.5)),
    "generator that is none": (DTypeError, "generator", lambda: eq.random_rotations(2, generator=3)),
    "number beyond int64": (ArgumentError, "n", lambda: eq.random_rotations(10**30)),
    "more than memory holds": (MemoryLimitError, "n", lambda: eq.random_rotations(1 << 40)),
    "irreps beyond int64": (ArgumentError, "rep:", lambda: eq.Representation.parse("4611686018427387904x1o")),
    "irreps beyond memory": (ArgumentError, "rep:", lambda: eq.Representation.parse("16777217x0e")),
    "irreps that overflow together": (ArgumentError, "text:", lambda: eq.Irreps.parse("9999999x0e+9999999x0e")),
    "endless multiplicity": (ArgumentError, "rep:", lambda: eq.Representation.parse("9" * 5000 + "x1o")),
    "endless degree": (ArgumentError, "rep:", lambda: eq.Representation.parse("1x" + "9" * 5000 + "o")),
    "digits of another script": (ArgumentError, "rep:", lambda: eq.Representation.parse("٣x1o")),
    "basis as array": (ArgumentError, "basis", lambda: eq.Representation.parse("1x1o", basis=ARRAY)),
    "layout as array": (ArgumentError, "layout", lambda: eq.Representation.parse("1x1o", layout=ARRAY)),
    "basis of harmonics as array": (
        ArgumentError,
        "basis",
        lambda: eq.spherical_harmonics(torch.ones(3), 1, basis=ARRAY),
    ),
    "basis of D as array": (ArgumentError, "basis", lambda: eq.wigner_D(torch.eye(3), 1, basis=ARRAY)),
    "basis of rotate as array": (
        ArgumentError,
        "basis",
        lambda: eq.rotate(torch.ones(3), torch.eye(3), "1x1o", basis=ARRAY),
    ),
    "basis of audit as array": (ArgumentError, "basis", lambda: audit(basis=ARRAY)),
    "inverse as word": (DTypeError, "inverse", lambda: eq.rotate(torch.ones(3), torch.eye(3), "1x1o", inverse="x")),
    "inverse as word, Cartesian": (
        DTypeError,
        "inverse",
        lambda: eq.rotate(torch.ones(3), torch.eye(3), "vector", inverse="x"),
    ),
    "inverse as number": (DTypeError, "inverse", lambda: eq.rotate(torch.ones(3), torch.eye(3), "vector", inverse=1)),
    "negative weights as list": (DTypeError, "allow_negative", lambda: eq.quadrature(13, allow_negative=[])),
    "tolerance as word": (ArgumentError, "tolerance", lambda: audit(tolerance="x")),
    "tolerance as array": (DTypeError, "tolerance", lambda: audit(tolerance=ARRAY)),
    "degree as array": (DTypeError, "degree", lambda: audit(degree=ARRAY)),
    "keep as array": (DTypeError, "keep", lambda: audit(keep=ARRAY)),
    "device without values": (DeviceError, "meta", lambda: audit(device="meta")),
    "device of audit": (DeviceError, "device", lambda: audit(device="x")),
    "dtype of audit by name": (DTypeError, "dtype", lambda: audit(dtype="float32")),
    "integer audit": (DTypeError, "dtype", lambda: audit(dtype=torch.int64)),
    "layers as number": (DTypeError, "layers", lambda: audit(layers=3)),
    "sparse system": (ArgumentError, "data.*dense", lambda: audit([torch.randn(4, 3).to_sparse()])),
    "compressed system": (ArgumentError, "data.*dense", lambda: audit([torch.eye(3).to_sparse_csr()])),
    "mkldnn system": (ArgumentError, "data.*dense", lambda: audit([torch.randn(4, 3).to_mkldnn()])),
    "audit from None": (DTypeError, "directory", lambda: eq.Audit.load(None)),
    "audit from a number": (DTypeError, "directory", lambda: eq.Audit.load(3)),
    "audit from an endless name": (DataError, "directory", lambda: eq.Audit.load("a" * 5000)),
    "audit into None": (DTypeError, "directory", lambda: audit().save(None)),
    "tolerance of the assertion": (ArgumentError, "tol", lambda: asserted("x")),
    "tolerance that nothing exceeds": (ArgumentError, "tol", lambda: asserted(math.nan)),
    "NaN in an error": (NonFiniteValues, "element 7", lambda: measured(EquivarianceError("scalar", GRID), with_nan(7))),
    "NaN in a spectrum": (NonFiniteValues, "element 0", lambda: measured(CharacterSpectrum(1, GRID), with_nan(0))),
    "squares that overflow": (
        NonFiniteValues,
        "overflow",
        lambda: measured(EquivarianceError("scalar", GRID), values(3, scale=1e200)),
    ),
    "constant whose square overflows": (
        NonFiniteValues,
        "overflow",
        lambda: measured(CharacterSpectrum(1, GRID), torch.full((len(GRID), 1), 1e200, dtype=torch.float64)),
    ),
    "no samples": (ShapeError, "values", lambda: measured(EquivarianceError("scalar", GRID), values(0))),
    "no samples of a spectrum": (ShapeError, "values", lambda: measured(CharacterSpectrum(1, GRID), values(0))),
    "sparse values": (
        ArgumentError,
        "values.*dense",
        lambda: measured(EquivarianceError("scalar", GRID), values(3).to_sparse()),
    ),
    "negative lmax": (ArgumentError, "lmax", lambda: CharacterSpectrum(-5, GRID)),
    "lmax above half the degree": (ArgumentError, "lmax.*half", lambda: CharacterSpectrum(3, GRID)),
    "grid that is none": (DTypeError, "quadrature", lambda: EquivarianceError("scalar", 3)),
    "grid of a spectrum that is none": (DTypeError, "quadrature", lambda: CharacterSpectrum(1, None)),
}


def asserted(tol):
    eq.testing.assert_equivariant(energy, [torch.ones(4, 3)], inputs="vector", outputs={"y": "scalar"}, tol=tol)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("name", CALLS)
def test_refused_with_the_argument_named(name):
    kind, words, call = CALLS[name]
    with pytest.raises(kind, match=words) as caught:
        call()
    assert isinstance(caught.value, eq.errors.EquiscopeError)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize("outputs", [{"v": "vector"}, {"v": "vector", "y": "scalar"}])
@pytest.mark.parametrize("first", [False, True])
def test_a_system_without_rows_is_recorded_and_the_others_measured(outputs, first):
    def model(p):
        return {"v": p * (1 + p[..., :1].abs()), "y": energy(p)}

    good, empty = ("good", torch.randn(4, 3)), ("empty", torch.zeros(0, 3))
    data = [empty, good] if first else [good, empty]
    found = audit_of(model, data, outputs)
    expected = audit_of(model, [good], outputs)
    assert [row.name for row in found.systems] == ["good"]
    assert [failure.system for failure in found.failures] == ["empty"]
    assert found.outputs["v"].rmse == pytest.approx(expected.outputs["v"].rmse, rel=1e-6)


def audit_of(model, data, outputs):
    return eq.audit(model, data, inputs="vector", outputs=outputs, lmax=1, degree=6, progress=False)


def test_numpy_scalars_are_taken_where_they_are_meant():
    assert eq.random_rotations(np.int64(2)).shape == (2, 3, 3)
    turned = eq.rotate(torch.ones(3), eq.random_rotations(1)[0].float(), "vector", inverse=np.True_)
    assert turned.shape == (3,)
    assert audit(lmax=np.int64(1), degree=np.int64(4), tolerance=np.float64(0.1)).settings["lmax"] == 1


def test_range_of_what_can_be_squared_is_that_of_the_dtype():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = torch.tensor([0.0, torch.finfo(dtype).max, math.inf, -math.inf, math.nan], dtype=dtype)
        assert in_range(x).tolist() == [True, dtype != torch.float64, False, False, False]
    edge = torch.tensor([LARGEST, -LARGEST, 1.01 * LARGEST], dtype=torch.float64)
    assert in_range(edge).tolist() == [True, True, False]


@pytest.mark.parametrize("settings", [{}, {"estimator": "monte-carlo", "rotations": 64, "degree": None}])
def test_squares_that_overflow_stop_their_system_alone(settings):
    def model(p):
        e = p.double().square().sum((1, 2))
        return torch.where(p[:, 0, 2].double() > 1.0, 1e200 * e, e)

    near, far = torch.eye(3), torch.eye(3)
    far[0] = torch.tensor([1.5, 0.0, 0.0])
    for name, bad in (("turned", far), ("at once", torch.tensor([[0.0, 0.0, 1.5]]).expand(3, 3))):
        data = [("first", near), (name, bad), ("last", near)]
        asked = {"inputs": "vector", "outputs": {"y": "scalar"}, "lmax": 1, "degree": 4, "progress": False, **settings}
        found = eq.audit(model, data, **asked)
        assert [row.name for row in found.systems] == ["first", "last"]
        (failure,) = found.failures
        assert failure.system == name and "overflow" in failure.reason
        if name == "turned":
            # the element named is one that takes the point up the z axis
            assert failure.rotation_index > 0 and float((far @ failure.rotation.T.float())[0, 2]) > 1.0
        assert found.outputs["y"].rmse < 1e-6
