"""The CUDA kernels, executed on the CPU block by block and thread by thread, through the code that serves a device.

They need a build of their own (EQUISCOPE_CUDA=HOST), which the last test makes; it runs the others in it.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11
import pytest
import torch

import equiscope as eq
from equiscope import demo
from equiscope.errors import ArgumentError
from equiscope.kernels import packed_size, using
from equiscope.kernels.cpu import CpuBackend
from equiscope.ops import backend

SOURCE = Path(__file__).parent.parent
ON_HOST = backend().get("architectures") == "host"
on_host = pytest.mark.skipif(not ON_HOST, reason="a build whose CUDA kernels run on the host")
cpu = CpuBackend()
if ON_HOST:
    from equiscope.kernels.cuda import CudaBackend

    cuda = CudaBackend()

DOUBLE, SINGLE = torch.float64, torch.float32
EPS = {DOUBLE: 1e-13, SINGLE: 2e-6}
BOTH = pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])


@pytest.fixture
def served():
    """CPU tensors are served by the CUDA kernels."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(using(cuda, "cpu"))


def agree(got, expected, eps):
    assert got.dtype == expected.dtype and got.shape == expected.shape
    size = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    torch.testing.assert_close(got, expected, rtol=0, atol=eps * size)


def random(*shape, dtype):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(3)).to(dtype)


@on_host
@BOTH
@pytest.mark.parametrize(("lmax", "n"), [(0, 5), (3, 0), (3, 1), (3, 70), (8, 37), (12, 9), (20, 3)])
def test_D_harmonics_and_their_torques(dtype, lmax, n):
    R, xyz = eq.random_rotations(n, dtype=dtype), random(n, 3, dtype=dtype)
    eps = EPS[dtype] * (lmax + 1)
    agree(cuda.wigner_D(R, lmax), cpu.wigner_D(R, lmax), eps)
    grad = random(n * packed_size(lmax), dtype=dtype)
    agree(cuda.wigner_D_torque(R, grad, lmax), cpu.wigner_D_torque(R, grad, lmax), eps)
    agree(cuda.spherical_harmonics(xyz, lmax), cpu.spherical_harmonics(xyz, lmax), eps)
    grad = random(n, (lmax + 1) ** 2, dtype=dtype)
    agree(cuda.spherical_harmonics_torque(xyz, grad, lmax), cpu.spherical_harmonics_torque(xyz, grad, lmax), eps)


@on_host
@BOTH
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("own", [1, 21])
@pytest.mark.parametrize("irreps", ["1x1o", "3x2o+1x0e+2x1e", "5x8e", "64x3o"])
def test_rotate(dtype, layout, inverse, own, irreps):
    rep = eq.Representation.parse(irreps, layout=layout)
    R = eq.random_rotations(21, group="O3", dtype=dtype)
    x = random(own, 2, rep.components, dtype=dtype)
    agree(cuda.rotate(x, R, rep, inverse), cpu.rotate(x, R, rep, inverse), EPS[dtype])


@on_host
@BOTH
@pytest.mark.parametrize(("degree", "lmax"), [(4, 2), (8, 4), (9, 3), (16, 8)])
@pytest.mark.parametrize("channels", [0, 1, 19])
def test_power_of_whole_grids_and_of_parts(served, dtype, degree, lmax, channels):
    grid = eq.quadrature(degree)
    values = random(len(grid), channels, dtype=dtype) + 5
    expected = eq.character_power(values, grid, lmax)
    some, gammas = slice(3, grid.rings.shape[0] - 2), grid.gammas
    ring_values = values.reshape(2, grid.rings.shape[0], gammas, channels)[0, some]
    parts = []
    for kernels in (cpu, cuda):
        out = torch.zeros(packed_size(lmax), channels, dtype=dtype)
        center = random(channels, dtype=DOUBLE)
        kernels.project(ring_values, grid.rings[some], grid.ring_weights[some], lmax, center, out)
        back = kernels.synthesize(out, grid.rings[some], grid.ring_weights[some], gammas, lmax)
        parts.append((out, back))
    for found, wanted in zip(parts[1], parts[0], strict=True):
        agree(found, wanted, 10 * EPS[dtype])
    served()
    agree(eq.character_power(values, grid, lmax), expected, 10 * EPS[dtype])
    arbitrary = grid.rotations.to(dtype), grid.weights.to(dtype)
    agree(eq.character_power(values, arbitrary, lmax), expected, 10 * EPS[dtype])


