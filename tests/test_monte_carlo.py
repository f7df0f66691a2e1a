"""Random rotations in place of a grid: unbiased, with standard errors that are true."""

import functools
import math

import pytest
import torch

import equiscope as eq
from equiscope.groups.representation import Representation
from equiscope.measure.elements import RandomRotations
from equiscope.measure.sampled import GROUPS, SampledMoments

SEEDS = 120


def model(x):
    """Broken at l = 0..3, with both sigma: a triple product of the rows is the pseudoscalar."""
    r, triple = x[..., 0, :], torch.linalg.det(x)
    z = r[..., 2]
    return {
        "energy": 3.0 + z + 0.5 * r[..., 0] * r[..., 1] + 0.3 * triple * z,
        "dipole": r * (1.0 + 0.1 * z[..., None]),
        "stress": r[..., :, None] * r[..., None, :] * (1.0 + 0.2 * z[..., None, None]),
    }


DATA = [{"x": torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(s))} for s in range(3)]
DECLARED = {
    "inputs": {"x": "vector"},
    "outputs": {"energy": "scalar", "dipole": "vector", "stress": "tensor"},
    "lmax": 4,
    "progress": False,
}


def sampled(seed=0, function=model, data=DATA, **settings):
    return eq.audit(function, data, estimator="monte-carlo", seed=seed, **{**DECLARED, **settings})


@functools.lru_cache
def exact():
    return eq.audit(model, DATA, degree=10, **DECLARED)


@functools.lru_cache
def many():
    return [sampled(seed, rotations=64) for seed in range(SEEDS)]


def assert_unbiased(values, expected, *, sigmas=4.5):
    error = values.std(0) / math.sqrt(len(values))
    assert bool(((values.mean(0) - expected).abs() <= sigmas * error + 1e-12).all())


