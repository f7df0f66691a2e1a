"""What an audit adds up and hands on: sums, places, weights, batches, random state. Each test is a planted fault."""

import math
import re
from types import SimpleNamespace

import pytest
import torch

import equiscope as eq
from equiscope.groups.o3 import SO3
from equiscope.measure.orbit import BLOCK_BYTES, OrbitMoments
from equiscope.measure.summary import NonFiniteValues, OrbitSummary
from equiscope.measure.sums import Beside, Sums, Terms, on_host
from equiscope.metrics import EquivarianceError
from equiscope.probe.memory import Memory
from equiscope.probe.session import _random_devices

DOUBLE = torch.float64


def points(n=4):
    return torch.randn(n, 3, dtype=DOUBLE)


def energy(p):
    return p.square().sum((1, 2)) * (1.0 + 0.1 * p[:, 0, 2])


def audit(model, data, **asked):
    asked = {"outputs": {"y": "scalar"}, "lmax": 1, "degree": 6, "progress": False, **asked}
    return eq.audit(model, data, inputs="vector", **asked)


@pytest.mark.parametrize("late", [3, 400, 683])
def test_a_bad_value_is_named_by_its_place_in_the_whole_orbit(late):
    grid = eq.quadrature(8)
    assert len(grid) == 684 and 1000 * 8 * 400 > BLOCK_BYTES["cpu"]
    values = torch.randn(len(grid), 1, 1000, 1, dtype=DOUBLE)
    values[late, 0, 17] = math.nan
    moments = OrbitMoments(grid, 0, values[0], None)
    with pytest.raises(NonFiniteValues) as caught:
        for part in values.split(50):
            moments.update(part)
        moments.finish()
    assert caught.value.index == late


def test_a_bad_value_is_named_with_its_rotation():
    x, axis = torch.tensor([[0.3, -0.4, 1.2]], dtype=DOUBLE), torch.tensor([0.0, 0.6, 0.8], dtype=DOUBLE)
    copies = []

    def model(p):
        copies.append(p.clone())
        up = p[:, 0] @ axis
        return torch.where(up > 0.98 * x.norm(), math.nan, up)

    found = audit(model, [("good", torch.zeros(1, 3, dtype=DOUBLE)), ("bad", x)], degree=12, batch_rows=64)
    (failure,) = found.failures
    turned = (x @ failure.rotation.T)[0]
    assert failure.system == "bad" and float(turned @ axis) > 0.98 * float(x.norm())
    # the copy that the model saw, and none before it was bad
    seen = torch.cat(copies)[:, 0]
    assert float((seen - turned).norm(dim=1).min()) < 1e-12
    assert failure.rotation_index > 0


def test_the_worst_element_is_judged_by_the_final_mean():
    # the first values lie far from where the mean ends, and only the final mean shows that -10 is further than 20
    grid = eq.quadrature(8)
    values = torch.full((len(grid), 1, 1000, 1), 8.0, dtype=DOUBLE)
    values[:64] = 0.0
    values[10], values[600] = -10.0, 20.0
    moments = OrbitMoments(grid, 0, values[0], eq.Representation.parse("scalar"))
    moments.update(values)
    found = moments.finish()
    mean = float((grid.weights * values[:, 0, 0, 0]).sum())
    assert mean + 10 > 20 - mean
    assert found.worst_index == 10 and found.worst_deviation == pytest.approx(mean + 10)


def test_a_variance_that_comes_out_negative_is_refused():
    grid = eq.quadrature(13, allow_negative=True)
    # all of the square lies where weights are negative
    values = torch.where(grid.weights < 0, 1.0, 0.0).to(DOUBLE).reshape(-1, 1)
    metric = EquivarianceError("scalar", grid)
    with pytest.raises(eq.errors.ArgumentError, match="negative variance"):
        metric.update(values)
        metric.compute()


def summary(total, samples=1):
    ones = torch.ones(samples, 1, dtype=DOUBLE)
    power = {0: (total * ones)[None]}
    return OrbitSummary(None, None, power, total * ones, 0.0 * ones, None, {}, None, 0.0)


def test_sums_over_systems_lose_no_digits_and_depend_on_no_order():
    totals = [1e16, *[1.0] * 100, -1e16, 0.1]
    found = []
    for order in (totals, totals[::-1], sorted(totals)):
        terms = Terms(SO3(), 0, None)
        sums = Sums(terms)
        for total in order:
            sums.add(on_host(terms.of(summary(total), Beside(0.0, 0.0))))
        found.append(float(sums.results()["spectrum"]["total"]) * len(totals))
    assert found == pytest.approx([math.fsum(totals)] * 3, rel=1e-15)


