"""The C++ library as others take it: installed, found by CMake from another tree, and linked by hand."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent
COMPILERS = {"GCC": "g++", "Clang": "clang++"}


def run(*command, **environment):
    command = [str(word) for word in command]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280, env={**os.environ, **environment})
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    assert "warning:" not in said
    return said


def tool(name):
    found = shutil.which(name)
    assert found is not None, "the test extra brings cmake and ninja"
    return found


def compiler(name):
    found = shutil.which(COMPILERS[name])
    if found is None:
        pytest.skip(f"no {COMPILERS[name]} here")
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A copy without optimisation and for one instruction set, which compiles in a quarter of a minute."""
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("installed")
    options = ["-DEQUISCOPE_PYTHON=OFF", "-DEQUISCOPE_CUDA=OFF", "-DEQUISCOPE_WERROR=ON", "-DEQUISCOPE_ISAS=baseline"]
    run(
        tool("cmake"),
        "-S",
        SOURCE,
        "-B",
        build,
        "-DEQUISCOPE_OPTIMIZE=-O0",
        *options,
        f"-DCMAKE_INSTALL_PREFIX={prefix}",
    )
    run(tool("cmake"), "--build", build, "--target", "install")
    return prefix


@pytest.mark.parametrize("name", COMPILERS)
def test_the_example_is_built_against_an_installed_copy_and_its_claims_hold(name, installed, tmp_path):
    options = [f"-DCMAKE_CXX_COMPILER={compiler(name)}", f"-DCMAKE_PREFIX_PATH={installed}"]
    options += ["-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror"]
    run(tool("cmake"), "-S", SOURCE / "examples" / "cpp", "-B", tmp_path, *options)
    run(tool("cmake"), "--build", tmp_path)
    said = run(tmp_path / "example", EQUISCOPE_ISA="")
    assert "FAIL" not in said and len(re.findall("^ok ", said, re.MULTILINE)) == 7
    assert said.startswith("instruction set: baseline")


def test_the_library_refuses_what_is_wrong_and_gives_what_is_known(installed, tmp_path):
    # linked by hand, as a build without CMake does
    program, library = tmp_path / "test_library", next(installed.glob("lib*/libequiscope_cpu.a")).parent
    run(
        *(
            os.environ.get("CXX", "c++"),
            "-std=c++17",
            "-O1",
            f"-I{installed / 'include'}",
            f"-I{SOURCE / 'tests' / 'cpp'}",
        ),
        *(SOURCE / "tests" / "cpp" / "test_library.cpp", "-o", program),
        *(f"-L{library}", "-lequiscope_cpu", "-lequiscope_grid", "-pthread"),
    )
    assert "0 failures" in run(program, EQUISCOPE_ISA="")


def test_another_version_is_not_taken(installed, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(other LANGUAGES CXX)\n"
        "find_package(equiscope 99.0 CONFIG QUIET)\n"
        "if(equiscope_FOUND)\n  message(FATAL_ERROR found)\nendif()\n"
        "find_package(equiscope REQUIRED CONFIG)\n"
        "if(NOT TARGET equiscope::headers OR NOT TARGET equiscope::cpu)\n  message(FATAL_ERROR targets)\nendif()\n"
    )
    run(tool("cmake"), "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={installed}")


def test_the_page_shows_the_files_as_they_are():
    page = (SOURCE / "docs" / "cpp.md").read_text()
    shown = re.findall(r"```cmake\n(.*?)```", page, re.DOTALL)
    written = (SOURCE / "examples" / "cpp" / "CMakeLists.txt").read_text()
    assert any(line in written for block in shown for line in block.splitlines() if "equiscope::cpu" in line)
    header = (SOURCE / "csrc" / "library" / "equiscope" / "equiscope.hpp").read_text()
    for name in re.findall(r"equiscope::(\w+)\(", page):
        assert re.search(rf"\b{name}\(", header), name
    for name in re.findall(r"\bEQUISCOPE_[A-Z]+\b", page):
        assert name in (SOURCE / "CMakeLists.txt").read_text() or name == "EQUISCOPE_ISA"


def test_an_example_of_the_page_compiles_and_says_what_it_says(installed, tmp_path):
    page = (SOURCE / "docs" / "cpp.md").read_text()
    (code,) = re.findall(r"```cpp\n(.*?)```", page, re.DOTALL)
    (tmp_path / "page.cpp").write_text(code)
    library = next(installed.glob("lib*/libequiscope_cpu.a")).parent
    run(
        *(os.environ.get("CXX", "c++"), "-std=c++17", f"-I{installed / 'include'}", tmp_path / "page.cpp"),
        *("-o", tmp_path / "page", f"-L{library}", "-lequiscope_cpu", "-lequiscope_grid", "-pthread"),
    )
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert run(tmp_path / "page") == shown
