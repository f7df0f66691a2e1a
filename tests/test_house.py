"""The house: who may import whom, read from the imports themselves; nothing here imports the package."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent / "python"
PACKAGE = "equiscope"

LEVELS = (
    ("errors",),
    ("tolerance", "progress", "inuse", "patterns", "version", "interrupts", "terminal", "fingerprint", "ranks"),
    ("citation", "arrays"),
    ("groups",),
    ("kernels",),
    ("ops", "numpy"),
    ("result", "adapters", "dropin"),
    ("measure",),
    ("probe",),
    ("report", "metrics"),
    ("demo", "info", "settings"),
    ("task",),
    ("audit", "symmetrize", "compare"),
    ("testing", "training", "diagnose"),
    ("cli", "plugin"),
    ("__main__",),
)
"""Rooms (folders and files at the top), lowest first. A file imports from its own room and from lower levels; rooms on
one level do not see each other."""

NEVER = {
    "measure": {"adapters"},
    "report": {"kernels", "ops", "adapters", "measure", "probe"},
    "metrics": {"adapters", "probe"},
    "result": {"kernels", "ops"},
    "demo": set("groups kernels ops result adapters measure probe report metrics".split()),
}
"""What stands lower and is still none of a room's business."""

DOORS = {"__init__": "the public names", "cli": "which calls what a user calls"}
"""`equiscope/__init__.py` imports from every room, and only the command line imports it."""

CALL_KERNELS = {"kernels", "ops", "numpy", "info"}
LONGEST = 60


class Import(NamedTuple):
    """One import statement, and the file of the package that it reads."""

    file: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


@cache
def files() -> dict[str, ast.Module]:
    """Every file of the package, as "ops/rotation.py", with its syntax tree."""
    paths = sorted((ROOT / PACKAGE).rglob("*.py"))
    assert len(paths) > 50
    return {str(path.relative_to(ROOT / PACKAGE)): ast.parse(path.read_text()) for path in paths}


def room(file: str) -> str:
    """The folder at the top that holds a file, or the file itself."""
    return file.split("/")[0].removesuffix(".py")


def file_of(module: tuple[str, ...]) -> str | None:
    """("ops", "rotation") as "ops/rotation.py", a folder as its `__init__`; None: no file of the package."""
    name = "/".join(module)
    for candidate in (f"{name}.py", f"{name}/__init__.py" if name else "__init__.py"):
        if candidate in files():
            return candidate
    return None


def for_types_alone(node: ast.stmt) -> bool:
    """Whether a statement is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that may run, in functions too, but not what is read by type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and for_types_alone(child):
            for other in child.orelse:
                yield other
                yield from statements(other)
            continue
        yield child
        yield from statements(child)


def modules_read(file: str, node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Modules of the package that one statement imports, as paths below it, compiled ones too."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first, *rest = alias.name.split(".")
            if first == PACKAGE:
                yield tuple(rest)
    elif isinstance(node, ast.ImportFrom):
        base = tuple(node.module.split(".")) if node.module else ()
        if node.level:
            # a module and the __init__ of a folder both count from the folder
            folder = tuple(file.split("/")[:-1])
            base = folder[: len(folder) - node.level + 1] + base
        elif base[0] == PACKAGE:
            base = base[1:]
        else:
            return
        for alias in node.names:
            within = (*base, alias.name)
            # what is imported from a module may be a module itself
            yield within if file_of(within) or alias.name == "_C" else base


def modules_read_later(file: str, tree: ast.Module) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and module of what is imported at first use, ``import_module(f".{name}", __name__)``: all strings that name
    a file."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if not any(ast.unparse(call.func).endswith("import_module") and "__name__" in ast.unparse(call) for call in calls):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip("."):
            level = 1 + len(node.value) - len(node.value.lstrip("."))
            statement = ast.ImportFrom(node.value.strip("."), [ast.alias("_")], level)
            for module in modules_read(file, statement):
                yield node.lineno, module


@cache
def imports() -> tuple[Import, ...]:
    """All imports of files of the package by files of the package, late ones and lazy ones included."""
    found = set()
    for file, tree in files().items():
        read = [(node.lineno, module) for node in statements(tree) for module in modules_read(file, node)]
        for line, module in (*read, *modules_read_later(file, tree)):
            target = file_of(module)
            if target is not None and target != file:
                found.add(Import(file, line, target))
    return tuple(sorted(found))


@cache
def compiled_imports() -> tuple[tuple[str, int], ...]:
    """File and line of each import of the compiled module."""
    return tuple(
        (file, node.lineno)
        for file, tree in files().items()
        for node in statements(tree)
        for module in modules_read(file, node)
        if module[-1:] == ("_C",)
    )


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Files that import each other in a circle, the first one again at the end; empty if there is none."""
    try:
        TopologicalSorter({file: sorted(targets) for file, targets in graph.items()}).prepare()
    except CycleError as error:
        # each node is a predecessor of the one before it
        return list(reversed(error.args[1]))
    return []


