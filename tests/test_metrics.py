"""The torchmetrics metrics on their own, and against sums written out."""

import itertools
import os
import socket
import subprocess
import sys

import pytest
import torch

import equiscope as eq

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
