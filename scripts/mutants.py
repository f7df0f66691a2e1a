"""Plants faults and counts those that no test sees.

    python scripts/mutants.py [measure|probe|result ...] [--sample 20] [--seed 0]

A fault is one change of a syntax tree, drawn with a seed from all that a folder has: comparisons, arithmetic,
constants, conditions, signs, returns, statements left out. It runs in a copy of the package, in a fork, against the
tests that concern its file, and counts as killed where one fails or does not end in time. Prints the share killed in
each folder and what survived; exit status 1 where a share is below 90 %. Faults in C++: mutants_cpp.py.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "equiscope"
WANTED = 0.9

TESTS: dict[str, dict[str, str]] = {
    "measure": {
        "against.py": "targets",
        "convergence.py": "monte_carlo",
        "directions.py": "worst",
        "elements.py": "monte_carlo",
        "estimators": "refine audit_sectors monte_carlo errors",
        "finite.py": "hostile accounts",
        "measure.py": "extending audit_sectors monte_carlo refine",
        "on_grid.py": "errors audit_sectors accounts audit_groups",
        "orbit.py": "accounts audit_sectors verdict hostile metrics",
        "quantities": "accounts audit_sectors verdict metrics",
        "quantity.py": "accounts audit_sectors metrics",
        "sampled.py": "monte_carlo verdict",
        "settling.py": "refine errors audit_sectors",
        "stored.py": "groups audit_groups accounts verdict",
        "sums.py": "accounts audit_sectors errors",
        "summary.py": "groups accounts verdict audit_sectors errors monte_carlo",
        "uncertainty.py": "errors refine audit_sectors",
        "values.py": "refused_in_words metrics",
    },
    "probe": {
        "apart.py": "rehearsal",
        "arithmetic.py": "floor kinds adapters scale",
        "batch.py": "batch_rows",
        "board.py": "split",
        "book.py": "scale accounts interrupts",
        "collect.py": "audit_sectors accounts refine hostile rehearsal audit_layers monte_carlo",
        "calls.py": "hooks audit_layers",
        "copies.py": "rehearsal floor max_memory scale",
        "crosstalk.py": "rehearsal floor hooks",
        "declared.py": "hooks audit_layers",
        "dependence.py": "dependence unturned masks",
        "drive.py": "accounts failures rehearsal batch_rows audit_layers max_memory",
        "eager.py": "hooks",
        "entry.py": "scale",
        "evaluate.py": "accounts rehearsal hooks audit_layers",
        "helpers.py": "split",
        "hooks.py": "hooks in_use audit_layers rehearsal",
        "layers.py": "rehearsal hooks audit_layers masks",
        "leaves.py": "hooks audit_layers",
        "left.py": "left_out masks audit_layers",
        "logs.py": "scale",
        "masks.py": "masks audit_layers",
        "memory.py": "max_memory",
        "names.py": "hooks audit_layers",
        "noise.py": "floor rehearsal",
        "onlooker.py": "worst",
        "orbits.py": "orbits audit_layers errors",
        "outcome.py": "accounts refine scale audit_layers",
        "parcel.py": "split",
        "pooled.py": "accounts audit_sectors audit_layers errors scale",
        "precision.py": "floor kinds",
        "refine.py": "refine monte_carlo scale",
        "rehearsal.py": "rehearsal floor hooks",
        "run.py": "scale",
        "session.py": "accounts refine rehearsal audit_layers monte_carlo audit_groups in_use",
        "stacked.py": "stacked rehearsal",
        "units.py": "scale refine",
        "witness.py": "diagnose",
    },
    "result": {
        "carrier.py": "report_findings assert_equivariant",
        "comparison.py": "compare",
        "data.py": "verdict report_findings accounts report_files",
        "encode.py": "report_files",
        "files.py": "report_files",
        "floor.py": "verdict report_findings words",
        "judge.py": "verdict words assert_equivariant",
        "limits.py": "limits cli",
        "log.py": "scale",
        "paired.py": "compare",
        "place.py": "report_files",
        "rows.py": "scale",
        "scene.py": "worst",
        "target.py": "targets",
        "verdict.py": "verdict report_findings words assert_equivariant",
    },
}
"""What concerns a file or folder below a folder of the package, by the names of test files without ``test_``: the quick
and decisive ones first, as a run ends at the first failure."""

COSTLY = (
    *("test_monte_carlo.py::test_every_estimate_is_unbiased", "test_monte_carlo.py::test_report_says"),
    *("test_metrics.py::test_two_processes_give_the_numbers_of_one", "test_audit_groups.py::test_a_report_on"),
    *(
        "test_audit_groups.py::test_a_group_of_a_stranger_audits_the_demo_model",
        "test_report_files.py::test_readers_beside",
    ),
    *("test_report_files.py::test_all_files", "test_report_files.py::test_saving_twice"),
    *("test_batch_rows.py::test_the_choice_is_reported", "test_audit_groups.py::test_a_picture_of_a_stranger"),
    *("test_refine.py::test_the_demo_costs", "test_refine.py::test_the_order_of_the_molecules"),
    *("test_in_use.py::test_four_threads", "test_in_use.py::test_the_child_of_a_fork"),
)
"""Tests by the beginning of their names that take seconds, and see little that others do not."""

PRELOADED = ("pytest", "torch", "torchmetrics", "scipy.special", "safetensors.torch", "typer", "matplotlib.figure")
"""Imported once, before tests are run in forks."""

LIMIT = 240.0
"""Seconds after which tests of a fault in Python count as hung."""

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "measure/orbit.py",
        "return max(1, SLICE_BYTES.get(first.device.type, 0) // max(1, 8 * first.numel()))",
        "1  ->  2",
    ): "slices of two copies where one would do: the same sums",
    (
        "probe/layers.py",
        "one_row = part.shape[1] == 1 and part.ndim > 2",
        "2  ->  3",
    ): "one row of one axis: its leading 1 says nothing to the checks of a declaration",
    (
        "probe/parcel.py",
        "content = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8) if size else torch.empty(0)",
        "False  ->  True",
    ): "whoever writes into what is mapped writes into a file without a name",
    (
        "result/place.py",
        "if time.time() - (directory / name).stat().st_mtime > ABANDONED:",
        "time.time() - (directory / name).stat().st_mtime > ABANDONED  ->  "
        "time.time() - (directory / name).stat().st_mtime >= ABANDONED",
    ): "a file that is a day old to the bit of a clock",
}
"""Faults that change nothing that can be seen, with the reason: drawn, and not counted. By file, line as it is, and
what is changed in it ("any": whatever it is)."""

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
    code: str
    """The line as it is."""

    @property
    def is_equivalent(self) -> bool:
        """Whether it is one of `EQUIVALENT`."""
        file = self.path.relative_to(PACKAGE.relative_to(ROOT)).as_posix()
        return any((file, self.code, what) in EQUIVALENT for what in (self.what, "any"))

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
            code = source.splitlines()[node.lineno - 1].strip()
            text = ast.unparse(ast.fix_missing_locations(tree))
            return Fault(path.relative_to(ROOT), node.lineno, what, text, code)

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


class Copy:
    """A copy of the package."""

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


class Run(Copy):
    """A copy of the package, and tests against it."""

    def tests(self, names: Iterable[str], limit: float) -> bool:
        """Whether they pass; files that are not there are left out."""
        paths = [ROOT / "tests" / f"test_{name}.py" for name in names]
        options = ["-q", "-x", "-p", "no:cacheprovider"]
        options += [f"--deselect=tests/{name}" for name in COSTLY]
        options += [str(path) for path in paths if path.exists()]
        began = time.perf_counter()
        child = os.fork()
        if child == 0:
            self._become(options)
        while time.perf_counter() < began + limit:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def _become(self, options: list[str]) -> NoReturn:
        """In a fork, which has torch and all else imported that is never changed: a process that runs tests."""
        status = 1
        try:
            os.setsid()
            os.chdir(ROOT)
            with open(os.devnull, "r+b") as nowhere:
                for stream in range(3):
                    os.dup2(nowhere.fileno(), stream)
            os.environ.update(PYTHONPATH=str(self.place), PYTHONDONTWRITEBYTECODE="1")
            sys.dont_write_bytecode = True
            sys.path.insert(0, str(self.place))
            import pytest

            status = int(pytest.main(options))
            own = sys.modules.get("equiscope")
            if own is not None and not str(own.__file__).startswith(str(self.place)):
                status = 1
        finally:
            os._exit(status)

    def survives(self, fault: Fault, names: Iterable[str]) -> bool:
        target = self.place / fault.path.relative_to("python")
        before = target.read_text()
        target.write_text(fault.text)
        try:
            return self.tests(names, LIMIT)
        finally:
            target.write_text(before)


def concerning(path: Path) -> list[str]:
    """The tests of a file of the package, `path` from the root of the tree."""
    folder, name = path.relative_to(PACKAGE.relative_to(ROOT)).parts[:2]
    return TESTS[folder].get(name, "").split()


def run_python(folders: list[str], sample: int, seed: int, tests: list[str], *, checked: bool) -> bool:
    enough = True
    for name in PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as place:
        run = Run(Path(place))
        for folder in folders:
            found = [make for path in sorted((PACKAGE / folder).rglob("*.py")) for make in faults_of(path)]
            drawn = [make() for make in random.Random(seed).sample(found, min(sample, len(found)))]
            chosen = [fault for fault in drawn if not fault.is_equivalent]
            every = dict.fromkeys(name for fault in chosen for name in tests or concerning(fault.path))
            if checked and not run.tests(every, 10 * LIMIT):
                sys.exit(f"{folder}: the tests fail without any fault")
            survivors = []
            for fault in chosen:
                began = time.perf_counter()
                survived = run.survives(fault, tests or concerning(fault.path))
                survivors += [str(fault)] if survived else []
                took = time.perf_counter() - began
                print(f"{'survived' if survived else 'killed  '} {took:4.0f} s  {fault}", flush=True)
            print(f"{folder}: {len(drawn) - len(chosen)} drawn that change nothing")
            enough &= report(folder, len(chosen), survivors, len(found))
    return enough


def report(folder: str, tried: int, survivors: list[str], known: int) -> bool:
    share = 1 - len(survivors) / tried if tried else 0.0
    print(f"{folder}: {tried - len(survivors)} of {tried} killed ({share:.0%}), of {known} known")
    for survivor in survivors:
        print(f"    {survivor}")
    return share >= WANTED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", metavar="folder")
    parser.add_argument("--sample", type=int, default=20, help="faults of each folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="*", default=[], help="names in place of those that concern the file")
    parser.add_argument("--unchecked", action="store_true", help="do not see first whether the tests pass")
    asked = parser.parse_args()
    folders = asked.folders or ["measure", "probe", "result"]
    if unknown := set(folders) - set(TESTS):
        parser.error(f"expected folders among {', '.join(TESTS)}, got {', '.join(sorted(unknown))}")
    return 0 if run_python(folders, asked.sample, asked.seed, asked.tests, checked=not asked.unchecked) else 1


if __name__ == "__main__":
    sys.exit(main())
