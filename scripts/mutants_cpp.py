"""Plants faults and counts those that no test sees.

    python scripts/mutants.py python [measure|probe|result ...] [--sample 20] [--seed 0]
    python scripts/mutants.py cpp --build DIR [--only NAME ...]

A fault in Python is one change of a syntax tree, drawn with a seed from all that a folder has: comparisons, arithmetic,
constants, conditions, signs, returns, statements left out. It runs in a copy of the package, against the tests that
concern its folder, and counts as killed where one fails or does not end in time. A fault in C++ is a replacement of
text, by hand, from mutants_cpp.json; each is built in a copy of the tree, in DIR, which is configured once. Prints
the share killed in each folder and what survived; exit status 1 where a share is below 90 %.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "equiscope"
WANTED = 0.9

TESTS = {
    "measure": [
        *("test_accounts.py", "test_metrics.py", "test_audit_sectors.py", "test_monte_carlo.py"),
        *("test_audit_groups.py", "test_hostile.py", "test_audit_refuses.py", "test_report_findings.py"),
    ],
    "probe": [
        *("test_accounts.py", "test_hooks.py", "test_audit_layers.py", "test_batch_rows.py", "test_max_memory.py"),
        *("test_audit_sectors.py", "test_in_use.py", "test_audit_refuses.py", "test_monte_carlo.py"),
    ],
    "result": [
        *("test_report_files.py", "test_report_findings.py", "test_report_views.py", "test_accounts.py"),
        *("test_audit_sectors.py", "test_report_groups.py"),
    ],
    "csrc": [
        *("test_seams.py", "test_harmonics.py", "test_projection.py", "test_rotate.py", "test_bindings.py"),
        *("test_wigner.py", "test_threads.py"),
    ],
}
"""What concerns a folder, the quick ones first, as a run ends at the first failure; files that are not there are left
out."""

SWAPPED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.MatMult: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    path: Path
    """Below the root of the tree."""
    line: int
    what: str
    text: str
    """The whole file with the fault in it."""
    tests: tuple[str, ...] = ()
    """Further tests, by file."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def faults_of(path: Path) -> Iterator[Callable[[], Fault]]:
    """All faults of a file, each made when it is called."""
    source = path.read_text()
    for index in range(len(list(_places(ast.parse(source))))):

        def make(index: int = index) -> Fault:
            tree = ast.parse(source)
            node, change = list(_places(tree))[index]
            before = ast.unparse(node)
            after = change()
            what = f"{_short(before)}  ->  {_short(after)}"
            return Fault(path.relative_to(ROOT), node.lineno, what, ast.unparse(ast.fix_missing_locations(tree)))

        yield make


def _short(text: str) -> str:
    return text.splitlines()[0][:90] if text else "nothing"


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, Callable[[], str]]]:
    """Nodes that can be changed, each with what changes it in place and says what it is now."""
    for parent in _code(tree):
        yield from _in_expression(parent)
        yield from _in_statement(parent)


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run: no annotations, decorators, docstrings or text of messages."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.Raise | ast.Assert) or _is_refusal(child) or _is_text(child):
                continue
            yield from _code(child)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_refusal(node: ast.AST) -> bool:
    """``fail(...)``: its words are no behaviour, and without it the condition above it is what counts."""
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "fail"


def _in_expression(node: ast.AST) -> Iterator[tuple[ast.AST, Callable[[], str]]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:

        def compare() -> str:
            node.ops[0] = SWAPPED[type(node.ops[0])]()
            return ast.unparse(node)

        yield node, compare
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPPED:

        def operate() -> str:
            node.op = SWAPPED[type(node.op)]()
            return ast.unparse(node)

        yield node, operate
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):

        def constant() -> str:
            old = node.value
            node.value = (not old) if isinstance(old, bool) else old + 1 if isinstance(old, int) else 2.0 * old + 0.5
            return ast.unparse(node)

        yield node, constant
    if isinstance(node, ast.IfExp | ast.If | ast.While):

        def negate() -> str:
            node.test = ast.UnaryOp(ast.Not(), node.test)
            return ast.unparse(node.test)

        yield node, negate


def _in_statement(node: ast.AST) -> Iterator[tuple[ast.AST, Callable[[], str]]]:
    if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):

        def give_nothing() -> str:
            node.value = ast.Constant(None)
            return ast.unparse(node)

        yield node, give_nothing
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        for i, own in enumerate(block if isinstance(block, list) else ()):
            if isinstance(own, ast.Expr | ast.AugAssign) and not _is_text(own) and not _is_refusal(own):

                def leave_out(block: list[ast.stmt] = block, i: int = i) -> str:
                    block[i] = ast.Pass()
                    return "pass"

                yield own, leave_out


