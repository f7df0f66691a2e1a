"""What a build with CUDA depends on, how it is asked for, and what it says where there is no GPU."""

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import equiscope as eq
from equiscope import _C, cli
from equiscope.errors import DeviceError
from equiscope.ops import backend

SOURCE = Path(__file__).parent.parent
with_cuda = pytest.mark.skipif(not backend()["cuda"], reason="this build has no CUDA kernels")


def run(*command, **environment):
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


def tool(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"this machine has no {name}")
    return found


# ---- what the module depends on --------------------------------------------------------------------------------------

# c10 is the core of torch; libcuda, the driver, is opened by the static run time only when it is needed
FOREIGN = re.compile("torch|c10|cudart|cublas|libcuda|nvrtc")


def test_module_needs_neither_torch_nor_a_cuda_run_time():
    ran = run(tool("readelf"), "-d", _C.__file__)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", ran.stdout)
    assert any(name.startswith("libc.") for name in needed), ran.stdout + ran.stderr
    assert not [name for name in needed if FOREIGN.search(name)]
    assert "RPATH" not in ran.stdout and "RUNPATH" not in ran.stdout


def test_module_loads_nothing_of_them_indirectly():
    ran = run(tool("ldd"), _C.__file__)
    assert ran.returncode == 0 and "not found" not in ran.stdout, ran.stdout + ran.stderr
    assert not FOREIGN.search(re.sub(r"\(0x.*", "", ran.stdout.replace(_C.__file__, "")))


def test_module_has_no_undefined_symbols_of_theirs():
    ran = run(tool("nm"), "-D", "--undefined-only", _C.__file__)
    assert "PyModule" in ran.stdout, ran.stdout + ran.stderr
    foreign = re.findall(r"^.*(?:c10|torch|_ZN2at|THP|cuda[A-Z]|__cuda|\bcu[A-Z]).*$", ran.stdout, re.MULTILINE)
    assert not foreign


# ---- how it is asked for ---------------------------------------------------------------------------------------------


def configure(where, *options, **environment):
    """Exit status and output, on one line, of a configuration of the source tree."""
    given = ("-S", SOURCE, "-B", where, f"-DPython_EXECUTABLE={sys.executable}", *options)
    ran = run(tool("cmake"), *given, **environment)
    return ran.returncode, " ".join((ran.stdout + ran.stderr).split())


def test_a_build_without_cuda_looks_for_no_compiler_of_it(tmp_path):
    if importlib.util.find_spec("pybind11") is None:
        pytest.skip("this environment has no pybind11")
    import pybind11

    code, said = configure(tmp_path, "-DEQUISCOPE_CUDA=OFF", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}")
    assert code == 0, said
    assert "CUDA compiler" not in said
    assert "CMAKE_CUDA_COMPILER" not in (tmp_path / "CMakeCache.txt").read_text()


def test_cuda_that_is_asked_for_without_a_compiler_is_refused(tmp_path):
    code, said = configure(tmp_path, "-DEQUISCOPE_CUDA=ON", CUDACXX="/nonexistent")
    assert code != 0
    assert "EQUISCOPE_CUDA=ON: expected a CUDA compiler (nvcc on PATH or CUDACXX), got none" in said


def test_an_option_that_is_no_answer_is_refused(tmp_path):
    code, said = configure(tmp_path, "-DEQUISCOPE_CUDA=perhaps")
    assert code != 0
    assert "EQUISCOPE_CUDA: expected AUTO, ON, OFF or HOST, got perhaps" in said


@pytest.mark.slow
def test_kernels_compile_without_a_warning_for_every_architecture(tmp_path):
    import pybind11

    tool("nvcc")
    options = ("-DEQUISCOPE_CUDA=ON", "-DEQUISCOPE_WERROR=ON", "-DCMAKE_BUILD_TYPE=Release")
    code, said = configure(tmp_path, *options, f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", CUDAARCHS="")
    assert code == 0, said
    build = (tool("cmake"), "--build", tmp_path, "--target", "equiscope_cuda", "--parallel", "2")
    built = subprocess.run(list(map(str, build)), capture_output=True, text=True, check=False, timeout=1800)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]


# ---- what it says ----------------------------------------------------------------------------------------------------


def driver_is_there():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@with_cuda
def test_without_a_driver_the_error_names_it():
    if driver_is_there():
        pytest.skip("this machine has a CUDA driver")
    with pytest.raises(RuntimeError, match=r"device: expected a driver for CUDA \d+\.\d+ or newer.* got none"):
        _C.device_info(0)
    from equiscope.kernels import cuda

    with pytest.raises(DeviceError, match="driver"):
        cuda.device_info(0)


@with_cuda
def test_backend_names_toolkit_and_architectures():
    found = backend()
    assert re.fullmatch(r"\d+\.\d+", found["toolkit"])
    assert re.fullmatch(r"\d+\.\d(, \d+\.\d)*", found["architectures"])


def test_info_says_whether_cuda_is_active(monkeypatch, capsys):
    expected = eq.info()["cuda"]
    active = torch.cuda.is_available() and backend()["cuda"]
    assert expected.startswith("yes: " if active else "no: ")
    if not active:
        assert ("no CUDA device" in expected) == (not torch.cuda.is_available())
    monkeypatch.setattr(sys, "argv", ["equiscope", "info"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert re.search(rf"^cuda +{re.escape(expected)}$", capsys.readouterr().out, re.MULTILINE)


# ---- the GPU tests themselves ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_gpu_tests_run_on_the_cpu():
    # compilation and second derivatives are those of test_derivatives there
    chosen = "not compiles and not rules and not second"
    ran = run(
        *(sys.executable, "-m", "pytest", SOURCE / "tests" / "test_cuda.py", "-q", "-m", "gpu", "-k", chosen),
        *("-p", "no:cacheprovider"),
        EQUISCOPE_TEST_DEVICE="cpu",
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(re.search(r"(\d+) passed", ran.stdout).group(1)) > 200