@on_host
@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE, torch.bfloat16])
@pytest.mark.parametrize(("degree", "lmax", "group"), [(4, 2, "O3"), (9, 3, "SO3"), (16, 8, "O3"), (24, 11, "SO3")])
@pytest.mark.parametrize("turned", [False, True])
def test_power_and_moments_at_once(dtype, degree, lmax, group, turned):
    grid = eq.quadrature(degree, group=group)
    if turned:
        left, right = eq.random_rotations(2, generator=torch.Generator().manual_seed(2))
        grid = grid.turned(left, right)
    rule = grid.rings, grid.ring_weights
    asked = (*rule, grid.gammas, lmax, torch.device("cpu"))
    assert cpu.power_at_once(*asked) and cuda.power_at_once(*asked)
    values = (random(len(grid), 19, dtype=DOUBLE) + 3).to(dtype)
    values = values.reshape(grid.cosets, grid.rings.shape[0], grid.gammas, 19)
    center = random(19, dtype=DOUBLE) + 3
    found, wanted = (own.power_and_moments(values, *rule, lmax, center) for own in (cuda, cpu))
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == DOUBLE
        agree(a, b, 1e-13)
    # a device may have no samples, and then still has a result
    empty = cuda.power_and_moments(values[..., :0], *rule, lmax, center[:0])
    assert [tuple(x.shape) for x in empty] == [(lmax + 1, grid.cosets, 0), (2, 0)]


@on_host
def test_a_grid_without_structure_has_no_power_at_once():
    rings = eq.random_rotations(40)
    assert not cuda.power_at_once(rings, torch.full((40,), 1 / 40, dtype=DOUBLE), 1, 2, rings.device)


@on_host
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_samples_are_read_as_they_are(served, dtype):
    grid = eq.quadrature(8)
    values = random(len(grid), 6, dtype=dtype)
    expected = eq.character_power(values.to(SINGLE), grid, 4)
    served()
    agree(eq.character_power(values, grid, 4), expected, EPS[SINGLE])


@on_host
def test_gradients(served):
    grid = eq.quadrature(6)
    grads = []
    for kernels in (lambda: None, served):
        kernels()
        values = random(len(grid), 3, dtype=DOUBLE).requires_grad_()
        R = eq.random_rotations(4, generator=torch.Generator().manual_seed(1)).requires_grad_()
        x = random(4, 8, dtype=DOUBLE).requires_grad_()
        loss = eq.character_power(values, grid, 3).square().sum() + eq.rotate(x, R, "1x1o+1x2e").square().sum().sin()
        loss = loss + sum(D.sin().sum() for D in eq.wigner_D(R, 3)) + eq.spherical_harmonics(x[:, :3], 4).sin().sum()
        grads.append(torch.autograd.grad(loss, (values, R, x)))
    for found, wanted in zip(grads[1], grads[0], strict=True):
        agree(found, wanted, 1e-12)


@on_host
def test_an_audit_gives_the_same_numbers(served):
    def run():
        return eq.audit(
            demo.load_model(),
            list(zip(demo.names(), demo.load_molecules(), strict=True))[:2],
            inputs=demo.INPUTS,
            outputs=demo.REPRESENTATIONS,
            layers=demo.LAYERS,
            lmax=4,
            degree=8,
        )

    expected = run()
    served()
    found = run()
    for name, output in expected.outputs.items():
        assert found.outputs[name].rmse == pytest.approx(output.rmse, rel=1e-6)
    for name, layer in expected.layers.items():
        agree(found.layers[name].power, layer.power, 1e-7)


@on_host
def test_bad_values_are_nan_where_nothing_waits_and_refused_where_it_must(served):
    served()
    R = eq.random_rotations(3)
    R[1] = 2.0 * R[1]
    for part in eq.wigner_D(R, 2):
        assert part[1].isnan().all() and not part[[0, 2]].isnan().any()
    assert eq.rotate(random(3, 3, dtype=DOUBLE), R, "1x1o")[1].isnan().all()
    grid = eq.quadrature(4)
    rotations = grid.rotations.clone()
    rotations[7] *= 1.1
    with pytest.raises(ArgumentError, match="quadrature: expected orthogonal 3x3 matrices, got element 7"):
        eq.character_power(random(len(grid), 1, dtype=DOUBLE), (rotations, grid.weights), 2)


@pytest.mark.timeout(900)
@pytest.mark.skipif(ON_HOST, reason="runs the others")
def test_in_a_build_for_the_host(tmp_path):
    cmake = shutil.which("cmake")
    assert cmake is not None, "the test extra brings cmake"
    build, package = tmp_path / "build", tmp_path / "package" / "equiscope"
    shutil.copytree(SOURCE / "python" / "equiscope", package, ignore=shutil.ignore_patterns("_C.*", "__pycache__"))
    # the numbers are what is asked for, not the speed: -O1 and one instruction set compile in a third of the time
    options = [
        *("-DEQUISCOPE_CUDA=HOST", "-DEQUISCOPE_ISAS=baseline", "-DEQUISCOPE_OPTIMIZE=-O1"),
        *("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O1", "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF"),
        *(f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", f"-DPython_EXECUTABLE={sys.executable}"),
    ]
    for command in (
        [cmake, "-S", SOURCE, "-B", build, *options],
        [cmake, "--build", build, "--parallel", str(os.cpu_count() or 1)],
    ):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=280)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "warning" not in ran.stdout + ran.stderr
    (module,) = build.glob("_C.*")
    shutil.copy(module, package)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-q", "-p", "no:cacheprovider"],
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(re.search(r"(\d+) passed", ran.stdout).group(1)) > 50