class Rough(torch.nn.Module):
    """Outputs and layers with errors, power above lmax, and noise of float32."""

    def __init__(self):
        super().__init__()
        self.hidden, self.turns = torch.nn.Identity(), torch.nn.Identity()

    def forward(self, p):
        v = (torch.exp(p[..., :1]) * p).float().double()
        self.hidden(torch.exp(p))
        return {"v": self.turns(v), "s": torch.exp(p[:, :, 2].mean(1)), "t": p[..., :, None] * p[..., None, :] + 0.2}


def test_the_row_of_a_system_is_what_an_audit_of_it_alone_says():
    data = [("two", 0.5 * points(2)), ("five", 0.5 * points(5))]
    asked = {"outputs": {"v": "vector", "s": "scalar", "t": "tensor"}, "layers": {"hidden": None, "turns": "vector"}}
    both, two, five = (audit(Rough().eval(), part, **asked) for part in (data, data[:1], data[1:]))
    for row, one in zip(both.systems, (two, five), strict=True):
        assert set(row.outputs) == {"v", "s", "t"} and set(row.layers) == {"hidden", "turns"}
        for name, own in [*row.outputs.items(), *row.layers.items()]:
            found = one.result(name)
            expected = {"samples": found.samples, "total": found.pooled_total, "unresolved": found.pooled_unresolved}
            if name != "hidden":
                expected |= {"rmse": found.rmse, "relative": found.relative, "rmse_error": found.rmse_error}
                expected |= {"noise": found.noise, "noise_floor": found.noise_floor}
                expected |= {"worst_deviation": found.worst.deviation}
            if name in row.layers:
                shares = (found.pooled_power.sum(1) / found.pooled_total).tolist()
                expected |= {f"share_l{l}": share for l, share in enumerate(shares)}
            assert own.keys() - {"mean"} == expected.keys() and ("mean" in own) == (name == "s")
            for key, value in expected.items():
                assert own[key] == pytest.approx(value, rel=1e-9, abs=1e-13), (name, key)
    for name, output in [*both.outputs.items(), ("turns", both.layers["turns"])]:
        one, other = two.result(name), five.result(name)
        far = max((one, other), key=lambda found: found.worst.deviation).worst
        assert (output.worst.system, output.worst.rotation_index) == (far.system, far.rotation_index)
        assert torch.equal(output.worst.rotation, far.rotation) and output.samples == one.samples + other.samples
        weights = one.samples / output.samples, other.samples / output.samples
        for key in ("noise", "noise_floor", "rmse"):
            squares = weights[0] * getattr(one, key) ** 2 + weights[1] * getattr(other, key) ** 2
            assert getattr(output, key) == pytest.approx(squares**0.5, rel=1e-9, abs=1e-15), (name, key)
    assert both.outputs["v"].noise_floor > 1e-9


def test_a_model_that_changes_from_call_to_call_is_not_taken_for_exact():
    calls = [0]

    def model(p):
        # alike for all copies of one call
        calls[0] += 1
        return p.square().sum((1, 2)) + 1e-3 * (-1) ** calls[0]

    try:
        found = audit(model, [points(4)]).outputs["y"]
    except eq.errors.ModelError as error:
        assert "outputs['y']" in str(error)
    else:
        assert found.noise > 3e-4


def test_noise_of_systems_is_weighted_by_their_samples():
    def noise(sizes):
        def model(p):
            shape = (*p.shape[:2], 400)
            return p.square().sum(-1)[..., None] + sizes[p.shape[1]] * torch.randn(shape, dtype=DOUBLE)

        return audit(model, [points(1), points(9)]).outputs["y"].noise

    assert noise({1: 0.0, 9: 1e-3}) / noise({1: 1e-3, 9: 0.0}) == pytest.approx(3.0, rel=0.2)


def test_samples_kept_belong_to_the_systems_that_ended():
    def model(p):
        return torch.where(p.abs().amax((1, 2), keepdim=True)[..., 0] > 50, math.nan, p.square().sum(-1))

    systems = [("a", points(2)), ("broken", 100 * points(3)), ("c", 2 * points(1))]
    found = audit(model, systems, keep="samples")
    assert [row.name for row in found.systems] == ["a", "c"]
    output = found.outputs["y"]
    assert output.sample_system.tolist() == [0, 0, 1]
    expected = torch.cat([model(systems[0][1][None])[0], model(systems[2][1][None])[0]]).square()
    torch.testing.assert_close(output.total.reshape(-1), expected, rtol=1e-10, atol=0)


def largest_batch(**asked):
    sizes = []

    def model(p):
        sizes.append(p.shape[0])
        return energy(p)

    audit(model, [points(4)], degree=8, **asked)
    return max(sizes)


