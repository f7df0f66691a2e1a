"""Compiled kernels and the reference path that serves every other device do the same."""

import os
import subprocess
import sys
import warnings

import pytest
import torch

import equiscope as eq
from equiscope.kernels import packed_size, products, registry
from equiscope.kernels.cpu import CpuBackend
from equiscope.kernels.plain import PlainBackend
from equiscope.ops import backend

cpu, plain = CpuBackend(), PlainBackend()
DOUBLE, SINGLE = torch.float64, torch.float32
BOTH = pytest.mark.parametrize(("dtype", "bound"), [(DOUBLE, 1e-12), (SINGLE, 2e-5)])


def same(name, bound, *arguments):
    expected = getattr(plain, name)(*arguments)
    got = getattr(cpu, name)(*arguments)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    torch.testing.assert_close(got, expected, rtol=0, atol=bound * scale)


@BOTH
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 65])
@pytest.mark.parametrize("lmax", [0, 1, 2, 5, 12])
def test_kernels_agree_with_the_reference(dtype, bound, n, lmax):
    R, xyz = eq.random_rotations(n, dtype=dtype), torch.randn(n, 3).to(dtype)
    same("wigner_D", bound, R, lmax)
    same("wigner_D_torque", bound, R, torch.randn(n * packed_size(lmax)).to(dtype), lmax)
    same("spherical_harmonics", bound, xyz, lmax)
    same("spherical_harmonics_torque", bound, xyz, torch.randn(n, (lmax + 1) ** 2).to(dtype), lmax)
    rep = eq.Representation.parse(f"3x{lmax}o+1x0e+2x1e", layout="ir_mul")
    for batch, own, rows in ((n, n, 2), (n, 1, 3), (1, 1, n)):
        x, g = torch.randn(own, rows, rep.components).to(dtype), eq.random_rotations(batch, group="O3", dtype=dtype)
        for inverse in (False, True):
            same("rotate", bound, x, g, rep, inverse)


@pytest.mark.parametrize(("values", "out"), [(DOUBLE, DOUBLE), (SINGLE, DOUBLE), (SINGLE, SINGLE)])
@pytest.mark.parametrize(("points", "gammas"), [(1, 1), (6, 4), (50, 12), (300, 1)])
@pytest.mark.parametrize("channels", [1, 7, 33])
@pytest.mark.parametrize("lmax", [0, 3, 8])
def test_projection_kernels_agree_with_the_reference(values, out, points, gammas, channels, lmax):
    rings, weights = eq.random_rotations(points), torch.rand(points, dtype=DOUBLE)
    u, center = torch.randn(points, gammas, channels).to(values), torch.randn(channels, dtype=DOUBLE)
    size = packed_size(lmax)
    for middle in (None, center):
        found = []
        for kernels in (cpu, plain):
            # what is there is added to
            total = torch.ones(size, channels, dtype=out)
            kernels.project(u, rings, weights, lmax, middle, total)
            found.append(total)
        torch.testing.assert_close(*found, rtol=0, atol=2e-5 * points**0.5 if out == SINGLE else 1e-12 * points)
    same(
        "synthesize",
        1e-5 if out == SINGLE else 1e-12,
        torch.randn(size, channels).to(out),
        rings,
        weights,
        gammas,
        lmax,
    )


@BOTH
@pytest.mark.parametrize("held", [1 << 28, 5000])
def test_products_of_D_agree_with_the_kernels(dtype, bound, held, monkeypatch):
    # the path of sizes and grids that fused kernels of a device do not take
    monkeypatch.setattr(products, "MATRIX_BYTES", held)
    R, lmax = eq.random_rotations(23, dtype=dtype), 5
    D = cpu.wigner_D
    grad = torch.randn(23 * packed_size(lmax)).to(dtype)
    torch.testing.assert_close(
        products.wigner_D_torque(R, grad, lmax, D), cpu.wigner_D_torque(R, grad, lmax), rtol=0, atol=300 * bound
    )
    for layout in ("mul_ir", "ir_mul"):
        rep = eq.Representation.parse("3x5o+1x0e+2x1e", layout=layout)
        for own in (1, 23):
            x = torch.randn(own, 3, rep.components).to(dtype)
            g = R * torch.where(torch.arange(23) % 2 == 0, 1.0, -1.0)[:, None, None].to(dtype)
            for inverse in (False, True):
                found = products.rotate(x, g, rep, inverse, D)
                torch.testing.assert_close(found, cpu.rotate(x, g, rep, inverse), rtol=0, atol=bound)
    rings, weights = eq.random_rotations(23), torch.rand(23, dtype=DOUBLE)
    u, center = torch.randn(23, 7).to(dtype), torch.randn(7, dtype=DOUBLE)
    totals = [torch.ones(packed_size(lmax), 7, dtype=dtype) for _ in range(2)]
    products.project(u, rings, weights, lmax, center, totals[0], D)
    cpu.project(u[:, None], rings, weights, lmax, center, totals[1])
    torch.testing.assert_close(*totals, rtol=0, atol=23 * bound)
    c = torch.randn(packed_size(lmax), 7).to(dtype)
    for gammas in (1, 4, 11):
        found = products.synthesize(c, rings, weights, gammas, lmax, D)
        torch.testing.assert_close(found, cpu.synthesize(c, rings, weights, gammas, lmax), rtol=0, atol=30 * bound)


