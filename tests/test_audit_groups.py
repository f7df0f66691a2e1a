"""An audit asks about any group, with any estimator and any quantity: those of strangers in this file alone."""

from dataclasses import dataclass

import pytest
import torch
from octahedral import Octahedral, elements

import equiscope as eq
from equiscope import demo
from equiscope.groups import O3, Group
from equiscope.measure import QUANTITIES, Judgement, Measure, Quantity, StoredMoments, quantity
from equiscope.measure.estimators.grid import GridMeasure
from equiscope.report import Picture, register
from equiscope.report.style import finish
from equiscope.report.view import PICTURES

DOUBLE = torch.float64
DATA = [{"x": torch.randn(3, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(s))} for s in range(3)]
QUIET = {"progress": False, "batch_rows": 512}


def chiral(x):
    """Equivariant under rotations alone: a cross product is no vector under inversion."""
    return {"v": x[..., 0, :] + 0.5 * torch.linalg.cross(x[..., 1, :], x[..., 2, :])}


def cubic(x):
    """Equivariant under the symmetries of a cube alone."""
    return {"v": x[..., 0, :] ** 3, "s": (x[..., 0, :] ** 4).sum(-1)}


def demo_audit(**settings):
    molecules = list(zip(demo.names(), demo.load_molecules(), strict=True))[:2]
    declared = {"inputs": demo.INPUTS, "outputs": demo.REPRESENTATIONS, "layers": "encoder.*", "lmax": 3}
    return eq.audit(demo.load_model(), molecules, **{**declared, **QUIET, **settings})


def test_what_breaks_inversion_alone_is_exact_under_rotations():
    ask = {"inputs": {"x": "vector"}, "outputs": {"v": "vector"}, "lmax": 2, **QUIET}
    full, proper = eq.audit(chiral, DATA, **ask), eq.audit(chiral, DATA, group="SO3", **ask)
    assert full.outputs["v"].relative > 0.05 and proper.outputs["v"].rmse < 1e-14
    crossed = torch.stack([torch.linalg.cross(d["x"][1], d["x"][2]).square().sum() / 4 for d in DATA]).mean()
    assert float(full.outputs["v"].power[1, 1]) == pytest.approx(float(crossed), rel=1e-12)
    assert proper.outputs["v"].power.shape == (3,) and list(proper.outputs["v"].parts) == [1]
    assert float(proper.outputs["v"].power[1]) == pytest.approx(proper.outputs["v"].pooled_total, rel=1e-12)


@pytest.mark.usefixtures("blank_pictures")
def test_a_report_on_rotations_says_nothing_of_sigma(tmp_path):
    report = demo_audit(group="SO3", degree=8)
    for text in (str(report), report.to_html(), " ".join(report.findings())):
        for word in ("pseudo", "sigma", "σ"):
            assert word not in text.split("What the numbers mean")[0]
    assert "sigma" not in report.to_pandas().columns and "sigma" not in report.to_xarray().dims
    again = eq.Audit.load(report.save(tmp_path))
    assert torch.equal(again.outputs["dipole"].power, report.outputs["dipole"].power)
    assert again.outputs["dipole"].chart == report.outputs["dipole"].chart and again.settings["group"] == "SO3"


def test_rotations_alone_break_less_and_hold_the_power_of_both_parities():
    full, proper = (demo_audit(group=group, degree=8, layers=None) for group in ("O3", "SO3"))
    assert proper.timings["evaluations"] < 0.6 * full.timings["evaluations"]
    for name, output in proper.outputs.items():
        assert output.samples == full.outputs[name].samples
        # the rotations of one coset: an average over half of what O(3) averages over
        assert output.rmse == pytest.approx(full.outputs[name].rmse, rel=0.05)
        torch.testing.assert_close(output.pooled_power, full.outputs[name].pooled_power.sum(1), rtol=0.2, atol=1e-3)


def test_random_rotations_agree_with_the_grid_of_rotations():
    ask = {"inputs": {"x": "vector"}, "outputs": {"v": "vector"}, "lmax": 2, "group": "SO3", **QUIET}
    exact = eq.audit(cubic, DATA, degree=8, **ask).outputs["v"]
    drawn = eq.audit(cubic, DATA, estimator="monte-carlo", rotations=512, **ask).outputs["v"]
    assert abs(drawn.rmse - exact.rmse) < 2 * drawn.rmse_error < 0.2 * exact.rmse
    assert bool(((drawn.power - exact.power).abs() < 1.25 * drawn.power_error + 0.05 * exact.power).all())