class Run:
    """A copy of the package, and tests against it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.package = place / "equiscope"
        # what is no source is large and never changed
        shutil.copytree(PACKAGE, self.package, copy_function=self._copy, ignore=shutil.ignore_patterns("__pycache__"))

    @staticmethod
    def _copy(source: str, target: str) -> None:
        if source.endswith(".py"):
            shutil.copy(source, target)
        else:
            os.symlink(source, target)

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

    def survives(self, fault: Fault, names: list[str], limit: float) -> bool:
        target = self.place / fault.path.relative_to("python")
        before = target.read_text()
        target.write_text(fault.text)
        try:
            return self.tests(names, limit)[0]
        finally:
            target.write_text(before)


def run_python(folders: list[str], sample: int, seed: int, minutes: float, tests: list[str]) -> bool:
    enough = True
    end = time.perf_counter() + 60 * minutes
    with tempfile.TemporaryDirectory() as place:
        run = Run(Path(place))
        for folder in folders:
            names = tests or TESTS[folder]
            passed, seconds = run.tests(names, None)
            if not passed:
                sys.exit(f"{folder}: the tests fail without any fault")
            found = [make for path in sorted((PACKAGE / folder).rglob("*.py")) for make in faults_of(path)]
            chosen = random.Random(seed).sample(found, min(sample, len(found)))
            survivors, tried = [], 0
            for make in chosen:
                if time.perf_counter() > end:
                    break
                fault, tried = make(), tried + 1
                if run.survives(fault, names, 3 * seconds + 60):
                    survivors.append(fault)
                    print(f"survived  {fault}", flush=True)
                else:
                    print(f"killed    {fault}", flush=True)
            enough &= _report(folder, tried, [str(fault) for fault in survivors], len(found))
    return enough


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
                self.faulty = [own for kind in ("kernels", "ring_plan", "tables") for own in self._objects(kind)]
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
            passed, seconds = run.tests(TESTS["csrc"], None)
            if not passed:
                raise ValueError("csrc: the tests fail without any fault")
            print(f"unchanged: {seconds:.0f} s of tests", flush=True)
            for own, module in zip(chosen, modules[1:], strict=True):
                path, built = module.result()
                run.install(path)
                # first those that aim at it alone: to collect all of them takes longer than to run a few
                passed, tested = run.tests(own["tests"], 3 * seconds + 60)
                if passed:
                    passed, further = run.tests(TESTS["csrc"], 3 * seconds + 60)
                    tested += further
                word = "survived" if passed else "killed  "
                print(f"{word}  {own['name']}  ({built:.0f} s to build, {tested:.0f} s of tests)", flush=True)
                survivors += [own["name"]] if passed else []
        except ValueError as error:
            sys.exit(str(error))
        finally:
            for module in modules:
                module.cancel()
    return _report("csrc", len(chosen), survivors, len(listed))


def _report(folder: str, tried: int, survivors: list[str], known: int) -> bool:
    share = 1 - len(survivors) / tried if tried else 0.0
    print(f"{folder}: {tried - len(survivors)} of {tried} killed ({share:.0%}), of {known} known")
    for survivor in survivors:
        print(f"    {survivor}")
    return share >= WANTED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    python = parts.add_parser("python")
    python.add_argument("folders", nargs="*", metavar="folder")
    python.add_argument("--sample", type=int, default=20, help="faults of each folder")
    python.add_argument("--seed", type=int, default=0)
    python.add_argument("--minutes", type=float, default=1e9, help="no further fault is planted after that long")
    python.add_argument("--tests", nargs="*", default=[], help="files in place of those that concern the folder")
    cpp = parts.add_parser("cpp")
    cpp.add_argument("--build", type=Path, required=True)
    cpp.add_argument("--only", nargs="*", default=[], metavar="name", help="those alone, equivalent ones too")
    cpp.add_argument("--jobs", type=int, default=1, help="of a build")
    asked = parser.parse_args()
    if asked.part == "cpp":
        return 0 if run_cpp(asked.build, asked.only, asked.jobs) else 1
    folders = asked.folders or ["measure", "probe", "result"]
    if unknown := set(folders) - set(TESTS):
        parser.error(f"expected folders among {', '.join(TESTS)}, got {', '.join(sorted(unknown))}")
    return 0 if run_python(folders, asked.sample, asked.seed, asked.minutes, asked.tests) else 1


if __name__ == "__main__":
    sys.exit(main())