@BOTH
def test_bad_rotations_are_found_alike(dtype, bound):
    R = eq.random_rotations(9, dtype=dtype)
    assert cpu.check_rotations(R, 1e-4) == plain.check_rotations(R, 1e-4) == (-1, 0.0, -1)
    for row, value in ((0, 2.0), (4, float("nan")), (8, float("inf"))):
        bad = R.clone()
        bad[row, 1, 1] = value
        assert cpu.check_rotations(bad, 1e-4).bad == plain.check_rotations(bad, 1e-4).bad == row
    R[[3, 5]] *= -1
    assert cpu.check_rotations(R, 1e-4) == plain.check_rotations(R, 1e-4) == (-1, 0.0, 3)
    R[7] *= 1.1
    found, expected = cpu.check_rotations(R, 1e-4), plain.check_rotations(R, 1e-4)
    assert found.bad == expected.bad == 7
    assert found.deviation == pytest.approx(expected.deviation) == pytest.approx(0.21, rel=1e-6)


def test_device_without_kernels_takes_the_reference_with_one_warning(monkeypatch):
    R, grid = eq.random_rotations(5), eq.quadrature(4)
    u, x = torch.randn(len(grid), 3, dtype=DOUBLE), torch.randn(5, 13, dtype=DOUBLE)

    def all_of_it():
        return [
            *eq.wigner_D(R, 4),
            eq.spherical_harmonics(x[:, :3], 4),
            eq.rotate(x, -R, "1x0e+1x1o+1x4e"),
            eq.character_power(u, grid, 2),
        ]

    expected = all_of_it()
    monkeypatch.setattr(registry, "_backends", {})
    monkeypatch.setattr(registry, "_warned", set())
    with pytest.warns(RuntimeWarning, match="no compiled kernels for 'cpu'") as caught:
        found = all_of_it()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        all_of_it()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


def test_shapes_are_known_on_the_meta_device():
    R, xyz = torch.empty(5, 3, 3, device="meta"), torch.empty(2, 4, 3, device="meta")
    assert [D.shape for D in eq.wigner_D(R, 2)] == [(5, 1, 1), (5, 3, 3), (5, 5, 5)]
    assert eq.spherical_harmonics(xyz, 3).shape == (2, 4, 16)
    assert eq.rotate(torch.empty(5, 4, device="meta"), R, "1x0e+1x1o").device.type == "meta"


def test_backend_says_what_serves():
    found = backend()
    assert found["isa"] in found["isas"]
    assert found["devices"] == (["cpu", "cuda"] if found["cuda"] else ["cpu"])


ISA = """
import torch, equiscope as eq
from equiscope.kernels.cpu import CpuBackend
from equiscope.kernels.plain import PlainBackend
from equiscope.ops import backend
torch.manual_seed(0)
cpu, plain = CpuBackend(), PlainBackend()
R, xyz, x = eq.random_rotations(37), torch.randn(37, 3).double(), torch.randn(37, 2, 21).double()
rep = eq.Representation.parse("2x0e+1x1o+1x7e+1x0o")
same = lambda a, b: torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
same(cpu.wigner_D(R, 9), plain.wigner_D(R, 9))
same(cpu.wigner_D_torque(R, torch.ones(37 * 1330).double(), 9),
     plain.wigner_D_torque(R, torch.ones(37 * 1330).double(), 9))
same(cpu.spherical_harmonics(xyz, 9), plain.spherical_harmonics(xyz, 9))
same(cpu.rotate(x, -R, rep, False), plain.rotate(x, -R, rep, False))
grid = eq.quadrature(8)
u = torch.randn(len(grid), 19).double()
found = []
for kernels in (cpu, plain):
    found.append(torch.zeros(165, 19).double())
    kernels.project(u[: len(u) // 2].reshape(-1, 9, 19), grid.rings, grid.ring_weights, 4, None, found[-1])
same(*found)
print(backend()["isa"])
"""


def run_with_isa(isa):
    environment = {**os.environ, "EQUISCOPE_ISA": isa}
    return subprocess.run([sys.executable, "-c", ISA], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_agrees_with_the_reference(isa):
    run = run_with_isa(isa)
    if run.returncode:
        # a machine without it says so; anything else is a failure
        assert "ValueError" in run.stderr and "EQUISCOPE_ISA" in run.stderr and isa in run.stderr, run.stderr
        assert isa != "baseline"
    else:
        assert run.stdout.strip() == isa


def test_unknown_instruction_set_is_refused_by_name():
    run = run_with_isa("avx1024")
    assert run.returncode and "ValueError" in run.stderr and "avx1024" in run.stderr
