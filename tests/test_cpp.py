"""The C++ kernels under sanitizers, without Python in the process."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent


@pytest.mark.timeout(1500)
@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_core_is_clean(tmp_path, sanitizer):
    cmake, ctest = shutil.which("cmake"), shutil.which("ctest")
    assert cmake is not None and ctest is not None, "the test extra brings cmake"
    # what this machine cannot run would only be compiled
    isas = ";".join(filter(_supported, ("baseline", "avx2", "avx512")))
    options = [
        *("-DEQUISCOPE_PYTHON=OFF", "-DEQUISCOPE_TESTS=ON", "-DEQUISCOPE_WERROR=ON"),
        *(f"-DEQUISCOPE_SANITIZE={sanitizer}", f"-DEQUISCOPE_ISAS={isas}"),
    ]
    jobs = str(os.cpu_count() or 1)
    for command in (
        [cmake, "-S", str(SOURCE), "-B", str(tmp_path), *options],
        [cmake, "--build", str(tmp_path), "--parallel", jobs],
        [ctest, "--test-dir", str(tmp_path), "--output-on-failure", "--parallel", jobs],
    ):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "warning" not in ran.stdout + ran.stderr
    # the words differ between versions of ctest
    assert re.search(r"100% tests passed.* out of 3\b", ran.stdout), ran.stdout


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_each_instruction_set_gives_the_same_numbers(isa):
    import equiscope as eq

    if isa not in eq.info()["isas"] or not _supported(isa):
        pytest.skip(f"this machine has no {isa}")
    assert _digest(isa) == pytest.approx(_digest(eq.info()["isa"]), rel=1e-12)


def _supported(isa: str) -> bool:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return isa == "baseline" or {"avx2": "avx2", "avx512": "avx512bw"}[isa] in flags


def _digest(isa: str) -> list[float]:
    code = (
        "import torch, equiscope as eq\n"
        "g = torch.Generator().manual_seed(0)\n"
        "R = eq.random_rotations(37, generator=g)\n"
        "x = torch.randn(37, 3, generator=g, dtype=torch.float64)\n"
        "grid = eq.quadrature(6)\n"
        "v = torch.randn(len(grid), 21, generator=g, dtype=torch.float64)\n"
        "parts = [*eq.wigner_D(R, 9), eq.spherical_harmonics(x, 9), eq.character_power(v, grid, 3),\n"
        "         eq.rotate(x, R, '1x1o')]\n"
        "print([p.mul(torch.linspace(1, 2, p.numel(), dtype=p.dtype).reshape(p.shape)).sum().item() for p in parts])\n"
        "print(eq.info()['isa'])"
    )
    environment = {**os.environ, "EQUISCOPE_ISA": isa}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    numbers, used = ran.stdout.strip().splitlines()
    assert used == isa
    return [float(n) for n in numbers.strip("[]").split(",")]


def test_unknown_instruction_set_is_refused():
    ran = subprocess.run(
        [sys.executable, "-c", "import equiscope as eq; eq.wigner_D(eq.random_rotations(1), 1)"],
        capture_output=True,
        text=True,
        env={**os.environ, "EQUISCOPE_ISA": "avx1024"},
    )
    assert ran.returncode != 0
    assert "EQUISCOPE_ISA: expected one of baseline" in ran.stderr and "'avx1024'" in ran.stderr
