"""The wheels that are handed out: which are built, how each is tried, and how large one may be."""

import re
import sys
from pathlib import Path

import yaml

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings its twin
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = PROJECT["tool"]["cibuildwheel"]
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "wheels.yml").read_text())["jobs"]


def versions(pattern, words):
    return {match[1].replace(".", "") for match in map(re.compile(pattern).fullmatch, words) if match}


def test_every_python_that_is_promised_has_its_wheel():
    promised = versions(r"Programming Language :: Python :: (3\.\d+)", PROJECT["project"]["classifiers"])
    assert versions(r"cp(\d+)-\*", BUILD["build"].split()) == promised
    assert min(promised, key=int) == PROJECT["project"]["requires-python"].removeprefix(">=").replace(".", "")


def test_linux_on_both_processors_and_macos_have_theirs():
    platforms = {entry["platform"] for entry in JOBS["wheels"]["strategy"]["matrix"]["include"]}
    assert platforms == {"manylinux-x86_64", "manylinux-aarch64", "macos-arm64"}
    # 32 bit and musl are what torch is not built for
    assert {"*-musllinux_*", "*-manylinux_i686"} == set(BUILD["skip"].split())


def test_each_wheel_is_tried_by_tests_of_the_kernels_and_weighed():
    tests = re.findall(r"\{project\}/(\S+)", BUILD["test-command"])
    assert len(tests) >= 3 and all((ROOT / test).is_file() for test in tests)
    # what the tests import is what is installed for them, or what the package brings
    brought = {re.split(r"[>=]", each)[0] for each in PROJECT["project"]["dependencies"]}
    installed = brought | set(BUILD["test-requires"].split())
    for test in (*tests, "tests/conftest.py"):
        imported = re.findall(r"^(?:import|from) (\w+)", (ROOT / test).read_text(), re.MULTILINE)
        foreign = set(imported) - installed - {"equiscope", *sys.stdlib_module_names}
        assert not {name for name in foreign if not (ROOT / "tests" / f"{name}.py").is_file()}, test
    steps = [step.get("run", "") for step in JOBS["wheels"]["steps"]]
    assert any("-size +8000k" in step for step in steps)
    assert set(JOBS["publish"]["needs"]) == {"wheels", "sdist"}
