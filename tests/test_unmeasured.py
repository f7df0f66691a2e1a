"""An output that was asked for and has no number is seen to have none, in every view, and passes no check."""

import csv
import dataclasses
import io
import json
import math
import re
import sys

import pytest
import torch

import equiscope as eq
from equiscope import cli
from equiscope.errors import ArgumentError
from equiscope.report.table import to_text
from equiscope.result.files import NUMBERS, checksum
from equiscope.result.limits import check, parse_limit
from equiscope.testing import assert_equivariant
from equiscope.training import History, SymmetryTracker

KINDS = {"energy": "scalar", "forces": "vector", "stress": "tensor"}
ASKED = {"inputs": {"x": "vector"}, "outputs": KINDS, "lmax": 1, "degree": 4, "progress": False}
REASON = "not finite on 2 of 2 systems; 'left': NaN or infinity on the unrotated input"


def data(count=2):
    points = torch.randn(count, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return [(("left", "right", *map(str, range(count)))[i], {"x": x}) for i, x in enumerate(points)]


class Model(torch.nn.Module):
    """Equivariant but for what its `forces` and other outputs are divided by."""

    def __init__(self, value=math.nan, at="forces"):
        super().__init__()
        self.layer = torch.nn.Identity()
        self.value, self.at = value, at

    def forward(self, x):
        x = self.layer(x)
        found = {"energy": x.square().sum((-1, -2)), "forces": x, "stress": (x[..., None] * x[..., None, :]).sum(-3)}
        return {**found, self.at: torch.full_like(found[self.at], self.value)}


def table(text):
    return {row["name"]: row for row in csv.DictReader(io.StringIO(text))}


def cells(page, caption):
    """Rows of a table of a page, as texts."""
    body = page.split(f"<caption>{caption}</caption>")[1].split("</table>")[0]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    return [[re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", row, re.DOTALL)] for row in rows]


@pytest.fixture(scope="module", params=[None, "*"], ids=["no layers", "layers"])
def report(request):
    return eq.audit(Model(), data(), **ASKED, layers=request.param)


@pytest.fixture(scope="module")
def without():
    kinds = {name: kind for name, kind in KINDS.items() if name != "forces"}
    return eq.audit(Model(), data(), **{**ASKED, "outputs": kinds})


def test_the_others_are_as_without_it_and_its_key_says_why(report, without):
    assert report.unmeasured == {"forces": REASON}
    assert list(report.outputs) == ["energy", "stress"] and list(report.listed) == list(KINDS)
    for name in report.outputs:
        assert report.outputs[name].rmse == without.outputs[name].rmse
        assert report.listed[name] is report.outputs[name]
    with pytest.raises(KeyError, match=f"'forces' was not measured: {re.escape(REASON)}"):
        report.outputs["forces"]
    listed = report.listed["forces"]
    assert (listed.verdict, listed.representation) == (eq.Verdict.UNMEASURED, "vector")
    assert math.isnan(listed.rmse) and math.isnan(float(listed.fractions.sum()))
    assert not without.unmeasured and without.listed is without.outputs


def test_what_prints_has_a_row_for_it_and_a_sentence(report):
    assert "forces not measured" in repr(report)
    for width in (80, 140):
        row = next(line for line in to_text(report, width).splitlines() if line.startswith("forces"))
        assert "not measured" in row and not re.search(r"\d\.\d|nan", row)
    assert report.findings()[0] == f"`forces` was not measured: {REASON}."
    assert REASON in " ".join(str(report).split())
    assert not any("measured on the other systems" in said for said in report.findings())
    assert "not measured" in report._repr_html_()
    for text in (report.to_latex(), report.to_markdown()):
        (row,) = [line for line in text.splitlines() if "forces" in line]
        assert "not measured" in row


def test_the_page_has_a_row_for_it(report):
    page = report.to_html()
    rows = {row[0]: row for row in cells(page, "Equivariance errors of the outputs")}
    assert list(rows)[1:] == list(KINDS)
    assert rows["forces"][:3] == ["forces", "vector", "not measured"] and "exact" in rows["energy"][2]
    assert set(rows["forces"][4:]) == {"-"}
    assert "What is not finite on any system has no number." in page and "unmeasured" in page


def test_exports_have_a_row_for_it(report):
    row = table(report.to_csv("outputs"))["forces"]
    assert (row["kind"], row["verdict"], row["rmse"], row["samples"]) == ("output", "not measured", "nan", "0")
    own = report.summary()
    assert own["unmeasured"] == report.unmeasured and own["outputs"]["forces"]["rmse"] is None
    assert own["outputs"]["forces"]["verdict"] == "not measured" and own["passed"] is None
    assert own["verdict"] == f"verdict: energy exact; stress exact; forces not measured ({REASON})"
    json.dumps(own, allow_nan=False)
    with pytest.raises(ArgumentError, match=r"names: .*'forces' \(not measured: not finite"):
        report.plot("spectra", names=["forces"])


def test_frames_have_a_row_for_it(report):
    pytest.importorskip("pandas")
    xarray = pytest.importorskip("xarray")
    assert report.to_pandas("outputs").set_index("name").loc["forces", "verdict"] == "not measured"
    found = report.to_xarray().sel(layer="forces")
    assert isinstance(found, xarray.Dataset) and (found.kind, found.verdict) == ("output", "not measured")
    assert all(bool(found[key].isnull().all()) for key in ("power", "share", "rmse", "total"))


@pytest.mark.usefixtures("blank_pictures")
def test_saved_audits_keep_it_and_those_of_before_are_read(report, tmp_path):
    kept = eq.Audit.load(report.save(tmp_path))
    assert kept.unmeasured == report.unmeasured and str(kept) == str(report)
    assert kept.summary() == report.summary() and kept.to_html() == report.to_html()
    body = json.loads((tmp_path / NUMBERS).read_text())
    del body["unmeasured"]
    (tmp_path / NUMBERS).write_text(json.dumps({**body, "sha256": checksum(body)}))
    before = eq.Audit.load(tmp_path)
    assert not before.unmeasured and list(before.outputs) == ["energy", "stress"]


@pytest.mark.parametrize("text", ["50%", "forces=1%", "forces=3", "energy=1%"])
def test_no_limit_is_kept_by_it(report, text):
    from equiscope.report.summary import passes, verdict_line

    checks = check(report, [parse_limit(text)])
    line = verdict_line(report, checks)
    assert not passes(report, checks) and line.startswith("FAIL: forces") and line.count("forces") == 1
    assert "not measured" in line and REASON in line


def test_the_assertion_fails_once_and_says_why():
    with pytest.raises(AssertionError) as caught:
        assert_equivariant(Model(), data(), inputs={"x": "vector"}, outputs=KINDS)
    assert str(caught.value) == f"not equivariant to 0.0001:\n  forces was not measured: {REASON}"
    assert_equivariant(Model(1.0, "energy"), data(), inputs={"x": "vector"}, outputs=KINDS, constant="energy")


@pytest.mark.usefixtures("blank_pictures")
def test_the_command_fails_and_its_table_has_the_row(monkeypatch, capsys, tmp_path):
    (tmp_path / "nan_model.py").write_text(
        "def model(positions):\n"
        "    return {'energy': positions.square().sum((-1, -2)), 'forces': positions * float('inf')}\n"
    )
    (tmp_path / "two.xyz").write_text("2\n\nH 0 0 0.3\nO 0 0.4 1\n2\n\nH 0 0 0.5\nO 0.1 0.4 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    arguments = ["audit", "nan_model:model", "two.xyz", "--outputs", "energy=scalar", "--outputs", "forces=vector"]
    arguments += ["--lmax", "1", "--degree", "4", "--fail-above", "1%", "--json", "summary.json"]
    monkeypatch.setattr(sys, "argv", ["equiscope", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr().out
    assert ended.value.code == 1
    assert re.search(r"^forces +vector +not measured", shown, re.MULTILINE)
    assert shown.splitlines()[-1].startswith("FAIL: forces was not measured: not finite on 2 of 2 systems")
    assert json.loads((tmp_path / "summary.json").read_text())["passed"] is False


STOPS = []


class Stopped(Model):
    def forward(self, x):
        if STOPS and bool((x.square().sum((-1, -2)) > STOPS[0]).any()):
            raise KeyboardInterrupt
        return super().forward(x)


@pytest.mark.usefixtures("blank_pictures")
def test_an_audit_that_was_interrupted_knows_it_and_so_does_one_that_goes_on(monkeypatch, tmp_path):
    small = [(name, {"x": (1.0 + i) * item["x"] / item["x"].norm()}) for i, (name, item) in enumerate(data())]
    asked = {**ASKED, "out": tmp_path / "run", "batch_rows": 16}
    monkeypatch.setitem(globals(), "STOPS", [2.0])
    with pytest.raises(KeyboardInterrupt):
        eq.audit(Stopped(), small, **asked)
    part = eq.Audit.load(tmp_path / "run")
    assert part.unmeasured == {"forces": REASON.replace("2 of 2 systems", "1 of 1 system")}
    assert re.search("^forces +vector +not measured", str(part), re.MULTILINE)
    monkeypatch.setitem(globals(), "STOPS", [])
    assert eq.audit(Stopped(), small, **asked, resume=True).unmeasured == {"forces": REASON}


def test_a_comparison_has_a_row_for_it_and_no_difference(report, without, monkeypatch):
    good = eq.audit(Model(1.0, "energy"), data(), **ASKED)
    found = eq.compare({"good": good, "bad": report})
    assert f"`forces` was not measured in bad: {REASON}" in found.notes
    assert not any("is an output of" in note for note in found.notes)
    assert "forces" not in found.differences
    for width, verdict in (("60", ""), ("140", "not measured")):
        monkeypatch.setenv("COLUMNS", width)
        (row,) = [line for line in str(found).splitlines() if line.startswith("forces") and "bad" in line]
        assert verdict in row and "nan" not in row
    own = [entry for entry in found.summary()["outputs"] if entry["output"] == "forces"]
    assert [(entry["audit"], entry["verdict"]) for entry in own] == [("good", "exact"), ("bad", "not measured")]
    assert own[1]["rmse"] is None and "not measured" in found.to_html() and "not measured" in found.to_markdown()
    both = eq.compare({"one": report, "other": report})
    assert "forces" in both.listed and "forces" not in both.outputs and str(both).count("\nforces") == 2
    assert "`forces` is an output of `one` alone" in eq.compare({"one": report, "other": without}).notes


@pytest.mark.usefixtures("blank_pictures")
def test_a_history_has_it_at_every_point(tmp_path):
    model, sent = Model(1.0), []
    tracker = SymmetryTracker(data(), out=tmp_path, every=1, loggers=[sent.append], budget=None, **{
        key: value for key, value in ASKED.items() if key != "progress"
    })  # fmt: skip
    tracker.step(model, 0)
    model.value = math.nan
    tracker.step(model, 1)
    history = tracker.history
    for told in (history, History.load(tmp_path)):
        assert told.outputs == list(KINDS) and len(told.curves("forces")) == 1
        assert "not measured" not in str(told).splitlines()[1] and "not measured" in str(told).splitlines()[2]
        assert f"`forces` was not measured at step 1: {REASON}." in told.findings()
        rows = list(csv.DictReader(io.StringIO(told.to_csv())))
        assert [row["verdict"] for row in rows if row["name"] == "forces"][1] == "not measured"
        assert "not measured" in told.to_html()
    assert not math.isnan(sent[0]["symmetry/forces/rmse"]) and math.isnan(sent[1]["symmetry/forces/rmse"])
    never = History(points=[dataclasses.replace(history.points[1], step=3)])
    assert never.outputs == ["energy", "stress"] and never.listed == list(KINDS)
    assert "not measured" in str(never) and "not measured" in never.to_html()


def test_a_diagnosis_says_it_and_diagnoses_the_others():
    systems = data(12)
    labels = {"energy": [item["x"].square().sum() for _, item in systems], "forces": [x["x"] for _, x in systems]}
    asked = {key: value for key, value in ASKED.items() if key != "degree"}
    found = eq.diagnose(Model(), systems, **asked, targets=labels)
    assert {sector.output for sector in found.sectors} == {"energy"}
    assert found.findings()[0].startswith("`forces` was not measured, and no sector of it is told of: not finite on 12")
    alone = eq.diagnose(
        Model(), systems, **{**asked, "outputs": {"energy": "scalar"}}, targets={"energy": labels["energy"]}
    )
    (one,), (other,) = found.sectors, alone.sectors
    assert (one.fate, one.explained) == (other.fate, other.explained) and "was not measured" in str(found)
