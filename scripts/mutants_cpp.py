"""Plants faults in the C++ sources, one by one, and counts those that no test sees.

    python scripts/mutants_cpp.py --build DIR [--only NAME ...] [--jobs 1]

A fault is a replacement of text, by hand, from mutants_cpp.json, where those that change nothing are marked with the
reason. Each is built in a copy of the tree, in DIR, and runs first against the tests that aim at it, then against all
that concern csrc. Prints the share killed and what survived; exit status 1 where it is below 90 %.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants import ROOT, Copy, report

TESTS = [
    *("test_seams.py", "test_harmonics.py", "test_projection.py", "test_rotate.py", "test_bindings.py"),
    *("test_wigner.py", "test_threads.py"),
]
"""What concerns csrc, the quick ones first, as a run ends at the first failure."""


class Run(Copy):
    """A copy of the package, and tests against it with one module after the other."""

    def tests(self, names: list[str], limit: float | None) -> tuple[bool, float]:
        """Whether they pass, and how long they took."""
        present = [str(ROOT / "tests" / name) for name in names if (ROOT / "tests" / name.split("::")[0]).exists()]
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *present]
        # threads of torch that wait for one another gain nothing on small matrices
        own = {"PYTHONPATH": str(self.place), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        surroundings = {**os.environ, **own}
        began = time.perf_counter()
        try:
            ran = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, timeout=limit, check=False)
            passed = ran.returncode == 0
        except subprocess.TimeoutExpired:
            passed = False
        return passed, time.perf_counter() - began

    def install(self, module: Path) -> None:
        for old in self.package.glob("_C*.so"):
            old.unlink()
        shutil.copy(module, self.package)


class Tree:
    """A copy of the sources in C++, configured once; each fault is built in it."""

    def __init__(self, place: Path) -> None:
        self.root, self.made, self.modules = place / "tree", place / "made", place / "modules"
        self.faulty: list[Path] = []
        """Objects with the last fault in them, which look up to date."""
        for old in (self.root, self.made, self.modules):  # objects with a fault in them would look up to date
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(ROOT, self.root, ignore=shutil.ignore_patterns(".git", "build", "tests", "__pycache__", "*.so"))
        lists = self.root / "CMakeLists.txt"
        text = lists.read_text().replace("set(EQUISCOPE_OPTIMIZE -O3)", "set(EQUISCOPE_OPTIMIZE -O1)")
        # one set of kernels, which takes half as long: the widest but one, where this machine has it
        processor = Path("/proc/cpuinfo")
        if processor.exists() and " avx2 " in processor.read_text():
            text = text.replace("add_instruction_set(baseline 2)", "add_instruction_set(baseline 4 -mavx2 -mfma)")
        lists.write_text(text)
        import pybind11

        options = [
            *("-DEQUISCOPE_CUDA=OFF", "-DEQUISCOPE_ISAS=baseline", "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF"),
            *("-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"),
            f"-DPython_EXECUTABLE={sys.executable}",
        ]
        configure = ["cmake", "-G", "Ninja", "-S", self.root, "-B", self.made, *options]
        subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)

    def _objects(self, name: str) -> list[Path]:
        return list(self.made.rglob(f"{name}.cpp.o"))

    def module(self, fault: dict[str, str] | None, jobs: int) -> tuple[Path, float]:
        """The module with that fault in it, and how long it took."""
        began = time.perf_counter()
        name = fault["name"] if fault else "none"
        path = self.root / fault["file"] if fault else self.root / "CMakeLists.txt"
        before, status = path.read_text(), path.stat()
        for made in self.faulty:
            made.unlink(missing_ok=True)
        self.faulty = []
        if fault:
            if (count := before.count(fault["find"])) != 1:
                raise ValueError(f"{name}: {fault['find']!r} is {count} times in {fault['file']}, not once")
            path.write_text(before.replace(fault["find"], fault["put"]))
            # headers of the mathematics reach the bindings, which take none of it: only what does is made again
            if fault["file"].startswith("csrc/include/") and not fault["file"].endswith("rotation.hpp"):
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
                kinds = ("kernels", "tensors", "ring_plan", "tables")
                self.faulty = [own for kind in kinds for own in self._objects(kind)]
                for made in self.faulty:
                    made.unlink()
        try:
            command = ["cmake", "--build", self.made, "--target", "_C", "-j", str(jobs)]
            ran = subprocess.run(command, check=False, capture_output=True, text=True)
        finally:
            if fault:
                path.write_text(before)
                if self.faulty:
                    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        if ran.returncode:
            raise ValueError(f"{name}: does not compile\n{ran.stdout[-3000:]}")
        (found,) = self.made.glob("_C*.so")
        kept = self.modules / name.replace(" ", "_").replace("/", "_") / found.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, kept)
        return kept, time.perf_counter() - began


def run_cpp(build: Path, only: list[str], jobs: int) -> bool:
    listed = json.loads(Path(__file__).with_name("mutants_cpp.json").read_text())
    if unknown := set(only) - {own["name"] for own in listed}:
        raise ValueError(f"expected names of mutants_cpp.json, got {', '.join(sorted(unknown))}")
    chosen = [own for own in listed if (own["name"] in only if only else "equivalent" not in own)]
    tree, survivors = Tree(build), []
    # while one is tested the next one is built
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(1) as builder:
        modules = [builder.submit(tree.module, own, jobs) for own in [None, *chosen]]
        try:
            run = Run(Path(place))
            run.install(modules[0].result()[0])
            passed, seconds = run.tests(TESTS, None)
            if not passed:
                raise ValueError("csrc: the tests fail without any fault")
            print(f"unchanged: {seconds:.0f} s of tests", flush=True)
            for own, module in zip(chosen, modules[1:], strict=True):
                path, built = module.result()
                run.install(path)
                # first those that aim at it alone: to collect all of them takes longer than to run a few
                passed, tested = run.tests(own["tests"], 3 * seconds + 60)
                if passed:
                    passed, further = run.tests(TESTS, 3 * seconds + 60)
                    tested += further
                word = "survived" if passed else "killed  "
                print(f"{word}  {own['name']}  ({built:.0f} s to build, {tested:.0f} s of tests)", flush=True)
                survivors += [own["name"]] if passed else []
        except ValueError as error:
            sys.exit(str(error))
        finally:
            for module in modules:
                module.cancel()
    return report("csrc", len(chosen), survivors, len(listed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[], metavar="name", help="those alone, equivalent ones too")
    parser.add_argument("--jobs", type=int, default=1, help="of a build")
    asked = parser.parse_args()
    return 0 if run_cpp(asked.build, asked.only, asked.jobs) else 1


if __name__ == "__main__":
    sys.exit(main())
