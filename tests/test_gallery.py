"""The gallery: pages say what is stored, entries are short, and what is by hand is right where the answer is known."""

import importlib.util
import math
import re
from importlib import metadata

import numpy as np
import pytest
import torch
from gallery import byhand, entry, pages, stored
from scipy.spatial.transform import Rotation

import equiscope as eq

LONGEST = 30
PICTURES = 3_000_000
RESULTS = 1_000_000
FENCE = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)]*\)", re.DOTALL)
DECIMAL = re.compile(r"(?<![\w.])\d+(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)(?![\w.]*\w)")
"""Numbers with a point or an exponent: those that are results, and not counts."""

NAMES = entry.names()


def text(name):
    return (pages.DOCS / f"{name}.md").read_text(encoding="utf-8")


def test_every_entry_is_short_and_has_a_result_and_a_page_and_nothing_else_has():
    assert len(NAMES) >= 8
    assert stored.names() == NAMES
    assert sorted(path.stem for path in pages.DOCS.glob("*.md")) == sorted([*NAMES, "index"])
    files = {name: entry.ENTRIES / f"{name}.py" for name in NAMES}
    assert {name: n for name, file in files.items() if (n := len(file.read_text().splitlines())) > LONGEST} == {}


@pytest.mark.parametrize("name", [*NAMES, "index"])
def test_what_a_page_shows_is_what_is_stored(name):
    assert pages.renewed(text(name)) == text(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_command_its_entry_and_a_reading(name):
    page = text(name)
    assert f"```sh\npython -m gallery build {name}\n```" in page
    assert f"../../gallery/entries/{name}.py" in page
    assert page.startswith(f"# {stored.load(name)['title']}\n")
    assert len(page.split("## Reading")[1].split("## Numbers")[0].split()) > 60


@pytest.mark.parametrize("name", [*NAMES, "index"])
def test_every_result_in_prose_stands_in_a_table_or_in_the_entry(name):
    page = text(name)
    found = "".join(place.group() for place in pages.PLACE.finditer(page))
    known = found + ((entry.ENTRIES / f"{name}.py").read_text() if name in NAMES else "")
    known += (entry.HERE / "standard.py").read_text()
    assert [n for n in DECIMAL.findall(FENCE.sub("", pages.PLACE.sub("", page))) if n not in known] == []


def test_pictures_are_all_shown_and_small():
    drawn = {path.name: path.stat().st_size for path in pages.PICTURES.iterdir()}
    assert sum(drawn.values()) < PICTURES
    shown = {picture for name in NAMES for picture in re.findall(r"!\[[^]]+\]\(pictures/([^)]+)\)", text(name))}
    assert shown == set(drawn)
    assert sum(path.stat().st_size for path in stored.RESULTS.glob("*.json")) < RESULTS


def test_the_index_leads_to_every_page():
    (tree,) = re.findall(r"```\{toctree\}\n(.*?)```", text("index"), re.DOTALL)
    assert [line for line in tree.split() if not line.startswith(":")] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_was_found_by_hand_is_what_the_audit_found(name):
    for audit in stored.load(name)["audits"].values():
        for output in audit["outputs"].values():
            noise = stored.NOISE * output["noise"]
            if output["verdict"] == "exact":
                assert output["by_hand"] <= noise
            else:
                error = 2 * math.hypot(output["by_hand_error"], output["rmse_error"]) + noise
                assert output["by_hand"] > noise and abs(output["by_hand"] - output["rmse"]) <= error


def test_matrices_by_hand_are_those_of_the_package_in_both_bases():
    g = Rotation.random(rng=3).as_matrix()
    for basis in ("standard", "e3nn"):
        for l, D in enumerate(eq.wigner_D(torch.from_numpy(g), 4, basis=basis)):
            assert byhand.harmonic_matrix(l, g, basis) == pytest.approx(np.asarray(D), abs=1e-11)


def test_errors_by_hand_are_those_of_functions_whose_answer_is_known():
    def turned(g):
        sign = np.linalg.det(g)
        return {
            "exact": [g @ [[1.0], [2.0], [3.0]]],
            "fixed": [np.array([[1.0, 0.0, 0.0]])],
            "signed": [sign * g @ np.diag([1.0, 2.0, 3.0]) @ g.T],
            "z": [np.array([g[2, 2]])],
        }

    kinds = {"exact": "vector", "fixed": "vector", "signed": "tensor", "z": "scalar"}
    found = byhand.measured(lambda g: {**turned(g), "exact": [turned(g)["exact"][0].T]}, kinds)
    assert found["exact"].rmse < 1e-14 and found["exact"].rotations < 1e-14
    assert found["fixed"].rmse == pytest.approx(3**-0.5, abs=2 * found["fixed"].error + 1e-12)
    assert found["signed"].rmse == pytest.approx((14 / 9) ** 0.5)
    assert found["signed"].rotations < 1e-14
    assert found["z"].rmse == pytest.approx(3**-0.5, abs=2 * found["z"].error)


def test_a_verdict_that_elements_by_hand_do_not_share_is_refused():
    points = [{"x": np.arange(6.0).reshape(2, 3)}]
    audit = eq.audit(
        lambda x: {"size": (x**2).sum()}, points, inputs={"x": "vector"}, outputs={"size": "scalar"}, lmax=1, degree=4,
        batching="loop", progress=False,
    )  # fmt: skip
    right = byhand.measured(lambda g: {"size": [((points[0]["x"] @ g.T) ** 2).sum()]}, {"size": "scalar"})
    wrong = byhand.measured(lambda g: {"size": [(points[0]["x"] @ g.T)[0, 0]]}, {"size": "scalar"})
    assert list(stored.disagreements(audit, right)) == []
    assert "by hand" in next(stored.disagreements(audit, wrong))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_run_is_what_is_stored(name):
    kept = stored.load(name)
    for package in kept["versions"]:
        if not any(dist == package or dist.replace("_", "-") == package for dist in _installed()):
            pytest.skip(f"not installed: pip install {package}")
    if importlib.util.find_spec("ase") is None:
        pytest.skip("not installed: pip install ase")
    assert list(stored.unequal(kept, stored.found(entry.run(name)))) == []


def _installed():
    return {str(distribution.metadata["Name"]) for distribution in metadata.distributions()}
