"""Random elements of O(3) instead of a grid: unbiased, with an error that is the right size."""

import math

import pytest
import torch

import equiscope as eq
from equiscope import demo, errors
from equiscope.metrics.orbit import OrbitMoments
from equiscope.metrics.sampled import MOST_BLOCKS, SampledMoments, standard_error
from equiscope.so3.representation import Representation
from equiscope.so3.sampling import RandomElements

POINTS = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LMAX = 3


def model(x):
    """A vector per point and a scalar, neither of them quite equivariant; polynomials, so a grid is exact."""
    z, xy = x[..., 2:], x[..., :1] * x[..., 1:2]
    triple = torch.linalg.det(x[..., :3, :])[..., None, None]
    return {"force": x + 0.3 * z * x + 0.1 * triple + 5.0, "energy": x.square().sum((-1, -2)) + 0.2 * xy.sum((-1, -2))}


SETTINGS = {"inputs": {"x": "vector"}, "outputs": {"force": "vector", "energy": "scalar"}, "lmax": LMAX}


def audit(data=None, **settings):
    return eq.audit(model, [{"x": POINTS}] if data is None else data, **{**SETTINGS, **settings})


def moments(values, grid, kind):
    """Of a function of the rotated points."""
    first = values(torch.eye(3, dtype=torch.float64).unsqueeze(0))[0]
    make = OrbitMoments if isinstance(grid, eq.Quadrature) else SampledMoments
    found = make(grid, LMAX, first, kind)
    found.update(values(grid.rotations))
    return found.finish()


@pytest.mark.parametrize("rep", ["vector", "scalar", "tensor", None])
def test_estimates_are_right_in_expectation(rep):
    kind = None if rep is None else Representation.parse(rep)

    def values(R):
        x = POINTS @ R.mT
        if rep == "tensor":
            out = x[..., :, None] * x[..., None, :] + 0.2 * x[..., 2, None, None] + 1.0
            return out.reshape(*x.shape[:2], 1, 9)
        out = model(x)["force"].unsqueeze(2)
        return out if rep == "vector" else out.transpose(2, 3)

    exact = moments(values, eq.quadrature(12), kind)
    found = [moments(values, RandomElements(64, seed), kind) for seed in range(400)]
    # 400 runs of 64 elements: the mean of an unbiased estimate is within a few of its standard errors
    for sector, power in exact.power.items():
        runs = torch.stack([each.power[sector] for each in found])
        error = runs.std(0) / len(found) ** 0.5
        assert float(((runs.mean(0) - power).abs() / (error + 1e-12)).max()) < 4.5
        # what is unbiased scatters to both sides of 0
        assert rep != "vector" or bool((runs < 0).any())
    for sector, variance in exact.variance.items():
        runs = torch.stack([each.variance[sector] for each in found])
        error = runs.std(0) / len(found) ** 0.5
        assert float(((runs.mean(0) - variance).abs() / (error + 1e-12)).max()) < 4.5
        assert bool((runs >= 0).all())
    for each in found[:3]:
        joined = sum(power.sum((0, 1)) for power in each.power.values()) + each.unresolved
        torch.testing.assert_close(joined, each.total)


def test_the_standard_error_is_the_scatter_over_seeds():
    reports = [audit(estimator="monte-carlo", rotations=512, seed=seed) for seed in range(60)]
    exact = audit(degree=12)
    for name in SETTINGS["outputs"]:
        rmse = torch.tensor([report.outputs[name].rmse for report in reports])
        said = torch.tensor([report.outputs[name].rmse_error for report in reports])
        assert float(said.square().mean().sqrt()) == pytest.approx(float(rmse.std()), rel=0.25)
        # the root of an unbiased A is biased a little
        bound = 4 * float(rmse.std()) / 60**0.5 + 1e-3 * float(rmse.mean())
        assert abs(float(rmse.mean()) - exact.outputs[name].rmse) < bound


def test_systems_share_their_elements_so_the_error_does_not_fall_with_their_number():
    # copies of one system say nothing new
    one = audit(estimator="monte-carlo", rotations=256)
    many = audit([(str(i), {"x": POINTS}) for i in range(9)], estimator="monte-carlo", rotations=256)
    for name in SETTINGS["outputs"]:
        assert many.outputs[name].rmse == pytest.approx(one.outputs[name].rmse)
        assert many.outputs[name].rmse_error == pytest.approx(one.outputs[name].rmse_error)


def test_an_exact_model_has_no_error():
    report = eq.audit(
        lambda x: x * x.square().sum((-1, -2), keepdim=True),
        [POINTS],
        inputs="vector",
        outputs="vector",
        lmax=2,
        estimator="monte-carlo",
        rotations=64,
    )
    (output,) = report.outputs.values()
    assert output.rmse <= 1e-12 and output.rmse_error <= 1e-12
    assert output.parts[1, 1].power[1, 0] == pytest.approx(float(output.total), rel=0.5)


