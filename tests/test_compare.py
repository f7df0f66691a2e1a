"""Audits beside each other: a difference is said where there is one, and only there."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
from report_builder import octahedral, output, realistic, rotations_only

import equiscope as eq
from equiscope.errors import ArgumentError, DTypeError
from equiscope.report import Audit, SystemRow
from equiscope.report.comparison.table import to_text
from equiscope.result.paired import FEWEST, Standing, paired, shared_systems, variance_error

SYSTEMS = [
    (f"s{i}", torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(i))) for i in range(8)
]


def measured(variances, errors, *, pooled=True) -> Audit:
    """An audit with these A and half widths of A per system, of random rotations."""
    found = output("y", "scalar", (0, 1), relative=0.02)
    v, e = np.asarray(variances), np.asarray(errors)
    rmse = np.sqrt(np.maximum(v, 0.0))

    def width(v, e):
        low, root, high = (math.sqrt(max(x, 0.0)) for x in (v - e, v, v + e))
        return max(root - low, high - root)

    found.rmse = math.sqrt(max(v.mean(), 0.0))
    found.rmse_error = width(v.mean(), math.hypot(*e) / len(e))
    cells = [{"rmse": float(r), "rmse_error": width(r**2, x), "samples": 1} for r, x in zip(rmse, e, strict=True)]
    systems = [SystemRow(f"s{i}", 3, {"y": cell}, {}) for i, cell in enumerate(cells)]
    return Audit(outputs={"y": found}, layers={}, systems=systems, settings={"sampled": True})


def drawn(rng, truth, sigma) -> Audit:
    return measured(truth + sigma * rng.normal(size=len(truth)), 2 * sigma * np.ones(len(truth)))


def seen(a: Audit, b: Audit) -> bool:
    return eq.compare({"a": a, "b": b}).differences["y"]["b"].standing.is_seen


@pytest.mark.parametrize("systems", [1, 3, 8, 40])
def test_equal_models_seldom_differ_and_four_standard_errors_are_seen(systems):
    rng = np.random.default_rng(systems)
    truth, sigma = rng.uniform(1.0, 3.0, size=systems), 0.1
    error = math.sqrt(2 / systems) * sigma
    runs = 400
    false = sum(seen(drawn(rng, truth, sigma), drawn(rng, truth, sigma)) for _ in range(runs))
    found = sum(seen(drawn(rng, truth, sigma), drawn(rng, truth + 4 * error, sigma)) for _ in range(runs))
    assert false <= 0.08 * runs and found >= 0.9 * runs


def model(scale: float):
    """Breaks invariance by itself alone: A is proportional to the square of `scale`."""
    return lambda x: scale * (x[..., 0] * x[..., 1] ** 2 + x[..., 2]).sum(-1)


def sampled(scale: float, seed: int) -> Audit:
    return eq.audit(
        model(scale), SYSTEMS, inputs="vector", outputs={"y": "scalar"}, lmax=0, estimator="monte-carlo", rotations=64,
        seed=seed, progress=False, batch_rows=6000,
    )  # fmt: skip


def counts(seeds: int) -> tuple[int, int]:
    """Differences seen between equal models, and between models four standard errors apart, of `seeds` each."""
    first, second = ([sampled(1.0, start + seed) for seed in range(seeds)] for start in (0, 1000))
    variances = [audit.outputs["y"].rmse ** 2 for audit in first + second]
    step = float(np.std(variances, ddof=1) / np.mean(variances))
    ratio = 1.0
    for _ in range(50):  # A' - A = 4 sqrt(s^2 + s'^2), both errors in proportion to A
        ratio = 1 + 4 * step * math.sqrt(1 + ratio**2)
    third = [sampled(math.sqrt(ratio), 2000 + seed) for seed in range(seeds)]
    return sum(map(seen, first, second)), sum(map(seen, first, third))


def test_random_rotations_do_not_tell_a_model_from_itself():
    false, found = counts(12)
    assert false <= 3 and found >= 10


@pytest.mark.slow
def test_of_100_seeds_few_tell_a_model_from_itself_and_most_see_four_standard_errors():
    false, found = counts(100)
    print(f"{false} of 100 equal, {found} of 100 apart")
    assert false <= 8 and found >= 90


def test_the_half_width_of_a_variance_is_found_again():
    for v, e in ((4.0, 1.0), (4.0, 3.9), (1.0, 5.0)):
        low, root, high = (math.sqrt(max(x, 0.0)) for x in (v - e, v, v + e))
        assert variance_error(root, max(root - low, high - root)) == pytest.approx(e)
    assert variance_error(2.0, 2.0) == 12.0  # between 4 and 12: the largest


def test_systems_that_agree_and_systems_that_do_not_are_told_apart():
    size, tiny = 12, 1e-3 * np.ones(12)
    a = measured(np.ones(size), tiny)
    everywhere = measured(np.full(size, 1.1), tiny)
    one = measured(np.where(np.arange(size) == 0, 9.0, 1.0 - 0.02 * (np.arange(size) % 2)), tiny)
    assert paired(a, everywhere, "y", [f"s{i}" for i in range(size)]).standing is Standing.REAL
    found = eq.compare({"a": a, "one": one}).differences["y"]["one"]
    assert found.standing is Standing.HERE and found.value > 0 and found.lower == 6
    few = FEWEST - 1
    little = eq.compare({"a": measured(np.ones(few), tiny[:few]), "b": measured(np.full(few, 1.1), tiny[:few])})
    assert little.differences["y"]["b"].standing is Standing.HERE and little.differences["y"]["b"].p is None


def test_the_difference_is_of_the_systems_that_both_have():
    a, b = measured(np.ones(8), np.full(8, 0.01)), measured(np.full(8, 2.0), np.full(8, 0.01))
    b.systems = b.systems[2:]
    b.systems[0].rows = 4  # another system of the same name
    assert shared_systems([a, b], "y") == [f"s{i}" for i in range(3, 8)]
    found = eq.compare({"a": a, "b": b})
    difference = found.differences["y"]["b"]
    assert difference.systems == 5 and difference.value == pytest.approx(math.sqrt(2.0) - 1.0)
    assert difference.error == pytest.approx(0.01 * math.sqrt(2 / 5) / (1 + math.sqrt(2.0)), rel=0.15)
    assert any("the 5 systems that both have, of 8" in note for note in found.notes)


def test_what_is_within_noise_differs_from_nothing():
    a, b = measured(np.full(8, 1e-16), np.zeros(8)), measured(np.full(8, 4e-16), np.zeros(8))
    assert eq.compare({"a": a, "b": b}).differences["y"]["b"].standing is Standing.NOISE


def changed(**attributes) -> Audit:
    other = realistic(systems=8)
    for name, value in attributes.items():
        setattr(other.outputs["dipole"], name, value)
    return other


@pytest.mark.parametrize(
    "other, note",
    [
        (lambda: changed(representation="pseudovector"), "`dipole` is declared as vector in a, pseudovector in b"),
        (lambda: changed(unit="D"), "`dipole` is in e bohr in a, in D in b: no difference is taken"),
        (lambda: changed(), "b states no unit of `dipole`: it is taken to be that of a, e bohr"),
        (lambda: rotations_only(), "the groups differ (a: O3, b: SO3)"),
    ],
)
def test_what_cannot_be_compared_is_said(other, note):
    a = changed(unit="e bohr")
    b = other()
    if "dipole" not in b.outputs:
        b.outputs["dipole"] = copy.deepcopy(b.outputs["broken"])
    found = eq.compare({"a": a, "b": b})
    assert any(note in line for line in found.notes) and note in " ".join(str(found).split())
    assert ("dipole" in found.differences) == ("taken to be" in note)


def test_audits_with_nothing_in_common_are_refused():
    b = octahedral()
    with pytest.raises(ArgumentError, match=r"audits: expected audits that share an output.*a: energy, dipole"):
        eq.compare({"a": realistic(systems=2), "b": b})
    with pytest.raises(ArgumentError, match="audits: expected two audits or more, got 1"):
        eq.compare({"a": b})
    with pytest.raises(DTypeError, match=r"audits: expected a dict from a name to an Audit, got list"):
        eq.compare([b, b])
    with pytest.raises(DTypeError, match=r"audits\['b'\]: expected an Audit, got int"):
        eq.compare({"a": b, "b": 3})


def test_layers_and_lmax_that_only_some_have_are_named():
    a, b = realistic(systems=2, depth=4), realistic(systems=2, depth=6)
    found = eq.compare({"a": a, "b": b})
    assert found.layers == ["embedding", "encoder.layers.0.attention", "encoder.layers.0.feed_forward"] or found.layers
    assert set(found.layers) == set(a.layers) & set(b.layers)
    assert any("layers are not in every audit" in note for note in found.notes)


@pytest.mark.parametrize(
    "names, steps",
    [
        (("step 100", "step 1000"), [100.0, 1000.0]),
        (("1e3.pt", "2e3.pt"), [1000.0, 2000.0]),
        (("a", "b"), None),
        (("v1 step 5", "v1 step 6"), None),
        (("a1", "b1"), None),
    ],
)
def test_names_that_hold_one_number_are_steps(names, steps):
    found = eq.compare({name: realistic(systems=2, depth=2) for name in names})
    assert found.steps == steps


def test_table_markdown_page_and_files_hold_the_same(tmp_path):
    a, b = realistic(systems=8, depth=3), changed(rmse=0.01, rmse_error=1e-4)
    a.outputs["dipole"].rmse_error = 1e-3
    for row in b.systems:
        row.outputs["dipole"]["rmse"] *= 0.01 / 0.0336
    name = "<b> | $x$"
    found = eq.compare({"a": a, name: b})
    text = to_text(found, 200)
    assert "0.0100 +- 1.0e-04" in text or "0.0100 +- 0.0001" in text
    assert "better" in text and "verdict: " not in text
    assert "<b> \\| \\$x\\$" in found.to_markdown() and found.to_markdown().startswith("| output | audit |")
    found.save(tmp_path)
    said = json.loads((tmp_path / "comparison.json").read_text())
    (entry,) = [e for e in said["outputs"] if e["output"] == "dipole" and e["audit"] == name]
    assert entry["difference"]["value"] == pytest.approx(0.01 - a.outputs["dipole"].rmse)
    assert said["verdict"] == "verdict: <b> | $x$: dipole better; against a"
    page = (tmp_path / "index.html").read_text()
    assert "&lt;b&gt; | $x$" in page and "<b>" not in page
    assert page.count("<svg") == 3
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "comparison.json", "errors.png", "index.html", "layers.png", "spectra.png", "table.md",
    ]  # fmt: skip
    with pytest.raises(ArgumentError, match="kind: expected one of errors, layers, spectra, got 'systems'"):
        found.plot("systems")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_window_costs_a_digit(width):
    found = eq.compare({"one": changed(rmse_error=1e-3), "another": changed(rmse_error=1e-3)})
    assert to_text(found, width).count("0.0336 +- 0.001") == 2


def test_the_verdict_names_each_audit_once():
    better, worse = changed(rmse=0.02), changed(rmse=0.05)
    for audit, factor in ((better, 0.02 / 0.0336), (worse, 0.05 / 0.0336)):
        for row in audit.systems:
            row.outputs["dipole"]["rmse"] *= factor
    found = eq.compare({"a": changed(), "b": better, "c": worse})
    assert found.summary()["verdict"] == "verdict: b: dipole better; c: dipole worse; against a"
    assert "Of 6 differences that are none, 0.3 would be seen by chance" in " ".join(str(found).split())
