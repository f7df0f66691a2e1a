"""The command line, as a user meets it."""

import subprocess
import sys
from pathlib import Path

import pytest

import equiscope as eq
from equiscope import cli

DATA = Path(__file__).parent / "data"
MODEL, XYZ = str(DATA / "pet_model_f64.pt"), str(DATA / "pet_structures.xyz")


def run(monkeypatch, *arguments):
    """Exit code of ``equiscope *arguments``."""
    monkeypatch.setattr(sys, "argv", ["equiscope", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0


def test_audit_of_a_metatomic_model_writes_a_report(monkeypatch, capsys, tmp_path):
    out = tmp_path / "report"
    code = run(
        monkeypatch, "audit", MODEL, XYZ, "--outputs", "energy", "--layers", "feature", "--lmax", "2",
        "--degree", "6", "--out", str(out),
    )  # fmt: skip
    assert code == 0
    shown = capsys.readouterr().out
    assert "energy" in shown and "feature" in shown and "index.html" in shown
    assert (out / "index.html").stat().st_size > 10_000
    report = eq.Audit.load(out)
    assert list(report.outputs) == ["energy"]
    assert [row.name for row in report.systems] == ["water", "ethanol", "cell"]
    assert report.settings["degree"] == 6


def test_audit_with_random_rotations(monkeypatch, capsys):
    options = ["--outputs", "energy", "--lmax", "1", "--estimator", "monte-carlo", "--rotations", "32", "--seed", "7"]
    assert run(monkeypatch, "audit", MODEL, XYZ, *options) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "32 random rotations each (seed 7)" in shown and " +- " in shown
    assert run(monkeypatch, "audit", MODEL, XYZ, *options, "--precision", "2") == 2
    assert "precision: expected a number between 0 and 1" in capsys.readouterr().err


FACTORY = """
import torch

class Radial(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, positions, species):
        return {"energy": (positions.square().sum(-1) * species).sum(-1) * self.scale, "force": positions}

def make():
    return Radial()

not_callable = 3
"""


def test_audit_of_a_factory_reads_the_structures_it_wants(monkeypatch, capsys, tmp_path):
    (tmp_path / "my_model.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "report"
    code = run(
        monkeypatch, "audit", "my_model:make", XYZ, "--outputs", "energy=scalar", "--outputs", "force=vector",
        "--lmax", "1", "--degree", "6", "--dtype", "float64", "--out", str(out), "--units", "energy=eV",
    )  # fmt: skip
    assert code == 0, capsys.readouterr().err
    report = eq.Audit.load(out)
    assert report.outputs["energy"].dtype == "float64"
    assert report.outputs["energy"].relative < 1e-13 and report.outputs["energy"].unit == "eV"
    assert report.outputs["force"].relative < 1e-13


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["audit", MODEL, XYZ, "--degree", "high"], "--degree: expected an integer"),
        (["audit", MODEL, XYZ, "--degree", "132"], "degree: expected"),
        (["audit", MODEL, XYZ, "--dtype", "float16"], "--dtype: expected float32 or float64"),
        (["audit", MODEL, XYZ, "--dtype", "float32"], "dtype: expected torch.float64"),
        (["audit", MODEL, XYZ, "--outputs", "dipole"], "outputs: expected"),
        (
            ["audit", MODEL, XYZ, "--lmax", "-1"],
            "lmax: expected a non-negative integer, or None for errors alone, got -1",
        ),
        (["audit", MODEL, XYZ, "--units", "energy"], "--units: expected NAME=VALUE, got 'energy'"),
        (["audit", MODEL, XYZ, "--units", "dipole=D"], "units: expected names of declared outputs"),
        (["audit", MODEL, XYZ, "--outputs", "energy=1x1o"], "basis: expected the order of the components"),
        (["audit", MODEL, "missing.xyz"], "missing.xyz"),
        (["audit", "missing.pt", XYZ], "missing.pt"),
        (["audit", "no.such.module:make", XYZ], "MODEL: expected a file, or package.module:name"),
        (["audit", "json:decoder", XYZ], "model: expected an Adapter, or what one of these serves"),
        (["audit", "torch.nn:Identity", XYZ, "--outputs", "energy"], "--outputs: expected NAME=REPRESENTATION"),
        (["audit", "torch.nn:Identity", XYZ, "--outputs", "y=scalar"], "model: expected parameters among positions"),
    ],
)
def test_bad_arguments_end_with_one_line_and_code_2(monkeypatch, capsys, arguments, message):
    assert run(monkeypatch, *arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and message in shown
    assert "Traceback" not in shown


def test_unwritable_directory_is_refused_before_the_model_is_loaded(monkeypatch, capsys, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("here")
    assert run(monkeypatch, "audit", "missing.pt", XYZ, "--out", str(blocked)) == 2
    assert str(blocked) in capsys.readouterr().err


def test_info_names_versions_instruction_set_threads_and_cuda(monkeypatch, capsys):
    assert run(monkeypatch, "info") == 0
    shown = capsys.readouterr().out
    for word in ("torch", "isa", "threads", "cuda", "compiler"):
        assert word in shown


def test_import_of_the_package_brings_no_optional_dependency():
    code = (
        "import sys, equiscope\n"
        "optional = ('metatomic', 'metatensor', 'ase', 'e3nn', 'vesin', 'pandas', 'xarray')\n"
        "print([m for m in optional if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
