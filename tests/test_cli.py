"""The command line, as a user meets it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from report_builder import realistic

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


@pytest.mark.usefixtures("blank_pictures")
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


CALCULATORS = """
from ase.calculators.lj import LennardJones

class Scaled(LennardJones):
    made = 0

    def __init__(self, scale=1.0, label="", **others):
        super().__init__(**others)
        type(self).made += 1
        self.scale, self.label = scale, label

    def calculate(self, *arguments):
        super().calculate(*arguments)
        self.results["energy"] = self.scale * len(self.label)

def make(scale=1.0):
    return Scaled(scale, "one")

def licensed():
    raise OSError("no licence\\nhere")

ready = Scaled(2.0, "one")
"""


@pytest.fixture
def calculators(monkeypatch, tmp_path):
    (tmp_path / "my_calculators.py").write_text(CALCULATORS)
    write(tmp_path / "two.xyz", ase.Atoms("Ar2", [(0, 0, 0), (0, 0, 1.1)]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    asked = ["two.xyz", "--outputs", "energy", "--lmax", "1", "--degree", "4"]
    yield lambda *arguments: run(monkeypatch, "audit", *arguments, *asked)
    sys.modules.pop("my_calculators", None)


@pytest.fixture
def reports(monkeypatch):
    """The reports that were to be shown."""
    shown = []
    monkeypatch.setattr(cli, "_show", lambda report, out: shown.append(report))
    return shown


@pytest.mark.parametrize(
    ("arguments", "energy", "made"),
    [
        (["my_calculators:Scaled", "--set", "scale=3", "--set", "label=four"], 12.0, "one"),
        (["my_calculators:make", "--set", "scale=5.0"], 15.0, "one"),
        (["my_calculators:make"], 3.0, "one"),
        (["my_calculators:ready"], 6.0, "one"),
        (["my_calculators:Scaled", "--set", 'label="[1]"', "--fresh"], 3.0, "a new one"),
    ],
)
def test_audit_of_a_calculator_by_its_class_by_what_makes_it_or_as_it_is(calculators, reports, arguments, energy, made):
    assert calculators(*arguments) == 0
    (report,) = reports
    assert report.settings["calculators"].startswith(made)
    assert [row.outputs["energy"]["mean"] for row in report.systems] == pytest.approx([energy])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["my_calculators:make", "--set", "size=3"], "--set: expected the keywords of my_calculators:make(scale=1.0)"),
        (["my_calculators:make", "--set", "scale"], "--set: expected NAME=VALUE"),
        (["my_calculators:ready", "--set", "scale=3"], "--set: expected what makes a model as MODEL"),
        (["my_calculators:ready", "--fresh"], "--fresh: expected what makes a model as MODEL"),
        ([MODEL, "--set", "scale=3"], "--set: expected package.module:name as MODEL"),
        (["my_calculators:ready", "--batching", "loop"], "batching: expected nothing"),
        (["my_calculators:ready", "--inputs", "field=vector"], "inputs: expected names of what the structures carry"),
        (["my_calculators:ready", "--inputs", "field"], "--inputs: expected NAME=VALUE"),
        (
            ["my_calculators:licensed"],
            "MODEL: expected a model from my_calculators:licensed, got OSError: no licence here",
        ),
        (["my_calculators:licensed", "--fresh"], "MODEL: expected a model from my_calculators:licensed, got OSError"),
    ],
)
def test_what_no_calculator_can_be_asked_is_refused(calculators, capsys, arguments, message):
    assert calculators(*arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown and shown.startswith("error: ") and shown.count("\n") == 1


def test_names_beside_declarations_are_what_the_model_says(monkeypatch, reports, tmp_path):
    water = str(tmp_path / "water.xyz")
    write(water, molecule("H2O"))
    for model, force in (("ase.calculators.emt:EMT", "forces"), (MODEL, "non_conservative_force")):
        outputs = ["--outputs", force, "--outputs", "energy=scalar"]
        assert run(monkeypatch, "audit", model, water, *outputs, "--lmax", "1", "--degree", "4") == 0
        kinds = {name: output.representation for name, output in reports[-1].outputs.items()}
        assert kinds == {force: "vector", "energy": "scalar"}
    assert reports[0].outputs["forces"].verdict.value == "exact"


def test_a_missing_ase_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ase", None)
    for name in [name for name in sys.modules if name.startswith("ase.")]:
        monkeypatch.delitem(sys.modules, name)
    assert run(monkeypatch, "audit", "ase.calculators.emt:EMT", XYZ) == 2
    assert "pip install ase" in capsys.readouterr().err


CHARGED = """
import torch

