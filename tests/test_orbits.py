"""Hidden layers of a system that are accumulated together have the numbers that each of them has alone."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import equiscope as eq
from equiscope.groups.o3 import O3
from equiscope.measure.estimators.grid import GridMeasure
from equiscope.probe import orbits
from equiscope.probe.orbits import Orbits, statistics

CHANNELS = {"first": 5, "output": 1, "second": 3, "third": 5}
KINDS = {**dict.fromkeys(CHANNELS), "output": eq.Representation.parse("scalar")}


def measure(degree=6):
    return GridMeasure(O3().grid(degree), 1e-2, asked=degree)


def values_of(elements, dtype=torch.float32, samples=2):
    """Functions of a turned vector: of degree 3 at the most, in each channel another, and noise in `third`."""
    g = torch.Generator().manual_seed(0)
    r = elements @ torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
    found = {}
    for name, channels in CHANNELS.items():
        mixed = torch.stack([r[:, 0], r[:, 1] * r[:, 2], r.prod(1), torch.linalg.det(elements)], dim=1)
        own = mixed @ torch.randn(4, samples * channels, dtype=torch.float64, generator=g)
        if name == "third":
            own = own + torch.randn(own.shape, dtype=torch.float64, generator=g)
        found[name] = own.reshape(-1, samples, channels, 1).to(dtype)
    return found


def first_of(values):
    return {name: value[0] for name, value in values.items()}


def run(own, values, step, names=None):
    n = len(values["first"])
    for start in range(0, n, step):
        part = {name: value[start : start + step] for name, value in values.items()}
        own.update(part if names is None or start == 0 else {name: part[name] for name in names})
    return own


def same(found, expected):
    for key in ("total", "unresolved"):
        torch.testing.assert_close(getattr(found, key), getattr(expected, key), rtol=1e-12, atol=1e-14)
    for label, power in expected.power.items():
        torch.testing.assert_close(found.power[label], power, rtol=1e-12, atol=1e-14)
    for key, error in expected.errors.items():
        torch.testing.assert_close(found.errors[key], error, rtol=1e-9, atol=1e-14)
    averages = found.known_averages()
    assert averages.total == pytest.approx(float(expected.total.mean()), rel=1e-12)
    assert averages.unresolved == pytest.approx(float(expected.unresolved.mean()), rel=1e-9, abs=1e-14)
    torch.testing.assert_close(averages.power, expected.total_power.mean((-2, -1)), rtol=1e-12, atol=1e-14)


# at once, with coefficients that are held, and with layers that are resolved up to a degree of their own
@pytest.mark.parametrize("degree, lmax", [(6, 3), (28, 1), (16, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_together_have_the_numbers_of_each_alone(degree, lmax, dtype):
    asked = measure(degree)
    grid = asked.elements("a")
    values = values_of(grid.select(0, len(grid)), dtype)
    together = Orbits(asked, "a", lmax, first_of(values), KINDS)
    assert [names for names, _ in together._moments] == [["output"], ["first", "second", "third"]]
    found = run(together, values, 97).finish(skipped=())
    assert list(found) == list(CHANNELS)
    for name, value in values.items():
        alone = asked.moments("a", lmax, value[0], KINDS[name])
        alone.update(value)
        same(found[name], alone.finish())


def test_what_is_too_large_together_is_accumulated_apart(monkeypatch):
    asked = measure()
    grid = asked.elements("a")
    values = values_of(grid.select(0, len(grid)))
    together = run(Orbits(asked, "a", 2, first_of(values), KINDS), values, 100).finish(skipped=())
    monkeypatch.setattr(
        orbits, "JOINED_BYTES", asked.nbytes(2, values["first"][0]) + asked.nbytes(2, values["second"][0])
    )
    apart = Orbits(asked, "a", 2, first_of(values), KINDS)
    assert [names for names, _ in apart._moments] == [["output"], ["first", "second"], ["third"]]
    for name, own in run(apart, values, 100).finish(skipped=()).items():
        same(own, together[name])


@pytest.mark.parametrize("bad", ["output", "first", "second", "third"])
def test_a_value_that_is_not_finite_is_put_down_to_its_layer_and_touches_no_other(bad):
    asked = measure()
    grid = asked.elements("a")
    values = values_of(grid.select(0, len(grid)))
    every = run(Orbits(asked, "a", 2, first_of(values), KINDS), values, 100).finish(skipped=())
    values[bad][77, 1, -1], values[bad][140] = float("nan"), float("inf")
    orbits = run(Orbits(asked, "a", 2, first_of(values), KINDS), values, 100)
    found = orbits.finish(skipped=())
    assert {name: error.index for name, error in orbits.lost.items()} == {bad: 77}
    assert list(found) == [name for name in every if name != bad]
    for name, own in found.items():
        assert torch.equal(own.total_power, every[name].total_power) and torch.equal(own.total, every[name].total)


def test_a_layer_that_comes_no_more_leaves_the_others_as_they_are():
    asked = measure()
    grid = asked.elements("a")
    values = values_of(grid.select(0, len(grid)))
    every = run(Orbits(asked, "a", 2, first_of(values), KINDS), values, 100).finish(skipped=())
    some = Orbits(asked, "a", 2, first_of(values), KINDS)
    found = run(some, values, 100, names=["first", "output", "third"]).finish(skipped=("second",))
    assert list(found) == ["first", "output", "third"]
    for name, own in found.items():
        assert torch.equal(own.total_power, every[name].total_power) and torch.equal(own.total, every[name].total)


def test_statistics_of_layers_of_one_size_are_those_of_each():
    asked, values = measure(), first_of(values_of(torch.eye(3, dtype=torch.float64)[None]))
    assert statistics(asked, 2, values.values()) == sum(asked.nbytes(2, value) for value in values.values())


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for a device."""

    count = 0

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # or torch's compiler is imported

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.equal)
        return func(*args, **(kwargs or {}))


def test_no_layer_of_a_system_is_waited_for_alone():
    asked = dict(inputs="vector", outputs="4x0e", layers="*", lmax=1, degree=4, progress=False)

    def waits(depth, systems):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), *(torch.nn.Linear(4, 4) for _ in range(depth)))
        data = list(torch.randn(systems, 5, 3))
        with Waits() as found:
            report = eq.audit(model, data, **asked)
        assert len(report.layers) >= depth
        return found.count

    waits(2, 4)  # makes tables
    few, many = (waits(depth, 4) - waits(depth, 2) for depth in (2, 8))
    assert few == many > 0
