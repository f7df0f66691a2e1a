"""The C++ kernels under sanitizers, without Python in the process."""

import os
import re
import shutil
import subprocess
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
    assert re.search(r"100% tests passed.* out of 4\b", ran.stdout), ran.stdout


def _supported(isa: str) -> bool:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return isa == "baseline" or {"avx2": "avx2", "avx512": "avx512bw"}[isa] in flags
