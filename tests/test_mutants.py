"""The tool that plants faults plants faults."""

import ast
import json
import pathlib
import runpy
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / "scripts" / "mutants.py"


@pytest.fixture(scope="module")
def tool():
    sys.modules.setdefault("mutants", type(sys)("mutants"))  # where its data classes look for their names
    return runpy.run_path(str(TOOL), run_name="mutants")


def test_each_fault_in_python_is_one_change_that_can_run(tool):
    path = ROOT / "python" / "equiscope" / "measure" / "orbit.py"
    before = ast.unparse(ast.parse(path.read_text()))
    makers = list(tool["faults_of"](path))
    assert len(makers) > 100
    made = [make() for make in makers[::12]]
    for fault in made:
        compile(fault.text, "fault", "exec")
        assert fault.text != before and fault.what
        assert fault.code in path.read_text() and not fault.is_equivalent
    assert len({fault.text for fault in made}) > 0.9 * len(made)


def test_every_file_has_tests_that_are_there_and_what_is_equivalent_is_in_it(tool):
    package = ROOT / "python" / "equiscope"
    for folder in tool["TESTS"]:
        for path in (package / folder).rglob("*.py"):
            names = tool["concerning"](path.relative_to(ROOT))
            assert names or path.name == "__init__.py", path
            assert all((ROOT / "tests" / f"test_{name}.py").exists() for name in names), path
    for file, line, what in tool["EQUIVALENT"]:
        assert line in [own.strip() for own in (package / file).read_text().splitlines()] and what, file
    for name in tool["COSTLY"]:
        file, _, test = name.partition("::")
        assert f"def {test}" in (ROOT / "tests" / file).read_text(), name


def test_every_folder_has_faults_to_draw_from(tool):
    for folder in ("measure", "probe", "result"):
        paths = (ROOT / "python" / "equiscope" / folder).rglob("*.py")
        assert sum(len(list(tool["faults_of"](path))) for path in paths) > 100


def test_each_fault_in_cpp_is_found_once_where_it_is_to_be():
    listed = json.loads((ROOT / "scripts" / "mutants_cpp.json").read_text())
    assert len(listed) >= 25 and len({own["name"] for own in listed}) == len(listed)
    for own in listed:
        assert (ROOT / own["file"]).read_text().count(own["find"]) == 1, own["name"]
        assert own["find"] != own["put"]


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("folder", ["measure", "probe", "result"])
def test_nine_faults_of_ten_are_seen(folder):
    command = [sys.executable, str(TOOL), folder, "--sample", "30", "--seed", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
