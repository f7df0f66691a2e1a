"""Stated errors hold the truth in 95 of 100 cases, and are no more than a digit too large."""

import math
import statistics

import pytest
import torch
from analytic_cases import cases

import equiscope as eq
from equiscope.groups.o3 import O3
from equiscope.measure import uncertainty
from equiscope.measure.uncertainty import _response
from equiscope.result.floor import content, unresolved_floor

COVERED, FACTOR = 0.95, 10.0
QUIET = {"progress": False}


def measured(chosen):
    """Per number, (true error, stated error), where the true one is above round-off."""
    found = {"rmse": [], "power": [], "unresolved": []}
    for case in chosen:
        output, truth = case.audit(), case.truth
        size = truth.pooled_total
        found["rmse"].append((abs(output.rmse - truth.rmse), output.rmse_error, 1e-12 * math.sqrt(size)))
        off = (output.pooled_power - truth.pooled_power).abs().flatten().tolist()
        found["power"] += [
            (e, s, 1e-13 * size) for e, s in zip(off, output.power_error.flatten().tolist(), strict=True)
        ]
        lost = abs(output.pooled_unresolved - truth.pooled_unresolved)
        found["unresolved"].append((lost, output.unresolved_error, 1e-12 * size))
        assert output.errors_assumed
    return {name: [(e, s) for e, s, floor in pairs if e > floor] for name, pairs in found.items()}


def assert_true(found, least):
    for name, pairs in found.items():
        covered = sum(error <= stated for error, stated in pairs)
        assert len(pairs) >= least and covered >= COVERED * len(pairs), (name, covered, len(pairs))
        assert statistics.median(stated / error for error, stated in pairs) <= FACTOR, name


def test_stated_errors_hold_the_truth():
    assert_true(measured([case for case in cases()[::2] if case.highest <= 18]), 60)


@pytest.mark.slow
def test_stated_errors_hold_the_truth_in_the_whole_list():
    assert_true(measured([case for case in cases() if 2 * case.highest <= 80]), 100)


def test_an_input_that_lies_as_the_grid_does_is_no_blind_spot():
    def model(x):
        return 1.0 + x[..., 0] * x[..., 1] * x[..., 2] * (x[..., 0] ** 2 - x[..., 1] ** 2)

    ask = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, **QUIET}
    data = [{"x": torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)}]
    truth = eq.audit(model, data, degree=12, lmax=5, **ask).outputs["u"].rmse
    assert truth == pytest.approx(0.034, rel=0.02)
    for lmax, degree in ((0, 6), (2, 6), (4, 8)):
        assert eq.audit(model, data, lmax=lmax, degree=degree, shift=None, **ask).outputs["u"].rmse < 1e-12
        found = eq.audit(model, data, lmax=lmax, degree=degree, **ask).outputs["u"]
        assert abs(found.rmse - truth) <= found.rmse_error < 2 * truth and found.rmse > 0.3 * truth
    found = eq.audit(model, data, lmax=2, degree="auto", **ask).outputs["u"]
    assert found.rmse == pytest.approx(truth, rel=1e-2) and not found.errors_assumed


@pytest.mark.parametrize("degree", [6, 11, 16])
def test_response_of_a_grid_is_the_norm_of_its_mean_matrix(degree):
    grid, d = eq.quadrature(degree, group="SO3"), degree + 4
    found = _response(grid)
    D = eq.wigner_D(grid.rotations, d)
    for l in range(1, d + 1):
        mean = torch.einsum("g,gij->ij", grid.weights, D[l])
        expected = float(mean.square().sum() / ((2 * l + 1) * grid.weights.square().sum()))
        assert float(found[l]) == pytest.approx(expected, abs=1e-9)


def test_response_of_a_large_grid_is_that_of_noise_above_its_degree(monkeypatch):
    grid = eq.quadrature(6, group="SO3")
    monkeypatch.setattr(uncertainty, "MOST_RINGS", grid.rings.shape[0] - 1)
    assert _response.__wrapped__(grid).tolist() == [0.0] * 7 + [1.0] * 7


def mlp(x):
    generator = torch.Generator().manual_seed(3)
    w, v = (torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in ((3, 16), (16, 16)))
    return {"embed": x @ w, "hidden": torch.tanh(torch.tanh(x @ w) @ v)}


def test_a_function_of_one_vector_has_no_pseudo_content_at_any_degree():
    ask = {"inputs": {"x": "vector"}, "outputs": {"embed": "invariant", "hidden": "invariant"}, "lmax": 4, **QUIET}
    data = [{"x": torch.tensor(row, dtype=torch.float64)} for row in ([0.3, -0.5, 0.7], [0.0, 0.0, 1.1])]
    for degree in (8, 11, 16, 23):
        found = eq.audit(mlp, data, degree=degree, **ask).outputs
        # its exact value is 0
        assert all(sigma > 0 for _, sigma in content(found["hidden"])), degree
        assert content(found["embed"]) == {(1, 1)}


