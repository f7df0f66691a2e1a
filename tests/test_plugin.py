"""The fixture and the marker that pytest finds once equiscope is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYPROJECT = (ROOT / "pyproject.toml").read_text()

SUITE = """
import pytest, torch

pytestmark = pytest.mark.equivariance(inputs="vector", outputs={"y": "scalar"}, tol=0.5, degree=4)
DATA = [torch.tensor([[0.3, 0.5, 0.7], [0.1, -0.4, 0.2]], dtype=torch.float64)]

def leaky(x):
    return x.square().sum((-1, -2)) + 0.05 * x[..., 0, 0]

def test_of_the_module(assert_equivariant):
    assert_equivariant(leaky, DATA)

@pytest.mark.equivariance(tol=1e-6)
def test_of_the_test(assert_equivariant):
    assert_equivariant(leaky, DATA)

@pytest.mark.equivariance(tol=1e-6)
def test_of_the_call(assert_equivariant):
    assert_equivariant(leaky, DATA, tol=0.4)

@pytest.mark.equivariance(1e-6)
def test_of_nothing(assert_equivariant): ...
"""

LIGHT = """
import sys
def test_nothing(): assert "torch" not in sys.modules
"""


def suite(tmp_path, *texts):
    for i, text in enumerate(texts):
        (tmp_path / f"test_suite{i or ''}.py").write_text(text)
    plugin = ["-p", "no:equiscope", "-p", "equiscope.plugin", "-p", "no:cacheprovider", "--strict-markers"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "pytest", "-q", "-rA", *plugin]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment).stdout


def test_the_marker_nearest_to_the_call_counts_and_the_message_is_shown(tmp_path):
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[-1]
    shown = suite(tmp_path, SUITE, f"from equiscope import demo\n{example}")
    assert "1 failed, 4 passed, 1 error" in shown, shown
    assert "FAILED test_suite.py::test_of_the_test" in shown
    assert "not equivariant to 1e-06:" in shown and "y is scalar only to" in shown
    assert "pytest.mark.equivariance: expected keywords alone, got 1e-06" in shown


def test_a_suite_that_does_not_ask_for_it_pays_nothing(tmp_path):
    assert "1 passed" in suite(tmp_path, LIGHT)


def test_pytest_finds_the_plugin_where_it_is_said_to_be():
    (place,) = re.findall(r'\[project.entry-points.pytest11\]\nequiscope = "(.*)"', PYPROJECT)
    found = import_module(place)
    assert callable(found.pytest_configure) and found.MARKER in found.__doc__