@pytest.mark.usefixtures("blank_pictures")
def test_a_group_of_a_stranger_audits_the_demo_model(tmp_path):
    report = demo_audit(group=Octahedral())
    assert report.timings["evaluations"] - report.timings["checks"] == 2 * 48 and len(report.convergence) == 1
    for output in report.outputs.values():
        # a finite group resolves everything
        assert output.pooled_unresolved == pytest.approx(0.0, abs=1e-9 * output.pooled_total)
        assert output.power.shape == (10,) and not output.errors_assumed
        assert float(output.power_error.max()) < 1e-12 * output.pooled_total
    assert list(report.outputs["dipole"].parts) == ["T1u"]
    assert set(report.outputs["quadrupole"].parts) == {"A1g", "Eg", "T1g", "T2g"}
    for text in (str(report), report.to_html()):
        assert "A1g" in text and "T2u" in text
    assert eq.Audit.load(report.save(tmp_path)).layers.keys() == report.layers.keys()


def test_what_is_equivariant_under_a_finite_group_alone_is_exact_there():
    ask = {"inputs": {"x": "vector"}, "outputs": {"v": "vector", "s": "scalar"}, "lmax": 2, **QUIET}
    found = eq.audit(cubic, DATA, group=Octahedral(), **ask)
    assert max(output.rmse for output in found.outputs.values()) < 1e-14
    assert min(output.relative for output in eq.audit(cubic, DATA, degree=10, **ask).outputs.values()) > 0.05
    drawn = eq.audit(
        chiral, DATA, group=Octahedral(), estimator="monte-carlo", rotations=96, **{**ask, "outputs": {"v": "vector"}}
    )
    exact = eq.audit(chiral, DATA, group=Octahedral(), **{**ask, "outputs": {"v": "vector"}})
    assert abs(drawn.outputs["v"].rmse - exact.outputs["v"].rmse) < 2.5 * drawn.outputs["v"].rmse_error


@dataclass(frozen=True)
class Quarters(Measure):
    """An estimator of a stranger: the elements of the cube's group with equal weights, held and reduced at the end."""

    of: Group

    name = "quarters"

    @property
    def group(self):
        return self.of

    def __len__(self):
        return 48

    def elements(self, system):
        return self.of.grid(0)

    def moments(self, system, lmax, first, representation):
        return StoredMoments(self.elements(system), lmax, first, representation)

    def nbytes(self, lmax, first):
        return StoredMoments.nbytes(self.of.grid(0), first)

    def uncertainty(self, chart, power, unresolved, errors):
        return torch.zeros(len(chart.headings), dtype=DOUBLE)


def test_an_estimator_of_a_stranger_is_the_grid_of_the_same_elements():
    ask = {"inputs": {"x": "vector"}, "outputs": {"v": "vector"}, "lmax": 2, **QUIET}
    own, grid = (
        eq.audit(chiral, DATA, **ask, **by) for by in ({"estimator": Quarters(Octahedral())}, {"group": Octahedral()})
    )
    assert own.settings["estimator"] == "quarters" and own.settings["rotations"] == 48
    assert own.outputs["v"].rmse == pytest.approx(grid.outputs["v"].rmse, rel=1e-12)
    assert "quarters" in own.to_html()
    assert torch.equal(own.outputs["v"].worst.rotation.abs().sum(0), torch.ones(3, dtype=DOUBLE))
    assert len(elements()) == 48


class Twice(GridMeasure):
    """An estimator of a stranger: two degrees on the first system, of which the lower one does."""

    name = "twice"
    pilot = 1
    refines = False

    def judge(self, found, previous):
        if previous is None:
            return Judgement({"change": None}, Twice(O3().grid(8), 1e-2, asked=8))
        change = abs(found[0]["v"].rmse - previous[0]["v"].rmse)
        return Judgement({"change": change}, previous_suffices=True, note="two degrees were tried")


def test_a_judgement_of_a_stranger_decides_what_all_systems_run_at():
    ask = {"inputs": {"x": "vector"}, "outputs": {"v": "vector"}, "lmax": 2, **QUIET}
    data = [(f"{i}", {"x": torch.randn(1, 3, dtype=DOUBLE)}) for i in range(3)]

    def model(x):
        return {"v": torch.exp(x[..., :1]) * x}

    found, one = (
        eq.audit(model, part, **ask, estimator=Twice(O3().grid(4), 1e-2, asked=4)) for part in (data, data[:1])
    )
    # the better numbers are kept where the first systems are all there is
    assert (found.settings["degree"], one.settings["degree"]) == (4, 8)
    for report, degree, part in ((found, 4, data), (one, 8, data[:1])):
        assert report.warnings == ["two degrees were tried"] and len(report.systems) == len(part)
        assert [entry["degree"] for entry in report.convergence] == [4, 8]
        assert report.convergence[1]["change"] > 0 and report.outputs["v"].degree == degree
        expected = eq.audit(model, part, degree=degree, **ask)
        assert report.outputs["v"].rmse == pytest.approx(expected.outputs["v"].rmse, rel=1e-12)
        assert expected.warnings == []
        assert all(entry["rotations"] == len(O3().grid(entry["degree"])) for entry in report.convergence)
    (entry,) = (entry for entry in one.convergence if entry["degree"] == 8)
    assert entry["variance"]["v"] == pytest.approx(one.outputs["v"].rmse ** 2)
    assert entry["power"]["v"] == one.outputs["v"].power.tolist()