def test_batches_hold_no_more_bytes_than_asked():
    copy = 4 * 3 * 8
    assert largest_batch() > 20
    assert largest_batch(batch_bytes=20 * copy) == 20
    assert largest_batch(batch_bytes=20 * copy + copy - 1) == 20
    assert largest_batch(batch_rows=80) == 20


def test_statistics_that_are_held_leave_less_for_a_batch():
    memory = Memory(1000, 0)
    memory.statistics = lambda values, lmax: 600
    system = type("System", (), {"name": "a", "rows": 1})
    memory.rehearse(system)
    memory.begin(system, {})
    memory.start(torch.device("cpu"), 10)
    memory.stop(torch.device("cpu"), 50)
    assert memory.rows(10**9) == (1000 - 600) // 5
    memory.end(system)
    assert memory.rows(10**9) == 200
    with pytest.raises(eq.errors.MemoryLimitError, match="max_memory"):
        memory.statistics = lambda values, lmax: 998
        memory.begin(system, {})


def test_a_system_that_failed_is_evaluated_no_further():
    after = []

    def model(p):
        far = p.abs().amax((1, 2)) > 50
        after.append(int(far.sum()))
        # on the unrotated input it is fine
        y = torch.where(far & (p[:, 0, 2].abs() < 99.0), math.nan, energy(p))
        # many samples, so that values are looked at long before the last
        return y[:, None].expand(-1, 4000)

    bad = torch.tensor([[0.0, 0.0, 100.0]], dtype=DOUBLE)
    found = audit(model, [("good", points(1)), ("bad", bad)], lmax=0, degree=12, batch_rows=16)
    assert [failure.system for failure in found.failures] == ["bad"]
    assert sum(after) < len(eq.quadrature(12)) / 3


def test_a_batch_that_was_split_ends_where_its_system_failed():
    called = []

    def model(p):
        if p.shape[0] > 18:
            raise MemoryError
        called.append(p.shape[0])
        turned = (p[:, 0] - p.new_tensor([0.3, 0.4, 1.2])).norm(dim=1) > 1e-9
        # many samples, so that values are looked at after one coset of 18 elements
        return torch.where(turned, math.nan, energy(p))[:, None].expand(-1, 20_000)

    x = torch.tensor([[0.3, 0.4, 1.2]], dtype=DOUBLE)
    assert len(eq.quadrature(2)) == 36
    with pytest.raises(eq.errors.ModelError, match="NaN"):
        audit(model, [x], lmax=0, degree=2, batch_rows=36)
    assert called.count(18) == 1


def test_the_random_state_of_the_caller_is_as_it_was():
    class Model(torch.nn.Module):
        def forward(self, p):
            return energy(p) + 1e-3 * torch.rand(p.shape[0], dtype=DOUBLE)

    data = [points()]
    before = torch.get_rng_state()
    found = audit(Model(), data)
    # and the model did draw
    assert found.outputs["y"].stochastic
    assert torch.equal(torch.get_rng_state(), before)


def test_the_random_state_of_devices_that_hold_the_model_is_kept(monkeypatch):
    def module(*devices):
        tensors = [SimpleNamespace(device=torch.device(device)) for device in devices]
        return SimpleNamespace(parameters=lambda: tensors[:1], buffers=lambda: tensors[1:])

    assert _random_devices(module("cuda:1")) == []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert _random_devices(module("cuda:2", "cpu", "cuda:1", "cuda:2")) == [1, 2]
    # what a model without tensors of its own draws from
    assert _random_devices(None) == _random_devices(module("cpu")) == [3]


def test_the_bar_reaches_its_end(capfd):
    audit(energy, [points(), points()], progress=True)
    shown = re.findall(r"(\d+)/(\d+)", capfd.readouterr().err)
    assert shown and shown[-1][0] == shown[-1][1] and int(shown[-1][0]) >= 2 * len(eq.quadrature(6))


def test_values_overwritten_in_place_make_no_noise():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.relu = torch.nn.Linear(3, 4).double(), torch.nn.ReLU(inplace=True)

        def forward(self, p):
            return self.relu(self.linear(p)).sum((1, 2))

    found = audit(Model(), [points()], layers="linear").layers["linear"]
    assert found.noise < 1e-12
    # a linear map of a vector: a constant, l = 1, and no more
    assert float(found.unresolved) < 1e-12 * float(found.total)


def test_the_assertion_fails_where_a_system_did():
    def model(p):
        return torch.where(p.square().sum((1, 2)) > 1e3, math.nan, p.square().sum((1, 2)))

    asked = {"inputs": "vector", "outputs": {"y": "scalar"}, "tol": 1e-6}
    eq.testing.assert_equivariant(model, [points()], **asked)
    with pytest.raises(AssertionError, match="far: y: NaN"):
        eq.testing.assert_equivariant(model, [("near", points()), ("far", 100 * points())], **asked)
