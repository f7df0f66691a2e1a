"""A model that fails on one system does not lose the others."""

import re

import pytest
import torch

import equiscope as eq
from equiscope.adapters import Adapter, System, rounded
from equiscope.errors import ArgumentError, CrossTalkError, MemoryLimitError, ModelError
from equiscope.testing import assert_equivariant

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


@pytest.mark.parametrize(("batching", "batch_rows"), [("stack", 10**5), ("stack", 3000), ("loop", 10**5)])
def test_the_element_at_which_it_raises_is_named_and_systems_of_the_same_batch_are_kept(batching, batch_rows):
    asked = {**ASKED, "batching": batching, "batch_rows": batch_rows, "degree": 8, "lmax": 1}
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


def partly(x, z):
    """Energies of all systems, and stresses of those that have them: the bad one has none at some rotations, the second
    none at all."""
    stress = x[..., 0, 2] ** 2 + x[..., 0, 1]
    stress = torch.where(upside_down(x, z) | (z[..., 0] == 2), torch.nan, stress)
    return {"y": value(x), "stress": stress, "twice": 2 * value(x)}


PARTS = {"y": "scalar", "stress": "scalar", "twice": "scalar"}


@pytest.mark.parametrize(
    "options",
    [
        {"degree": 8},
        {"degree": 8, "batching": "loop", "batch_rows": 64},
        {"degree": "auto", "lmax": 1},
        {"degree": 8, "keep": "samples"},
        {"degree": None, "estimator": "monte-carlo", "rotations": 200},
        {"degree": None, "estimator": "monte-carlo", "precision": 0.06, "lmax": 1},
    ],
    ids=str,
)
def test_an_output_that_is_not_finite_lacks_the_system_and_the_others_have_it(options):
    asked = {**ASKED, "outputs": PARTS, **options}
    report = eq.audit(partly, data(), **asked)
    whole = eq.audit(partly, data(), **{**asked, "outputs": {"y": "scalar", "twice": "scalar"}})
    finite = eq.audit(partly, data("one", "three"), **{**asked, "outputs": {"stress": "scalar"}})
    assert [row.name for row in report.systems] == list(KINDS)
    assert {row.name: sorted(row.outputs) for row in report.systems} == {
        name: ["stress", "twice", "y"] if KINDS[name] == 1 else ["twice", "y"] for name in KINDS
    }
    if options["degree"] == 8 or "rotations" in options:  # else every output has a say in how many there are
        for name in ("y", "twice"):
            assert report.outputs[name].rmse == pytest.approx(whole.outputs[name].rmse, rel=1e-12)
        assert report.outputs["stress"].rmse == pytest.approx(finite.outputs["stress"].rmse, rel=1e-12)
    assert report.outputs["y"].samples == 4 and report.outputs["stress"].samples == 2
    assert [(f.system, f.where, f.whole) for f in report.failures] == [
        ("two", "stress", False), ("bad", "stress", False),
    ]  # fmt: skip
    at_once, turned = report.failures
    assert at_once.reason == "NaN or infinity on the unrotated input"
    ((_, bad),) = data("bad")
    assert bool(upside_down(bad["x"][None] @ turned.rotation.mT, bad["z"][None]).all())


def test_what_lacks_a_system_is_told_in_every_view_and_fails_a_check(tmp_path):
    report = eq.audit(partly, data(), **{**ASKED, "outputs": PARTS, "degree": 8})
    (line,) = [line for line in report.findings() if "Not finite" in line]
    assert line.startswith("Not finite, and measured on the other systems alone: `stress` on 2 of 4: `two` at `stress`")
    assert not report.warnings and "measured on the systems on which it is finite" in report.to_html()
    assert "`bad` at `stress`" in " ".join(str(report).split())
    assert report.summary()["verdict"].endswith("; stress not finite on 2 systems")
    kept = eq.Audit.load(report.save(tmp_path / "audit"))
    assert [failure.whole for failure in kept.failures] == [False, False] and kept.findings() == report.findings()
    with pytest.raises(AssertionError, match="two: stress: NaN or infinity on the unrotated input"):
        assert_equivariant(partly, data(), inputs={"x": "vector"}, outputs=PARTS, tol=10)