def test_estimates_are_means_over_all_pairs_of_elements():
    n, lmax, kind = 75, 3, Representation.parse("tensor")
    grid = RandomRotations(n, seed=1)
    generator = torch.Generator().manual_seed(4)
    first, u = (torch.randn(*shape, 2, 1, 9, dtype=torch.float64, generator=generator) for shape in ((), (n,)))
    moments = SampledMoments(grid, lmax, first, kind)
    for part in u.split(31):
        moments.update(part)
    found = moments.finish()

    g = grid.select(0, n)
    z = torch.einsum("gji,gscjk,gkl->gscil", g, u.unflatten(-1, (3, 3)), g).flatten(-2) @ kind.matrix.T
    z0 = first @ kind.matrix.T
    known_part = torch.einsum("gij,scjk,glk->gscil", g, first.unflatten(-1, (3, 3)), g).flatten(-2) @ kind.matrix.T
    v = u @ kind.matrix.T - known_part
    signs = torch.linalg.det(g).sign()
    D = eq.wigner_D(signs[:, None, None] * g, lmax)
    pairs = (1.0 - torch.eye(n, dtype=torch.float64)) / (n * (n - 1))
    for block in kind.blocks:
        rows = list(block.rows)
        sector = (block.lam, block.sigma)
        apart = (z[:, None, ..., rows] - z[None, ..., rows]).square().sum(-1)
        expected = 0.5 * torch.einsum("ij,ijsc->sc", pairs, apart) / len(rows)
        torch.testing.assert_close(found.variance[sector], expected, rtol=1e-12, atol=0)
        own = v[..., rows]
        power = torch.empty(lmax + 1, 2, 2, 1, dtype=torch.float64)
        for l in range(lmax + 1):
            overlap = (2 * l + 1) * pairs * torch.einsum("imn,jmn->ij", D[l], D[l])
            for i, sigma in enumerate((1.0, -1.0)):
                chi = torch.where(signs > 0, 1.0, sigma * (-1.0) ** l).double()
                power[l, i] = torch.einsum("ij,i,j,iscx,jscx->sc", overlap, chi, chi, own, own)
        known = (z0 * (2.0 * z.mean(0) - z0))[..., rows].sum(-1)
        power[block.lam, (1 - block.sigma) // 2] += known
        torch.testing.assert_close(found.power[sector], power, rtol=1e-11, atol=1e-12)
        # leaving out one group of elements at a time
        left = [[i for i in range(n) if i % GROUPS != k] for k in range(GROUPS)]
        without = torch.stack([z[chosen][..., rows].var(0).sum(-1).mean() for chosen in left])
        error = (without.var() * (GROUPS - 1) ** 2 / GROUPS).sqrt() / len(rows)
        half = found.errors["irreps"][:, kind.blocks.index(block)]
        torch.testing.assert_close(half, torch.stack([2.0 * error, 0.0 * error]), rtol=1e-10, atol=0)
    torch.testing.assert_close(found.total, u.square().sum(-1).mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.mean @ kind.matrix.T, z.mean(0), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(found.total_power.sum((0, 1)) + found.unresolved, found.total, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["energy", "dipole", "stress"])
def test_every_estimate_is_unbiased(name):
    truth = exact().outputs[name]
    found = [report.outputs[name] for report in many()]
    for field in ("variance", "power", "total", "unresolved"):
        assert_unbiased(torch.stack([getattr(output, field) for output in found]), getattr(truth, field))
    for irrep, part in truth.parts.items():
        assert_unbiased(torch.stack([output.parts[irrep].power for output in found]), part.power)
        assert_unbiased(torch.stack([output.parts[irrep].variance for output in found]), part.variance)


@pytest.mark.parametrize("name", ["energy", "dipole", "stress"])
def test_error_is_twice_the_spread_over_seeds(name):
    found = [report.outputs[name] for report in many()]
    spread = torch.tensor([output.rmse for output in found]).std()
    assert torch.tensor([output.rmse_error for output in found]).mean() == pytest.approx(2 * float(spread), rel=0.2)
    for irrep, part in found[0].parts.items():
        if part.rmse > 1e-9:
            errors = torch.tensor([output.parts[irrep].rmse_error for output in found])
            spread = torch.tensor([output.parts[irrep].rmse for output in found]).std()
            assert errors.mean() == pytest.approx(2 * float(spread), rel=0.2)


def test_empty_sectors_scatter_within_their_stated_error():
    power = torch.stack([report.outputs["energy"].power for report in many()])
    stated = torch.stack([report.outputs["energy"].power_error for report in many()]).mean(0) / 2.0
    empty = power[:, 4]
    assert bool((empty < 0).any())
    torch.testing.assert_close(empty.std(0), stated[4], rtol=0.35, atol=0)


def test_layer_without_representation_has_an_unbiased_spectrum():
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh()).double()
    data = [{"input": DATA[0]["x"][:1]}]
    ask = {"inputs": {"input": "vector"}, "outputs": None, "layers": "1", "lmax": 2}
    truth = eq.audit(net, data, **{**DECLARED, **ask}, tolerance=1e-3).layers["1"]
    found = [sampled(seed, net, data, rotations=64, **ask).layers["1"] for seed in range(40)]
    for field in ("power", "total", "unresolved"):
        assert_unbiased(torch.stack([getattr(layer, field) for layer in found]), getattr(truth, field))


def test_equivariant_model_has_no_sampling_error():
    def equivariant(x):
        r = x[..., 0, :]
        return {"energy": r.square().sum(-1), "dipole": r, "stress": r[..., :, None] * r[..., None, :]}

    report = sampled(function=equivariant, precision=0.1)
    assert report.settings["rotations"] == 32
    for name, irreps in {"energy": {(0, 1)}, "dipole": {(1, 1)}, "stress": {(0, 1), (2, 1)}}.items():
        output = report.outputs[name]
        assert output.relative < 1e-14
        for l in range(5):
            for i, sigma in enumerate((1, -1)):
                assert (abs(float(output.power[l, i])) > 1e-20) == ((l, sigma) in irreps)


def test_a_longer_sequence_continues_a_shorter_one():
    long = RandomRotations(700, seed=3).orbit("water")
    short = RandomRotations(100, seed=3).orbit("water")
    assert torch.equal(long.select(0, 100), short.select(0, 100))
    assert torch.equal(long.select(200, 600), torch.cat([long.select(200, 256), long.select(256, 600)]))
    assert not torch.equal(short.select(0, 1), short.orbit("ethanol").select(0, 1))
    signs = torch.linalg.det(long.select(0, 700)).sign()
    assert 250 < int((signs > 0).sum()) < 450


def test_continued_orbits_are_those_of_a_fixed_number():
    evaluated = 0

    def counted(x):
        nonlocal evaluated
        evaluated += x.shape[0]
        return model(x)

    report = sampled(function=counted, rotations=4096, precision=0.05)
    n = report.settings["rotations"]
    assert 32 < n < 4096
    assert report.settings["precision_reached"] <= 0.05
    assert [entry["rotations"] for entry in report.convergence] == [32 * 2**i for i in range(len(report.convergence))]
    assert all(entry["precision"] > 0.05 for entry in report.convergence[:-1])
    assert evaluated == report.timings["evaluations"] == 3 * n + report.timings["checks"]
    fixed = sampled(rotations=n)
    for name, output in report.outputs.items():
        assert output.rmse == pytest.approx(fixed.outputs[name].rmse, rel=1e-12)
        torch.testing.assert_close(output.power, fixed.outputs[name].power, rtol=1e-10, atol=1e-14)
    assert [row.name for row in report.systems] == [row.name for row in fixed.systems]


def test_cap_is_kept_and_a_precision_not_reached_is_said():
    report = sampled(rotations=48, precision=1e-3)
    assert report.settings["rotations"] == 48
    assert any("48 rotations" in finding for finding in report.findings())


def test_what_scatter_hides_is_not_said_to_be_absent():
    from equiscope import demo

    report = eq.audit(
        demo.load_model(),
        demo.load_molecules()[:3],
        inputs=demo.INPUTS,
        outputs=demo.REPRESENTATIONS,
        layers=demo.LAYERS,
        lmax=3,
        estimator="monte-carlo",
        rotations=128,
    )
    said = " ".join(report.findings())
    assert "random rotations are few" in said
    # the layers have power at every l, as the grid shows
    assert "no audited layer has" not in said and "is the first layer" not in said


def test_seed_decides_and_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    first, again, other = sampled(5, rotations=32), sampled(5, rotations=32), sampled(6, rotations=32)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.outputs["energy"].rmse == again.outputs["energy"].rmse != other.outputs["energy"].rmse


def test_not_a_number_in_a_continued_orbit_stops_that_system_alone():
    calm, wild = torch.eye(3, dtype=torch.float64), 2.0 * torch.eye(3, dtype=torch.float64)

    def late(x):
        return torch.where(x[..., 0, 2] > 1.97, float("nan"), x[..., 0, 2] ** 3)

    report = sampled(0, late, [("calm", {"x": calm}), ("wild", {"x": wild})], outputs={"u": "scalar"}, precision=0.02)
    assert [row.name for row in report.systems] == ["calm"]
    (failure,) = report.failures
    assert failure.system == "wild" and float((failure.rotation @ wild[0])[2]) > 1.97


@pytest.mark.usefixtures("blank_pictures")
def test_report_says_the_estimator_and_the_error(tmp_path):
    report = sampled(rotations=32, keep="samples", layers=None)
    assert "Monte Carlo, 32 random rotations" in str(report) and " +- " in str(report)
    page = report.to_html()
    assert "±" in page and "Monte Carlo" in page
    loaded = eq.Audit.load(report.save(tmp_path))
    assert loaded.outputs["energy"].rmse_error == report.outputs["energy"].rmse_error
    assert loaded.systems[0].outputs["energy"]["rmse_error"] > 0
    assert loaded.settings["estimator"] == "monte-carlo" and loaded.settings["seed"] == 0


SAMPLED = {"estimator": "monte-carlo"}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"estimator": "guess"}, 'estimator: expected "quadrature" or "monte-carlo", got \'guess\''),
        ({**SAMPLED, "degree": 8}, "degree: expected none .*got 8"),
        ({**SAMPLED, "rotations": 31}, "rotations: expected an integer of 32 or more, got 31"),
        ({**SAMPLED, "rotations": 64.0}, "rotations: .*64.0"),
        ({**SAMPLED, "precision": 1.0}, "precision: expected a number between 0 and 1, got 1.0"),
        ({**SAMPLED, "precision": math.nan}, "precision: .*nan"),
        ({**SAMPLED, "precision": "high"}, "precision: .*'high'"),
        ({**SAMPLED, "seed": -1}, "seed: .*-1"),
        ({"rotations": 64}, "rotations: expected None unless .*got 64"),
        ({"precision": 0.1}, "precision: expected None unless .*got 0.1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(eq.errors.ArgumentError, match=message):
        eq.audit(model, DATA, **{**DECLARED, **settings})
