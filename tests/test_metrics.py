"""The torchmetrics metrics on their own, and against sums written out."""

import itertools
import os
import socket
import subprocess
import sys

import pytest
import torch

import equiscope as eq
from equiscope.groups.representation import Representation
from equiscope.measure.orbit import OrbitMoments
from equiscope.measure.summary import NonFiniteValues

GRID = eq.quadrature(8)


def orbit(n, seed, dtype=torch.float64):
    """A vector field of n points that is equivariant up to a planted l = 2 term, on the grid: (G, n, 3)."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(n, 3, dtype=torch.float64, generator=generator)
    rotated = torch.einsum("gij,nj->gni", GRID.rotations, points)
    return (rotated + 0.1 * rotated * rotated[..., 2:]).to(dtype)


def test_error_is_the_variance_of_the_back_rotated_values():
    values = orbit(4, 0)
    metric = eq.metrics.EquivarianceError("vector", GRID)
    metric.update(values)
    z = torch.einsum("gji,gnj->gni", GRID.rotations, values)
    w = GRID.weights[:, None, None]
    variance = ((w * z**2).sum(0) - (w * z).sum(0) ** 2).mean()
    found = metric.compute()
    torch.testing.assert_close(found["variance"], variance, rtol=1e-12, atol=0)
    torch.testing.assert_close(found["rmse"], variance.sqrt(), rtol=1e-12, atol=0)
    torch.testing.assert_close(found["size"], (w * values**2).sum(0).mean().sqrt(), rtol=1e-12, atol=0)
    assert float(found["samples"]) == 4


def test_spectrum_is_the_character_power_of_every_component():
    values = orbit(4, 1)
    metric = eq.metrics.CharacterSpectrum(4, GRID, representation="vector")
    metric.update(values)
    expected = eq.character_power(values, GRID, 4).sum(-1).mean(-1)
    torch.testing.assert_close(metric.compute()["power"], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [None, "scalar", "vector", "tensor", "voigt", "2x0e+1x1o+1x2e"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_an_orbit_at_once_gives_what_it_gives_in_pieces(kind, dtype, monkeypatch):
    from equiscope.measure import orbit as module

    lmax, grid = 3, eq.quadrature(8)
    representation = None if kind is None else Representation.parse(kind)
    size = 1 if representation is None else representation.components
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(len(grid), 5, 2, size, generator=generator, dtype=torch.float64)
    values[200] *= 3.0
    values = (values + 1e3 * (size == 1)).to(dtype)

    def summary():
        moments = OrbitMoments(grid, lmax, values[3], representation)
        for part in values.split(100):
            moments.update(part)
        return moments._projection is None, moments.finish()

    at_once, found = summary()
    monkeypatch.setattr(module, "power_at_once", lambda *_: False)
    in_pieces, expected = summary()
    assert at_once and not in_pieces
    assert found.power.keys() == expected.power.keys() and found.worst_index == expected.worst_index
    assert found.worst_deviation == pytest.approx(expected.worst_deviation, rel=1e-12)
    pairs = [(found.total, expected.total), (found.unresolved, expected.unresolved)]
    pairs += [(found.power[sector], expected.power[sector]) for sector in found.power]
    pairs += [(found.variance[sector], expected.variance[sector]) for sector in found.variance]
    pairs += [(found.mean, expected.mean)] if kind is not None else []
    for got, wanted in pairs:
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("at_once", [True, False])
def test_an_orbit_without_samples(at_once, monkeypatch):
    from equiscope.measure import orbit as module

    monkeypatch.setattr(module, "power_at_once", lambda *_: at_once)
    moments = OrbitMoments(GRID, 2, torch.zeros(0, 3, 1), None)
    moments.update(torch.zeros(len(GRID), 0, 3, 1))
    assert moments.finish().total.shape == (0, 3)


@pytest.mark.parametrize("waits", [False, True])
def test_a_bad_value_is_found_in_an_orbit_at_once_or_where_looking_waits_at_its_end(waits, monkeypatch):
    from equiscope.measure import orbit as module

    monkeypatch.setattr(module, "READ_AT_ONCE", () if waits else ("cpu",))
    values = torch.randn(len(GRID), 2, 3, 1)
    values[77, 1, 2] = torch.inf
    moments = OrbitMoments(GRID, 2, values[0], None)
    with pytest.raises(NonFiniteValues) as caught:
        moments.update(values)
        assert waits
        moments.finish()
    assert caught.value.index == 77


def test_power_and_unresolved_sum_to_the_total():
    metric = eq.metrics.CharacterSpectrum(1, GRID, representation="vector")
    metric.update(orbit(4, 1))
    found = metric.compute()
    torch.testing.assert_close(found["power"].sum() + found["unresolved"], found["total"], rtol=1e-13, atol=0)
    assert float(found["unresolved"]) > 1e-3


def test_systems_are_weighted_with_their_samples():
    small, large = orbit(1, 2), orbit(9, 3)
    together = eq.metrics.EquivarianceError("vector", GRID)
    together.update(torch.cat([small, large], dim=1))
    apart = eq.metrics.EquivarianceError("vector", GRID)
    apart.update(small)
    apart.update(large)
    for name, value in together.compute().items():
        torch.testing.assert_close(apart.compute()[name], value, rtol=1e-12, atol=0)


@pytest.mark.parametrize("make", [
    lambda: eq.metrics.EquivarianceError("vector", GRID),
    lambda: eq.metrics.CharacterSpectrum(3, GRID, representation="vector"),
])  # fmt: skip
def test_order_of_systems_does_not_matter(make):
    systems = [orbit(n, n) * 10.0**scale for n, scale in ((1, 0), (2, 3), (3, -3), (4, 1))]
    results = []
    for order in itertools.permutations(systems):
        metric = make()
        for values in order:
            metric.update(values)
        results.append(metric.compute())
    for result in results[1:]:
        for name, value in result.items():
            ulp = torch.finfo(torch.float64).eps * results[0][name].abs()
            assert bool(((value - results[0][name]).abs() <= 2 * ulp).all()), name


def test_states_are_float64_whatever_comes_in_and_survive_half():
    metric = eq.metrics.EquivarianceError("vector", GRID)
    metric.half()
    metric.update(orbit(2, 0, torch.float32))
    assert metric.compute()["variance"].dtype == torch.float64
    exact = eq.metrics.EquivarianceError("vector", GRID)
    exact.update(orbit(2, 0))
    torch.testing.assert_close(metric.compute()["rmse"], exact.compute()["rmse"], rtol=1e-6, atol=0)


def test_forward_gives_the_value_of_the_batch_and_accumulates():
    metric = eq.metrics.EquivarianceError("vector", GRID)
    first = metric(orbit(3, 0))
    metric(orbit(3, 1))
    alone = eq.metrics.EquivarianceError("vector", GRID)
    alone.update(orbit(3, 0))
    torch.testing.assert_close(first["rmse"], alone.compute()["rmse"])
    assert float(metric.compute()["samples"]) == 6
    metric.reset()
    metric.update(orbit(3, 0))
    torch.testing.assert_close(metric.compute()["rmse"], alone.compute()["rmse"])


@pytest.mark.parametrize(
    "values, kind, message",
    [
        (torch.zeros(3, 2, 3), eq.errors.ShapeError, r"values: expected \(\d+, samples, \.\.\.\).*\(3, 2, 3\)"),
        (torch.zeros(len(GRID), 2), eq.errors.ShapeError, r"values: expected \(\.\.\., 3\) for 'vector'"),
        (torch.zeros(len(GRID), 3, dtype=torch.long), eq.errors.DTypeError, "values: .*int64"),
        ([1.0], eq.errors.DTypeError, "values: .*list"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, kind, message):
    with pytest.raises(kind, match=message):
        eq.metrics.EquivarianceError("vector", GRID).update(values)


WORKER = """
import sys, torch
torch.distributed.init_process_group("gloo")
sys.path.insert(0, {tests!r})
import equiscope as eq
from test_metrics import GRID, orbit
rank = torch.distributed.get_rank()
metric = eq.metrics.EquivarianceError("vector", GRID)
for n in ((1, 2, 3), (4, 5))[rank]:
    metric.update(orbit(n, n))
found = metric.compute()
if rank == 0:
    print("RMSE", found["rmse"].item().hex(), int(found["samples"]))
torch.distributed.destroy_process_group()
"""


def test_two_processes_give_the_numbers_of_one(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=os.path.dirname(__file__)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    ran = subprocess.run(
        [*command, str(script)], capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert ran.returncode == 0, ran.stderr
    _, rmse, samples = next(line for line in ran.stdout.splitlines() if line.startswith("RMSE")).split()
    alone = eq.metrics.EquivarianceError("vector", GRID)
    for n in (1, 2, 3, 4, 5):
        alone.update(orbit(n, n))
    assert int(samples) == 15
    assert float.fromhex(rmse) == pytest.approx(float(alone.compute()["rmse"]), rel=4e-16)
