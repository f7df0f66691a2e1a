"""A model that fails on one system does not lose the others."""

import re

import pytest
import torch

import equiscope as eq
from equiscope.adapters import Adapter, System, rounded
from equiscope.errors import ArgumentError, CrossTalkError, MemoryLimitError, ModelError

ASKED = {"inputs": {"x": "vector"}, "outputs": {"y": "scalar"}, "lmax": 2, "degree": 6, "progress": False}
KINDS = {"one": 1, "two": 2, "bad": 9, "three": 1}


def data(*names, rows=4):
    generator = torch.Generator().manual_seed(0)
    points = {name: torch.randn(rows, 3, dtype=torch.float64, generator=generator) for name in KINDS}
    return [(name, {"x": points[name], "z": torch.full((rows,), KINDS[name])}) for name in names or KINDS]


def value(x):
    return x.square().sum((-1, -2)) + x[..., 0, 2] ** 3


def raising(when, error=None):
    def model(x, z):
        if bool(when(x, z).any()):
            raise error or RuntimeError("no parameters for element 9")
        return {"y": value(x)}

    return model


def has_nine(x, z):
    return (z == 9).any(-1)


def upside_down(x, z):
    """Of the bad one, and at few elements: its second row looks down."""
    return (z[..., 0] == 9) & (x[..., 1, 2] < -0.97 * x[..., 1, :].norm(dim=-1))


@pytest.mark.parametrize(
    "options",
    [
        {"batching": "loop", "degree": 4},
        {"degree": "auto", "lmax": 1},
        {"degree": None, "estimator": "monte-carlo", "rotations": 64},
        {"degree": None, "estimator": "monte-carlo", "rotations": 64, "precision": 0.5},
    ],
    ids=str,
)
def test_what_a_model_raises_at_one_system_is_recorded_and_the_rest_is_as_without_it(options):
    asked = {**ASKED, **options}
    report = eq.audit(raising(has_nine), data(), **asked)
    without = eq.audit(raising(has_nine), data("one", "two", "three"), **asked)
    assert [row.name for row in report.systems] == ["one", "two", "three"]
    assert report.outputs["y"].rmse == pytest.approx(without.outputs["y"].rmse, rel=1e-12)
    (failure,) = report.failures
    assert (failure.system, failure.where) == ("bad", "model")
    assert failure.reason == "RuntimeError: no parameters for element 9"
    assert "1 of 4 systems failed" in report.findings()[0]


@pytest.mark.parametrize("batching", ["stack", "loop"])
def test_the_element_at_which_it_raises_is_named_and_systems_of_the_same_batch_are_kept(batching):
    asked = {**ASKED, "batching": batching, "batch_rows": 10**5, "degree": 8, "lmax": 1}
    report = eq.audit(raising(upside_down), data(), **asked)
    without = eq.audit(raising(upside_down), data("one", "two", "three"), **asked)
    assert report.outputs["y"].rmse == pytest.approx(without.outputs["y"].rmse, rel=1e-12)
    (failure,) = report.failures
    assert f"rotation {failure.rotation_index})" in failure.reason
    ((_, bad),) = data("bad")
    assert bool(upside_down(bad["x"][None] @ failure.rotation.mT, bad["z"][None]).all())


def test_where_every_system_fails_the_first_error_is_raised_as_it_was():
    mine = ZeroDivisionError("of my own")
    with pytest.raises(ZeroDivisionError) as caught:
        eq.audit(raising(lambda x, z: z > 0, mine), data(), **ASKED)
    assert caught.value is mine


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (MemoryError(), MemoryLimitError),
        (ArgumentError("outputs: expected another name"), ArgumentError),
    ],
)
def test_interrupts_memory_and_wrong_declarations_end_the_audit(error, expected):
    with pytest.raises(expected):
        eq.audit(raising(has_nine, error), data(), **ASKED)


def test_systems_that_cannot_share_a_batch_end_the_audit_in_words():
    def model(x, z):
        if len(z.unique()) > 1:
            raise ValueError("one kind at a time")
        return {"y": value(x)}

    with pytest.raises(CrossTalkError, match=r"share a batch.*one kind at a time.*'one' and 'two'.*'loop'"):
        eq.audit(model, data(), **ASKED, batch_rows=4096)