def energy(positions, numbers, pbc, charge, magmoms, forces, field, label, spin=None):
    assert pbc.dtype == torch.bool and pbc.shape[1:] == (3,) and charge.dtype == torch.int64
    assert magmoms.shape == numbers.shape and label == "a" and field.dtype == positions.dtype
    moved = (positions * forces).sum((-1, -2)) * (field * positions[..., 0, :]).sum(-1)
    return {"energy": moved * charge + (magmoms * numbers).sum(-1) + (0 if spin is None else spin)}
"""


def frames(file):
    """Two frames with everything that a file can carry; the second says nothing of its spin."""
    rng = np.random.default_rng(0)
    found = []
    for spin in (1.5, None):
        atoms = ase.Atoms("CO", rng.normal(size=(2, 3)), cell=5 * np.eye(3), pbc=(True, False, True))
        atoms.set_initial_magnetic_moments([1.0, -0.5])
        atoms.arrays["forces"] = rng.normal(size=(2, 3))
        atoms.info |= {"charge": 2, "field": rng.normal(size=3), "label": "a"}
        if spin is not None:
            atoms.info["spin"] = spin
        found.append(atoms)
    write(file, found, columns=["symbols", "positions", "initial_magmoms", "forces"])
    return found


def test_a_plain_function_is_given_by_name_what_a_file_carries(monkeypatch, capsys, reports, tmp_path):
    (tmp_path / "charged.py").write_text(CHARGED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    first, second = frames("frames.xyz")
    asked = ["audit", "charged:energy", "frames.xyz", "--outputs", "energy=scalar", "--lmax", "1", "--degree", "4"]
    assert run(monkeypatch, *asked, "--batching", "loop") == 2
    assert "got undeclared field (3,)" in capsys.readouterr().err
    asked += ["--inputs", "field=vector", "--dtype", "float64"]
    assert run(monkeypatch, *asked, "--batching", "stack") == 0, capsys.readouterr().err
    (report,) = reports
    assert report.settings["inputs"] == {"positions": "vector", "forces": "vector", "field": "vector"}
    assert report.outputs["energy"].relative < 1e-12
    for atoms, spin, row in zip((first, second), (1.5, 0.0), report.systems, strict=True):
        moved = (atoms.positions * atoms.arrays["forces"]).sum() * (atoms.info["field"] @ atoms.positions[0])
        assert row.outputs["energy"]["mean"] == pytest.approx(2 * moved + 6 - 4 + spin, abs=1e-6)


def test_a_model_that_runs_on_no_system_ends_with_one_line_and_code_2(monkeypatch, capsys, tmp_path):
    (tmp_path / "broken.py").write_text("def model(positions): return positions @ positions.new_ones(\n 4)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert run(monkeypatch, "audit", "broken:model", XYZ, "--outputs", "y=vector", "--lmax", "1") == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: MODEL: expected a model that runs on some system, got RuntimeError: ")
    assert "broken.py, line 1); equiscope called the model with positions (" in shown and shown.count("\n") == 1


def test_what_no_structure_has_is_refused_with_what_they_have(monkeypatch, capsys, tmp_path):
    (tmp_path / "wanting.py").write_text("def model(positions, multiplicity): return positions\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    frames("frames.xyz")
    assert run(monkeypatch, "audit", "wanting:model", "frames.xyz", "--outputs", "y=vector") == 2
    shown = capsys.readouterr().err
    assert "'multiplicity'" in shown and "charge, field, label" in shown and "'frames@0'" in shown


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
        (
            ["audit", "missing.pt", XYZ],
            "model: expected the file of an exported metatomic model, got missing.pt, which is",
        ),
        (["audit", XYZ, MODEL], f"no archive of torch; data look like a model ({MODEL}), which comes first"),
        (
            ["audit", XYZ, "ase.calculators.emt:EMT"],
            "data look like a model (ase.calculators.emt:EMT), which comes first",
        ),
        (["audit", "no.such.module:make", XYZ], "MODEL: expected a file, or package.module:name"),
        (
            ["audit", ":", XYZ],
            "MODEL: expected a file, or package.module:name that can be imported, got ':' (ValueError",
        ),
        (["audit", "..x:y", XYZ], "MODEL: expected a file, or package.module:name"),
        (["audit", "torch:relu", XYZ, "--outputs", "energy"], "NAME=REPRESENTATION on the command line"),
        (["audit", MODEL, XYZ, "--max-memory", "nan"], "--max-memory: expected a finite number of gigabytes, got nan"),
        (["audit", MODEL, XYZ, "--max-memory", "inf"], "--max-memory: expected a finite number of gigabytes, got inf"),
        (["audit", MODEL, XYZ, "--degree", "\u00b2"], "--degree: expected an integer"),
        (["audit", MODEL, XYZ, "--outputs", "energy="], "--outputs: expected NAME=VALUE, got 'energy='"),
        (["audit", "json:decoder", XYZ], "model: expected an Adapter, or what one of these serves"),
        (["audit", "torch.nn:Identity", XYZ, "--outputs", "energy"], "NAME=REPRESENTATION on the command line"),
        (
            ["audit", "torch.nn:Identity", XYZ, "--outputs", "energy", "--outputs", "y=scalar"],
            "NAME=REPRESENTATION on the command line), got {'energy': None, 'y': 'scalar'}",
        ),
        (
            ["audit", "torch.nn:Identity", XYZ, "--outputs", "y=scalar"],
            "outputs: expected names that the model returns for system water (positions",
        ),
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


def demo(monkeypatch, *arguments):
    """The demo with an audit that is made up: breaks by 1.1 % and 2.1 %."""
    report = realistic(systems=3, depth=2)
    report.outputs["dipole"].unit = "D"
    monkeypatch.setattr(eq, "audit", lambda *_, **settings: report)
    return run(monkeypatch, "demo", *arguments)


@pytest.mark.parametrize(
    "asked, lmax, degree",
    [([], 6, 16), (["--lmax", "12"], 12, 28), (["--lmax", "2"], 2, 8), (["--lmax", "65"], 65, 131),
     (["--lmax", "9", "--degree", "auto"], 9, "auto"), (["--degree", "20"], 6, 20)],
)  # fmt: skip
def test_the_grid_of_the_demo_follows_lmax(monkeypatch, asked, lmax, degree):
    seen = {}
    monkeypatch.setattr(eq, "audit", lambda *_, **settings: seen.update(settings) or realistic(systems=2, depth=2))
    assert run(monkeypatch, "demo", "--quiet", *asked) == 0
    assert (seen["lmax"], seen["degree"]) == (lmax, degree)


@pytest.mark.parametrize(
    "limits, code, last",
    [
        ([], 0, "verdict: energy breaks by 3.00e-04; dipole breaks by 2.10%; charge exact"),
        (["5%"], 0, "PASS: dipole 2.10% (limit 5%); energy 0.0300% (limit 5%); charge 1.20e-05% (limit 5%, within"),
        (["1%"], 1, "FAIL: dipole 2.10% (limit 1%)"),
        (["1%", "dipole=3%"], 0, "PASS: dipole 2.10% (limit 3%); energy"),
        (["energy=1e-3"], 1, "FAIL: energy 0.0123 (limit 0.001)"),
        (["dipole=1"], 0, "PASS: dipole 0.0336 D (limit 1 D)"),
        (["charge=1e-12"], 0, "PASS: charge 4.80e-08 (limit 1e-12, within noise)"),
    ],
)
def test_a_limit_decides_the_exit_code_and_the_last_line(monkeypatch, capsys, limits, code, last):
    monkeypatch.setattr(eq.demo, "REPRESENTATIONS", dict.fromkeys(("energy", "dipole", "charge"), "scalar"))
    for quiet in ([], ["--quiet"]):
        assert demo(monkeypatch, *(f"--fail-above={limit}" for limit in limits), *quiet) == code
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1].startswith(last)
        assert (len(lines) == 1) == bool(quiet)


@pytest.mark.parametrize("text", ["1e-3", "x%", "=1%", "-1%", "energy=", "energy=nan", "nan%", "inf%"])
def test_limits_that_mean_nothing_are_refused_before_anything_runs(monkeypatch, capsys, text):
    assert demo(monkeypatch, f"--fail-above={text}") == 2
    assert "--fail-above: expected a share such as 1%, or NAME=1e-3" in capsys.readouterr().err
    assert demo(monkeypatch, "--fail-above", "mass=1%") == 2
    assert "--fail-above: expected names of outputs (energy, dipole, quadrupole), got mass" in capsys.readouterr().err


def test_outputs_that_are_meant_to_be_constant_are_named_on_the_command_line(monkeypatch, capsys, tmp_path):
    report = realistic(systems=3, depth=2)
    report.outputs["charge"].depends = False
    monkeypatch.setattr(eq, "audit", lambda *_, **settings: report)
    data = tmp_path / "points.npz"
    np.savez(data, positions=np.zeros((2, 3)))
    ask = ["audit", "collections:Counter", str(data), "--quiet", "--fail-above", "5%"]
    assert run(monkeypatch, *ask) == 1
    assert "charge 1.20e-05% (limit 5%, depends on nothing that is turned" in capsys.readouterr().out
    assert run(monkeypatch, *ask, "--constant", "charge") == 0
    assert run(monkeypatch, *ask, "--constant", "mass") == 2
    assert "--constant: expected names of outputs (" in capsys.readouterr().err
    assert run(monkeypatch, *ask[:-2], "--constant", "charge") == 2
    assert "--constant: expected a limit of --fail-above" in capsys.readouterr().err


def test_the_summary_is_json_and_alone_on_standard_output(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(eq.demo, "REPRESENTATIONS", {"energy": "scalar", "dipole": "vector"})
    assert demo(monkeypatch, "--json", "-", "--fail-above", "1%") == 1
    shown = capsys.readouterr()
    said = json.loads(shown.out)
    assert said["passed"] is False and shown.err.splitlines()[-1] == said["verdict"]
    assert said["outputs"]["dipole"]["relative"] == 0.021 and said["outputs"]["dipole"]["unit"] == "D"
    assert [(limit["output"], limit["passed"]) for limit in said["limits"]] == [
        ("energy", True), ("dipole", False), ("charge", True),
    ]  # fmt: skip
    file = tmp_path / "summary.json"
    assert demo(monkeypatch, "--json", str(file)) == 0
    assert json.loads(file.read_text())["passed"] is None
    assert "verdict: " in capsys.readouterr().out.splitlines()[-1]
    assert demo(monkeypatch, "--json", str(file / "below")) == 2


@pytest.mark.usefixtures("blank_pictures")
def test_saved_audits_are_compared(monkeypatch, capsys, tmp_path):
    for name, factor in (("before", 1.0), ("after", 0.5)):
        report = realistic(systems=8, depth=2)
        for row in report.systems:
            row.outputs["dipole"]["rmse"] *= factor
        report.outputs["dipole"].rmse *= factor
        report.save(tmp_path / name / "audit")
    both = [str(tmp_path / name / "audit") for name in ("before", "after")]
    assert run(monkeypatch, "compare", *both, "-o", str(tmp_path / "out")) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "equiscope comparison of before/audit, after/audit"
    assert shown[-1] == "verdict: after/audit: dipole better; against before/audit"
    assert (tmp_path / "out" / "index.html").is_file()
    assert run(monkeypatch, "compare", f"1={both[0]}", f"2={both[1]}", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["baseline"] == "1"
    assert run(monkeypatch, "compare", f"1={both[0]}", f"1={both[1]}") == 2
    assert "AUDITS: expected different names" in capsys.readouterr().err
    assert run(monkeypatch, "compare", both[0], str(tmp_path)) == 2
    assert run(monkeypatch, "compare", both[0]) == 2


def test_help_and_version_need_neither_torch_nor_rich():
    code = (
        "import sys; sys.argv = ['equiscope', sys.argv[1]]\n"
        "from equiscope import cli\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print({'torch', 'numpy', 'rich', 'matplotlib'} & set(sys.modules))"
    )
    for option, shown in (
        ("--help", "Examples:\n    equiscope demo\n"),
        ("--version", f"equiscope {eq.__version__}\n"),
    ):
        ran = subprocess.run([sys.executable, "-c", code, option], capture_output=True, text=True, check=True)
        assert shown in ran.stdout and ran.stdout.endswith("set()\n")


@pytest.mark.slow
def test_help_takes_less_than_0_15_seconds():
    command = [sys.executable, "-m", "equiscope", "--help"]

    def taken():
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        return time.perf_counter() - start

    assert min(taken() for _ in range(5)) < 0.15


def test_a_reader_that_goes_away_is_no_error():
    code = "import sys; sys.argv = ['equiscope', 'audit', '--help']; from equiscope import cli; cli.main()"
    shell = f'set -o pipefail; {sys.executable} -c "{code}" | true'
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_completion_is_offered(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    assert "--install-completion" in capsys.readouterr().out


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


def test_pictures_are_written_in_the_formats_asked_for(monkeypatch, capsys, tmp_path):
    out, other = tmp_path / "report", tmp_path / "other"
    options = ["--outputs", "energy", "--lmax", "1", "--degree", "4", "--out", str(out)]
    assert run(monkeypatch, "audit", MODEL, XYZ, *options, "--figures", "pdf, svg") == 0
    found = {path.name for path in out.iterdir()}
    assert {"systems.pdf", "systems.svg", "systems.csv", "outputs.csv", "layers.csv"} <= found
    assert not list(out.glob("*.png"))
    capsys.readouterr()
    assert run(monkeypatch, "audit", MODEL, XYZ, "--out", str(other), "--figures", "eps") == 2
    assert "--figures: expected some of png, pdf, svg, with commas between them" in capsys.readouterr().err
    assert not other.exists()


def test_what_to_cite_is_known_without_torch():
    code = (
        "import sys\nfrom equiscope.cli import app\n"
        "app(['cite'], standalone_mode=False)\nassert 'torch' not in sys.modules"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "@software{equiscope," in said and "2603.24638" in said