def test_the_same_seed_begins_with_the_same_elements():
    few, many = RandomElements(64, 3), RandomElements(1000, 3)
    assert len(many) == 1000
    assert torch.equal(many.rotations[:64], few.rotations)
    assert torch.equal(few.rotations[1::2], -few.rotations[::2])
    assert not torch.equal(RandomElements(64, 4).rotations, few.rotations)
    before = torch.get_rng_state()
    a = audit(estimator="monte-carlo", rotations=64, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    b = audit(estimator="monte-carlo", rotations=64, seed=5, batch_rows=12)
    assert a.outputs["force"].rmse == pytest.approx(b.outputs["force"].rmse, rel=1e-12)


def test_it_stops_where_the_precision_is_reached_and_goes_on_alike():
    data = [(str(i), {"x": POINTS * (1 + 0.1 * i)}) for i in range(3)]
    report = audit(data, estimator="monte-carlo", rotations=100_000, precision=0.05, batch_rows=256)
    taken = report.settings["rotations"]
    assert 64 <= taken < 20_000
    assert report.timings["evaluations"] < 4 * taken
    for output in report.outputs.values():
        assert output.rmse_error <= 0.07 * output.rmse
    again = audit(data, estimator="monte-carlo", rotations=taken)
    for name, output in again.outputs.items():
        assert output.rmse == pytest.approx(report.outputs[name].rmse, rel=1e-12)
        assert output.rmse_error == pytest.approx(report.outputs[name].rmse_error, rel=1e-9)


def test_a_precision_out_of_reach_is_said():
    report = audit(estimator="monte-carlo", rotations=64, precision=1e-3)
    assert report.settings["rotations"] == 64
    assert any("energy: the standard error is" in warning for warning in report.warnings)


def test_blocks_are_joined_so_that_memory_stays_bounded():
    elements = RandomElements(8 * 4 * MOST_BLOCKS, 0)
    first = torch.zeros(1, 1, 1, dtype=torch.float64)
    found = SampledMoments(elements, 0, first, Representation.parse("scalar"))
    values = elements.rotations[:, 2, 2].reshape(-1, 1, 1, 1)
    for part in values.split(100):
        found.update(part)
    blocks = found.variance_by_block()
    assert MOST_BLOCKS <= len(blocks) < 2 * MOST_BLOCKS
    assert float(blocks.mean()) == pytest.approx(float(values.square().mean()), rel=1e-9)
    # z^2 on the sphere: variance 4/45, the two of a pair alike
    assert standard_error(blocks) == pytest.approx(math.sqrt(4 / 45 / (len(elements) / 2)), rel=0.3)


def test_nothing_finite_stops_that_system_alone():
    def bad(x):
        out = model(x)
        return {**out, "energy": torch.where(x[..., 0, 0] > 2.5, torch.nan, out["energy"])}

    data = [("large", {"x": POINTS * 4}), ("small", {"x": POINTS * 0.1})]
    report = eq.audit(bad, data, **SETTINGS, estimator="monte-carlo", rotations=64)
    assert [failure.system for failure in report.failures] == ["large"]
    assert [row.name for row in report.systems] == ["small"]


def test_layers_and_report(tmp_path):
    report = eq.audit(
        demo.load_model(),
        demo.load_molecules()[:2],
        inputs=demo.INPUTS,
        outputs=demo.REPRESENTATIONS,
        layers=demo.LAYERS,
        lmax=3,
        estimator="monte-carlo",
        rotations=128,
        keep="samples",
    )
    text = str(report)
    assert "128 random rotations (seed 0)" in text and "\N{PLUS-MINUS SIGN}" in text
    again = eq.Audit.load(report.save(tmp_path / "audit"))
    assert again.outputs["energy"].rmse_error == report.outputs["energy"].rmse_error > 0
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "random rotations" in page and "degree None" not in page
    exact = eq.audit(
        demo.load_model(),
        demo.load_molecules()[:2],
        inputs=demo.INPUTS,
        outputs=demo.REPRESENTATIONS,
        layers=demo.LAYERS,
        lmax=3,
        degree=11,
    )
    for name, output in exact.outputs.items():
        found = report.outputs[name]
        assert abs(found.rmse - output.rmse) < 5 * found.rmse_error
    for name, layer in exact.layers.items():
        assert report.layers[name].fractions.sum(1)[0] == pytest.approx(float(layer.fractions.sum(1)[0]), abs=0.1)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(estimator="guess"), "estimator: expected \"quadrature\" or \"monte-carlo\", got 'guess'"),
        (dict(rotations=100), "rotations: expected None without estimator"),
        (dict(precision=0.1), "precision: expected None without estimator"),
        (dict(estimator="monte-carlo", degree=8), "degree: expected None with estimator"),
        (dict(estimator="monte-carlo", rotations=31), "rotations: expected an integer of at least 32, got 31"),
        (dict(estimator="monte-carlo", rotations=64.0), "rotations: .*got 64.0"),
        (dict(estimator="monte-carlo", precision=1.0), "precision: .*between 0 and 1, got 1.0"),
        (dict(estimator="monte-carlo", seed=-1), "seed: .*got -1"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(errors.ArgumentError, match=message):
        audit(**change)
