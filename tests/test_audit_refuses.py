"""Bad input to the audit: typed errors that name argument, expectation and what came, before the model runs."""

import math
from types import SimpleNamespace

import pytest
import torch

import equiscope as eq
from equiscope import errors
from equiscope.adapters.checks import distinct

POINTS = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
GOOD = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, "lmax": 1, "degree": 6}


class Untouched(torch.nn.Module):
    """Fails the test when it is called."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, **_):
        pytest.fail("the model was called")


CASES = {
    "lmax negative": (
        dict(lmax=-1),
        errors.ArgumentError,
        "lmax: expected a non-negative integer, or None for errors alone, got -1",
    ),
    "lmax float": (
        dict(lmax=2.0),
        errors.ArgumentError,
        "lmax: expected a non-negative integer, or None for errors alone, got 2.0",
    ),
    "lmax bool": (dict(lmax=True), errors.ArgumentError, "lmax"),
    "degree above 131": (dict(degree=132), errors.ArgumentError, "degree: expected .*131.*got 132"),
    "lmax beyond the grids": (dict(lmax=66), errors.ArgumentError, "lmax: expected at most 65.*got 66"),
    "degree below 2 lmax": (dict(lmax=4, degree=7), errors.ArgumentError, "degree: .*at least 2 lmax = 8.*got 7"),
    "degree negative": (dict(degree=-2), errors.ArgumentError, "degree"),
    "degree word": (dict(degree="high"), errors.ArgumentError, "degree: .*'high'"),
    "degree float": (dict(degree=8.0), errors.ArgumentError, "degree"),
    "tolerance": (dict(tolerance=0.0), errors.ArgumentError, "tolerance"),
    "keep": (dict(keep="all"), errors.ArgumentError, "keep: .*'all'"),
    "batch_rows": (dict(batch_rows=0), errors.ArgumentError, "batch_rows"),
    "max_memory": (dict(max_memory=1.5), errors.ArgumentError, "max_memory: expected a positive integer .*got 1.5"),
    "batching": (dict(batching="pile"), errors.ArgumentError, "batching: .*stack, concat, loop.*'pile'"),
    "unknown representation": (dict(outputs={"u": "vectors"}), errors.ArgumentError, r"outputs\['u'\]: .*'vectors'"),
    "irreps malformed": (dict(outputs={"u": "8x0q"}), errors.ArgumentError, "8x0q"),
    "representation type": (dict(outputs={"u": 3}), errors.DTypeError, r"outputs\['u'\]: .*int"),
    "basis": (dict(basis="cartesian"), errors.ArgumentError, "basis: .*'cartesian'"),
    "nothing asked": (dict(outputs=None), errors.ArgumentError, "outputs: expected at least one output or layer"),
    "unknown input": (dict(inputs={"y": "vector"}), errors.ArgumentError, "inputs: expected names among x, got 'y'"),
    "undeclared vector": (
        dict(inputs={}),
        errors.ArgumentError,
        r"data\[0\]: .*undeclared x \(2, 3\); declare each in `inputs`",
    ),
    "input rank": (dict(inputs={"x": "8x0e"}), errors.ShapeError, r"data\[0\]\.x: expected \(\.\.\., 8\).*\(2, 3\)"),
    "pattern": (dict(layers="nowhere.*"), errors.ArgumentError, r"layers: .*'nowhere\.\*'.*layer"),
}


@pytest.mark.parametrize("change, kind, message", CASES.values(), ids=CASES.keys())
def test_bad_setting_is_refused_before_the_model_runs(change, kind, message):
    with pytest.raises(kind, match=message):
        eq.audit(Untouched(), [{"x": POINTS}], **{**GOOD, **change})


DATA = {
    "empty": ([], errors.DataError, "data: expected at least one system, got an empty data set"),
    "a tensor": (POINTS, errors.DataError, "data: expected an iterable of systems"),
    "one system": ({"x": POINTS}, errors.DataError, "data: expected an iterable of systems"),
    "a number": (3, errors.DataError, "data: .*int"),
    "no tensor inside": ([{"x": 3}], errors.DataError, r"data\[0\]: expected a tensor"),
    "last axis": ([{"x": torch.ones(2, 4)}], errors.ShapeError, r"data\[0\]\.x: expected \(\.\.\., 3\).*\(2, 4\)"),
    "integers": ([{"x": torch.ones(2, 3, dtype=torch.long)}], errors.DTypeError, r"data\[0\]\.x: .*int64"),
    "NaN": ([{"x": POINTS * math.nan}], errors.DataError, r"data\[0\]\.x: expected finite values"),
    "infinite": ([{"x": POINTS / 0}], errors.DataError, r"data\[0\]\.x: expected finite values"),
    "dtype of the model": ([{"x": POINTS.double()}], errors.DTypeError, r"data\[0\]: .*float64.*model.*float32"),
    "mixed dtypes": (
        [{"x": POINTS, "q": torch.ones(2, dtype=torch.float64)}],
        errors.DTypeError,
        r"data\[0\]: .*x torch\.float32.*q torch\.float64",
    ),
    "mixed devices": (
        [{"x": POINTS, "q": torch.ones(2, device="meta")}],
        errors.DeviceError,
        r"data\[0\]: expected tensors on the device of the model.*x cpu.*q meta",
    ),
}


@pytest.mark.parametrize("data, kind, message", DATA.values(), ids=DATA.keys())
def test_bad_data_is_refused_before_the_model_runs(data, kind, message):
    with pytest.raises(kind, match=message):
        eq.audit(Untouched(), data, **GOOD)


def sums(x):
    return {"u": x.sum((-1, -2)), "v": x, "k": x.sum((-1, -2)).long()}


def test_unknown_output_is_refused_with_the_names_there_are():
    message = r"outputs: expected names that the model returns for system \S+ \(u, v, k\), got 'e'"
    with pytest.raises(errors.ArgumentError, match=message):
        eq.audit(sums, [{"x": POINTS}], **{**GOOD, "outputs": {"e": "scalar"}})


def test_output_that_does_not_fit_its_representation_is_refused():
    with pytest.raises(errors.ShapeError, match=r"outputs\['u'\]: expected \(\.\.\., 3\) for 'vector'"):
        eq.audit(sums, [{"x": POINTS}], **{**GOOD, "outputs": {"u": "vector"}})


def test_integer_output_is_refused():
    with pytest.raises(errors.ModelError, match=r"k: expected a floating-point output, got torch\.int64"):
        eq.audit(sums, [{"x": POINTS}], **{**GOOD, "outputs": {"k": "scalar"}})


def test_output_that_is_not_batched_is_refused():
    with pytest.raises(errors.ModelError, match="u: expected a first axis of copies"):
        eq.audit(lambda x: {"u": x.sum()}, [{"x": POINTS}], **GOOD)


def test_two_systems_of_one_name_are_refused():
    with pytest.raises(errors.DataError, match="data: expected names that differ, got 'a' twice"):
        eq.audit(sums, [("a", {"x": POINTS}), ("a", {"x": POINTS})], **GOOD)


def test_two_systems_of_one_name_are_refused_whoever_made_them():
    systems = [SimpleNamespace(name=name) for name in "aba"]
    with pytest.raises(errors.DataError, match="data: expected names that differ, got 'a' twice"):
        list(distinct(systems))


def test_model_that_always_fails_is_reported():
    with pytest.raises(errors.ModelError, match=r"finite values for at least one system.*NaN or infinity"):
        eq.audit(lambda x: {"u": x.sum((-1, -2)) * math.nan}, [{"x": POINTS}], **GOOD)


@pytest.mark.parametrize("calls", [0, 3])
def test_model_that_raises_StopIteration_is_named(calls):
    # in the first call, or with the grid half done
    class Headless(torch.nn.Module):
        left = calls

        def forward(self, x):
            self.left -= 1
            return x.square().sum((1, 2)) * (next(self.parameters()) if self.left < 0 else 1.0)

    with pytest.raises(errors.ModelError, match=r"model: expected Headless to .*got StopIteration") as caught:
        eq.audit(Headless(), [{"x": POINTS}], **GOOD, progress=False)
    assert isinstance(caught.value.__cause__, StopIteration)


def test_model_that_cannot_be_called_is_refused():
    with pytest.raises(errors.ArgumentError, match=r"model: expected .* got int"):
        eq.audit(3, [{"x": POINTS}], **GOOD)


def test_layers_of_a_plain_function_are_refused():
    with pytest.raises(errors.ArgumentError, match="a plain callable has no modules"):
        eq.audit(sums, [{"x": POINTS}], **GOOD, layers="*")


def test_unwritable_directory_is_refused_before_the_model_runs(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("here")
    with pytest.raises(errors.DataError, match="file"):
        eq.audit(Untouched(), [{"x": POINTS}], **GOOD, out=blocked)


def test_scalar_shaped_like_vectors_can_be_declared_invariant():
    masses = torch.tensor([1.0, 2.0, 3.0])
    report = eq.audit(
        lambda x, masses: {"u": (masses[..., :2, None] * x).square().sum((-1, -2))},
        [{"x": POINTS, "masses": masses}],
        inputs={"x": "vector", "masses": "invariant"},
        outputs={"u": "scalar"},
        lmax=1,
        degree=6,
    )
    assert report.outputs["u"].relative < 1e-6