def test_a_linear_function_has_nothing_unresolved_at_random_elements():
    ask = {"inputs": {"x": "vector"}, "outputs": {"embed": "invariant", "hidden": "invariant"}, **QUIET}
    data = [{"x": torch.tensor([0.3, -0.5, 0.7], dtype=torch.float64)}]
    seen = 0
    for seed in range(20):
        for lmax in (2, 6):
            found = eq.audit(mlp, data, estimator="monte-carlo", rotations=64, seed=seed, lmax=lmax, **ask)
            embed = found.outputs["embed"]
            assert not embed.errors_assumed
            seen += embed.pooled_unresolved > unresolved_floor(embed)
            seen += any("raise lmax" in finding for finding in found.findings())
    # of 40, each twice
    assert seen <= 4


def test_errors_of_random_elements_hold_the_truth():
    def model(x):
        return {"u": 3.0 + x[..., 0, 2] + 0.5 * x[..., 0, 0] * x[..., 1, 1] + 0.2 * torch.linalg.det(x)}

    ask = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, "lmax": 3, **QUIET}
    data = [{"x": torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))}]
    truth = eq.audit(model, data, degree=10, **ask).outputs["u"]
    covered = {"rmse": [], "power": [], "unresolved": []}
    for seed in range(60):
        found = eq.audit(model, data, estimator="monte-carlo", rotations=128, seed=seed, **ask).outputs["u"]
        covered["rmse"].append(abs(found.rmse - truth.rmse) <= found.rmse_error)
        covered["power"] += ((found.power - truth.power).abs() <= found.power_error).flatten().tolist()
        covered["unresolved"].append(abs(float(found.unresolved - truth.unresolved)) <= found.unresolved_error)
    for name, each in covered.items():
        assert sum(each) >= 0.9 * len(each), name


def test_errors_of_independent_systems_pool_by_squares_and_those_of_one_grid_add_up():
    def model(x):
        return torch.exp(1.5 * x[..., 2])

    row = torch.tensor([0.3, 0.4, 1.0], dtype=torch.float64)
    data = [(f"{i}", {"x": row}) for i in range(16)]
    ask = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, "lmax": 2, "degree": 6, **QUIET}
    one = eq.audit(model, data[:1], **ask).outputs["u"].rmse_error
    turned, bare = (eq.audit(model, data, shift=shift, **ask).outputs["u"].rmse_error for shift in ("system", None))
    assert turned < 0.6 * one and bare > 0.9 * eq.audit(model, data[:1], shift=None, **ask).outputs["u"].rmse_error


@pytest.mark.parametrize("ask", [{"estimator": "monte-carlo", "rotations": 64}, {"degree": 6, "shift": None}])
def test_errors_of_systems_are_weighted_by_their_samples(ask):
    def model(p):
        return {"u": torch.exp(p[..., 2]), "v": torch.exp(p[..., :1]) * p}

    rows = torch.nn.functional.normalize(torch.randn(7, 3, dtype=torch.float64), dim=1)
    data = [("two", rows[:2]), ("five", rows[2:])]

    def found(data):
        return eq.audit(model, data, inputs="vector", outputs={"u": "scalar", "v": "vector"}, lmax=2, **ask, **QUIET)

    both, two, five = (found(part).outputs for part in (data, data[:1], data[1:]))
    for name in both:
        for what in ("power_error", "unresolved_error"):
            one, other, pooled = (
                torch.as_tensor(getattr(part[name], what), dtype=torch.float64) for part in (two, five, both)
            )
            joined = (2 * one + 5 * other) if "shift" in ask else (4 * one**2 + 25 * other**2).sqrt()
            torch.testing.assert_close(pooled, joined / 7, rtol=1e-9, atol=1e-30)
        # of the variance, and so of its root
        one, other, pooled = (
            output.rmse**2 - max(output.rmse - output.rmse_error, 0.0) ** 2
            for output in (two[name], five[name], both[name])
        )
        joined = (2 * one + 5 * other) if "shift" in ask else math.hypot(2 * one, 5 * other)
        assert pooled == pytest.approx(joined / 7, rel=1e-9)


def test_turned_grids_are_as_exact_and_belong_to_seed_system_and_degree():
    from equiscope.measure.estimators.grid import GridMeasure

    grid = O3().grid(8)
    measure = GridMeasure(grid, 1e-2, asked=8)
    turned = measure.elements("water")
    D = eq.wigner_D(turned.select(0, len(turned) // 2), 8)
    for l in range(1, 9):
        assert float(torch.einsum("g,gij->ij", turned.weights[: len(turned) // 2], D[l]).abs().max()) < 1e-14
    assert turned.rings is grid.rings and turned == measure.elements("water") != grid
    others = (
        measure.elements("methane"),
        GridMeasure(grid, 1e-2, asked=8, seed=1).elements("water"),
        GridMeasure(O3().grid(9), 1e-2, asked=9).elements("water"),
    )
    first = turned.select(0, 1)
    assert all(float((first - other.select(0, 1)).abs().max()) > 1e-3 for other in others)
    assert GridMeasure(grid, 1e-2, asked=8, shift=None).elements("water") is grid
    half = len(turned) // 2
    torch.testing.assert_close(turned.select(half, half + 3), -turned.select(0, 3))