def listed(offenders: list[str]) -> str:
    return "\n  ".join(["", *offenders])


def test_no_imports_go_in_a_circle():
    graph: dict[str, set[str]] = {}
    for found in imports():
        graph.setdefault(found.file, set()).add(found.target)
    round_trip = circle(graph)
    steps = set(itertools.pairwise(round_trip))
    assert not round_trip, listed([str(found) for found in imports() if (found.file, found.target) in steps])


def test_every_room_has_a_level():
    rooms = {room(file) for file in files()} - {"__init__"}
    assert rooms == {name for level in LEVELS for name in level}


def test_imports_go_down():
    level = {name: height for height, names in enumerate(LEVELS) for name in names}
    offenders = []
    for found in imports():
        own, other = room(found.file), room(found.target)
        if own == other or own == "__init__" or (other == "__init__" and own in DOORS):
            continue
        if other == "__init__":
            offenders.append(f"{found}: only the command line imports the public names")
        elif level.get(other, 0) >= level.get(own, 0):
            offenders.append(f"{found}: {other}/ is not below {own}/")
        elif other in NEVER.get(own, ()):
            offenders.append(f"{found}: {own}/ knows no {other}/")
    assert not offenders, listed(offenders)


def test_the_numbers_of_an_audit_know_no_view():
    assert not [str(found) for found in imports() if (room(found.file), room(found.target)) == ("result", "report")]


def test_only_kernels_reach_compiled_code_and_addresses():
    offenders = [f"{file}:{line} imports _C" for file, line in compiled_imports() if room(file) != "kernels"]
    addresses = [
        (file, node.lineno)
        for file, tree in files().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "data_ptr"
    ]
    assert compiled_imports() and addresses
    offenders += [f"{file}:{line} asks for data_ptr" for file, line in addresses if room(file) != "kernels"]
    assert not offenders, listed(offenders)


def test_only_operators_call_kernels():
    offenders = [
        str(found)
        for found in imports()
        if room(found.target) == "kernels" and room(found.file) not in CALL_KERNELS | {"__init__"}
    ]
    assert not offenders, listed(offenders)


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from def to end, without the docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_functions_fit_on_a_screen():
    functions = [
        (file, node)
        for file, tree in files().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert len(functions) > 300
    offenders = [
        f"{file}:{node.lineno} {node.name}: {length(node)} lines, at most {LONGEST}"
        for file, node in functions
        if length(node) > LONGEST
    ]
    assert not offenders, listed(offenders)


@pytest.mark.parametrize(
    "file, source, expected",
    [
        ("ops/rotation.py", "from ..groups.irreps import Irreps", "groups/irreps.py"),
        ("ops/rotation.py", "from ..kernels import cpu", "kernels/cpu.py"),
        ("ops/__init__.py", "from .wigner import wigner_D", "ops/wigner.py"),
        ("report/pictures/layers.py", "from ...result.data import Audit", "result/data.py"),
        ("cli.py", "def audit():\n    from equiscope.report.table import to_rich", "report/table.py"),
        ("cli.py", "import equiscope as eq", "__init__.py"),
        ("cli.py", "import equiscope.testing", "testing.py"),
        ("kernels/cpu.py", "from .. import _C", "_C"),
        ("audit.py", "if TYPE_CHECKING:\n    from .report import table\nfrom .result import data", "result/data.py"),
        ("audit.py", "import torch\nfrom torch import nn\nfrom .errors import fail", "errors.py"),
    ],
)  # fmt: skip
def test_imports_are_read_as_python_reads_them(file, source, expected):
    found = [module for node in statements(ast.parse(source)) for module in modules_read(file, node)]
    assert [file_of(module) or "/".join(module) for module in found] == [expected]


def test_circles_are_found():
    found = circle({"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set()})
    assert found[0] == found[-1] and sorted(found[1:]) == ["a", "b", "c"]
    assert set(itertools.pairwise(found)) == {("a", "b"), ("b", "c"), ("c", "a")}
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_the_length_of_a_function_leaves_its_docstring_out():
    source = 'def f(\n    x,\n):\n    """One.\n\n    Two.\n    """\n    return x\n'
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef) and length(function) == 4