@pytest.mark.usefixtures("blank_pictures")
def test_a_quantity_of_a_stranger_is_pooled_and_saved(tmp_path):
    class Largest(Quantity):
        """Mean over samples of the largest power of any irrep."""

        name = "largest"

        def __init__(self):
            self.shapes = {"sum": (), "count": ()}

        @classmethod
        def of(cls, group, lmax, representation):
            return cls()

        def terms(self, orbit):
            power = orbit.total_power.flatten(0, -3).amax(0).mean(1)
            return {"sum": power.sum(), "count": torch.tensor(float(orbit.samples))}

        def result(self, sums):
            return {"mean": sums["sum"] / sums["count"]}

    quantity.register(Largest)
    try:
        report = eq.audit(cubic, DATA, inputs={"x": "vector"}, outputs={"s": "scalar"}, lmax=1, degree=6, **QUIET)
        found = report.outputs["s"].quantities["largest"]["mean"]
        assert float(found) == pytest.approx(float(report.outputs["s"].power.max()), rel=1e-12)
        assert torch.equal(eq.Audit.load(report.save(tmp_path)).outputs["s"].quantities["largest"]["mean"], found)
    finally:
        del QUANTITIES["largest"]


def test_a_picture_of_a_stranger_is_drawn_saved_and_on_the_page(tmp_path):
    @register
    class Sizes(Picture):
        name, order = "sizes", 9

        def caption(self, audit):
            return "How large each output is."

        def lacks(self, audit):
            return None if audit.outputs else ("an output", "none")

        def draw(self, audit, sheet, names=None):
            axes = sheet.axes(width=3, height=2)
            axes.bar(range(len(audit.outputs)), [output.pooled_total for output in audit.outputs.values()])
            finish(axes, xlabel="output")

    try:
        report = eq.audit(cubic, DATA, inputs={"x": "vector"}, outputs={"s": "scalar"}, lmax=1, degree=6, **QUIET)
        directory = report.save(tmp_path)
        assert (directory / "sizes.png").stat().st_size > 1000 and "How large each output is." in report.to_html()
        assert len(report.plot("sizes").axes) == 1
    finally:
        del PICTURES["sizes"]


@pytest.mark.parametrize("group", ["U1", 3, None])
def test_unknown_groups_are_refused_before_anything_is_computed(group):
    with pytest.raises(eq.errors.ArgumentError, match='group: expected "O3" or "SO3"'):
        eq.audit(chiral, DATA, inputs={"x": "vector"}, outputs={"v": "vector"}, group=group)


@pytest.mark.usefixtures("blank_pictures")
def test_audit_writes_where_out_says(tmp_path):
    report = eq.audit(
        chiral, DATA, inputs={"x": "vector"}, outputs={"v": "vector"}, lmax=1, out=tmp_path / "here", **QUIET
    )
    assert eq.Audit.load(tmp_path / "here").outputs["v"].rmse == report.outputs["v"].rmse


@pytest.mark.usefixtures("blank_pictures")
def test_rotations_alone_without_layers_are_reported(tmp_path):
    ask = {"inputs": {"x": "vector"}, "outputs": {"v": "vector"}, "lmax": 1, "degree": 6, "group": "SO3", **QUIET}
    report = eq.audit(cubic, DATA, out=tmp_path, **ask)
    assert "SO3" in str(report) and eq.Audit.load(tmp_path).findings() == report.findings()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"degree": 8}, "degree: expected None beside an estimator that is a Quarters"),
        ({"rotations": 64}, "rotations: expected None beside"),
        ({"group": "SO3"}, "group: expected that of the estimator, Oh, got SO3"),
        ({"out": 3}, "out: expected the path of a directory, got 3"),
        ({"tolerance": "a"}, "tolerance: expected a number between 0 and 1"),
    ],
)
def test_what_an_estimator_of_a_stranger_decides_itself_is_not_asked_for(settings, message):
    ask = {"inputs": {"x": "vector"}, "outputs": {"v": "vector"}, "lmax": 1, **QUIET}
    with pytest.raises(eq.errors.ArgumentError, match=message):
        eq.audit(cubic, DATA, estimator=Quarters(Octahedral()), **{**ask, **settings})