class Sometimes(Adapter):
    """Charges of some systems alone; raises at the last look at a system that asks for it."""

    def __init__(self, systems):
        self._systems = systems
        self.inputs = {"x": eq.Representation.parse("vector")}
        self.outputs = {name: eq.Representation.parse("scalar") for name in ("y", "charge", "spin")}
        self.description = {"model": "Sometimes", "data": "points"}
        self.calls_per_copy = True
        self.evaluated = 0

    def systems(self):
        for name, item in self._systems:
            self.evaluated = 0
            yield System(name, item, rows=4, nbytes=96)

    def compatible(self, first, other):
        return False

    def forward(self, pieces):
        (piece,) = pieces
        x = rounded(piece.system.payload["x"] @ piece.rotations.mT, torch.float64, piece.dither)
        self.evaluated += len(x)
        kind = KINDS[piece.system.name]
        if kind == 9 and self.evaluated > len(eq.quadrature(6)) + 10 and len(x) == 1:
            raise RuntimeError("worn out")
        y = value(x)[:, None, None, None]
        return {"y": [y], "charge": [y if kind == 1 else y[:, :0]], "spin": [y[:, :0]]}

    def native_mean(self, name, mean):
        return mean


def test_an_output_that_some_systems_lack_is_measured_on_the_others_and_the_report_says_so():
    report = eq.audit(Sometimes(data("one", "two", "three")), None, lmax=2, degree=6, progress=False)
    assert not report.failures and len(report.systems) == 3
    alone = eq.audit(Sometimes(data("one", "three")), None, lmax=2, degree=6, progress=False)
    assert report.outputs["charge"].samples == 2
    assert report.outputs["charge"].rmse == alone.outputs["charge"].rmse
    assert "spin" not in report.outputs
    assert "`charge` is given by 2 of 3 systems, and measured on these alone" in report.warnings
    assert any(warning.startswith("`spin` is given by none of 3 systems") for warning in report.warnings)


def test_what_nobody_asked_for_and_no_system_has_is_a_note():
    adapter = Sometimes(data("one", "two", "three"))
    adapter.unasked = ["charge", "spin"]
    report = eq.audit(adapter, None, lmax=2, degree=6, progress=False)
    assert report.notes == ["`spin` is given by none of 3 systems"]
    assert report.warnings == ["`charge` is given by 2 of 3 systems, and measured on these alone"]


def test_an_error_in_the_last_check_of_a_system_is_its_own():
    report = eq.audit(Sometimes(data("one", "bad")), None, lmax=2, degree=6, progress=False)
    assert [row.name for row in report.systems] == ["one"]
    assert [failure.reason for failure in report.failures] == ["RuntimeError: worn out"]


FAR = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def looks_up(pos):
    """Of the far system at some of the rotations, of the small one at none."""
    return pos[0, 2] > 0.5


@pytest.mark.parametrize(
    "model, message",
    [
        (lambda pos: pos[pos[:, 0] > 0.5] if pos.norm() > 0.1 else pos, r"u: .*got \(.*different numbers of rows$"),
        (lambda pos: pos[0] if looks_up(pos) else pos, r"u: .*\(4, 3\).*came back with different shapes$"),
        (
            lambda pos: None if looks_up(pos) else pos,
            "u: expected a tensor from every rotated copy.*got None from some",
        ),
        (lambda pos: {} if looks_up(pos) else {"u": pos}, "u: expected a tensor from every.*got None from some"),
        (lambda pos: {"u": "far" if looks_up(pos) else pos}, "u: expected a tensor from every.*got a str from some"),
        (lambda pos: {"u": 0 if looks_up(pos) else pos}, r"u: .*\(\).*came back with different shapes$"),
    ],
)
def test_copies_of_a_system_that_come_back_unlike_are_named_and_other_systems_kept(model, message):
    asked = {"inputs": "vector", "outputs": {"u": "vector"}, "batching": "loop", "lmax": 1, "degree": 4}
    report = eq.audit(model, [("far", FAR), ("small", FAR * 1e-3)], progress=False, **asked)
    assert [row.name for row in report.systems] == ["small"] and report.outputs["u"].samples == 4
    (failure,) = report.failures
    assert failure.system == "far" and re.search(message, failure.reason), failure.reason
    with pytest.raises(ModelError, match=message):
        eq.audit(model, [FAR], progress=False, **asked)


def test_the_int_0_of_a_sum_over_nothing_is_a_number():
    settings = {"inputs": "vector", "outputs": "scalar", "batching": "loop", "lmax": 1, "degree": 4, "progress": False}

    def heights(pos, nothing):
        return sum((float(row[2]) for row in pos if row[2] > 0.5), nothing)

    whole, real = (eq.audit(lambda pos, n=n: heights(pos, n), [FAR, FAR * 1e-3], **settings) for n in (0, 0.0))
    assert not whole.failures and whole.outputs["output"].rmse == real.outputs["output"].rmse > 0.1


def test_leaves_beside_the_outputs_may_differ_from_copy_to_copy():
    def model(pos):
        return {"u": pos, "up": pos[pos[:, 2] > 0], "first": None if looks_up(pos) else pos[0]}

    settings = {"inputs": "vector", "outputs": {"u": "vector"}, "batching": "loop", "lmax": 1, "degree": 4}
    assert eq.audit(model, [FAR], progress=False, **settings).outputs["u"].verdict is eq.Verdict.EXACT