STOPS = []


def interrupted(x, z):
    if STOPS and bool((z == 9).any()):
        raise KeyboardInterrupt
    return partly(x, z)


def test_a_stopped_run_knows_what_lacks_a_system(tmp_path, monkeypatch):
    asked = {**ASKED, "outputs": PARTS, "degree": 8, "batch_rows": 64}
    whole = eq.audit(partly, data(), **asked)
    monkeypatch.setitem(globals(), "STOPS", [True])
    with pytest.raises(KeyboardInterrupt):
        eq.audit(interrupted, data(), **asked, out=tmp_path / "run")
    assert [(f.system, f.whole) for f in eq.Audit.load(tmp_path / "run").failures] == [("two", False)]
    monkeypatch.setitem(globals(), "STOPS", [])
    report = eq.audit(interrupted, data(), **asked, out=tmp_path / "run", resume=True)
    assert [(f.system, f.where, f.whole) for f in report.failures] == [
        (f.system, f.where, f.whole) for f in whole.failures
    ]
    assert report.outputs["stress"].rmse == whole.outputs["stress"].rmse


def test_a_system_without_any_finite_output_fails_as_a_whole():
    def model(x, z):
        return {name: torch.where(z[..., 0] == 9, torch.nan, own) for name, own in partly(x, z).items()}

    report = eq.audit(model, data("one", "bad", "three"), **{**ASKED, "outputs": PARTS})
    assert [row.name for row in report.systems] == ["one", "three"]
    assert [(failure.system, failure.whole) for failure in report.failures] == [("bad", True)]


class Layered(torch.nn.Module):
    """Three layers, two of which hold NaN at some rotations of the bad system, and nobody reads them."""

    def __init__(self):
        super().__init__()
        self.first, self.middle, self.last = (torch.nn.Identity() for _ in range(3))

    def forward(self, x, z):
        self.first(x)
        self.middle(torch.where(upside_down(x, z)[..., None, None], torch.nan, x))
        self.last(torch.where(upside_down(x, z)[..., None, None], torch.inf, x))
        return {"y": value(x)}


def test_a_layer_that_is_not_finite_lacks_the_system_and_nothing_else_does():
    asked = {**ASKED, "degree": 8, "layers": "*"}
    report, without = (eq.audit(Layered(), data(*names), **asked) for names in ((), ("one", "two", "three")))
    (failure,) = report.failures
    assert (failure.system, failure.where, failure.whole) == ("bad", "middle", False)
    assert failure.reason.endswith(", and so in 1 more layers")
    rows = {row.name: sorted(row.layers) for row in report.systems}
    assert rows["bad"] == ["first"] and rows["two"] == ["first", "last", "middle"]
    for name in ("middle", "last"):
        assert torch.equal(report.layers[name].power, without.layers[name].power)
    assert report.layers["first"].samples == 16 and report.outputs["y"].samples == 4


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
    assert report.unmeasured == {"spin": "given by none of 3 systems"}
    assert "`spin` was not measured: given by none of 3 systems." in report.findings()


def test_what_nobody_asked_for_and_no_system_has_is_a_note():
    adapter = Sometimes(data("one", "two", "three"))
    adapter.unasked = ["charge", "spin"]
    report = eq.audit(adapter, None, lmax=2, degree=6, progress=False)
    assert report.notes == ["`spin` is given by none of 3 systems"]
    assert not report.unmeasured and "spin" not in report.listed
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


def test_a_model_that_raises_at_a_few_copies_of_a_large_batch_loses_that_system_alone():
    def model(x, z):
        # six copies are what is looked at again, of the first batch that is much larger than those before
        if len(x) == 6 and bool((z == 9).any()):
            raise RuntimeError("six is too few")
        return {"y": value(x)}

    report = eq.audit(model, data("bad", "one", "two"), **ASKED, batch_rows=4 * 400)
    (failure,) = report.failures
    assert (failure.system, failure.reason) == ("bad", "RuntimeError: six is too few")
    assert report.outputs["y"].samples == 2
