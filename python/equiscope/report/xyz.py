"""The systems with the largest errors as an extended XYZ file, which ASE, OVITO and chemiscope read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..result.data import AuditData, Output
from ..result.scene import Scene
from .elements import symbol
from .orientation import describe

FILE = "worst.xyz"


def worst_xyz(audit: AuditData) -> str:
    """Two frames for each output that has a `Scene`: the system as given, and turned to where the output is farthest
    off; empty where there is none.

    Each has `found`, `expected` and `error` (found - expected): columns with one row for each atom, where the output
    has those, else entries of the comment line. ``output``, ``system``, ``frame`` ("given" or "worst"), ``rmse``,
    ``rotation`` and, where they are known, ``unit`` and ``input`` say what it is. Matrices in the comment line
    are written row after row. Types that are no atomic numbers are in a column of their own.
    """
    scenes = ((output, output.scene) for output in audit.outputs.values() if output.scene is not None)
    return "".join(frame for output, scene in scenes for frame in _frames(output, scene))


def _frames(output: Output, scene: Scene) -> Iterator[str]:
    identity, rotation = np.eye(3), scene.rotation.numpy()
    yield _frame(output, scene, "given", identity, scene.given.numpy(), scene.mean.numpy())
    yield _frame(output, scene, "worst", rotation, scene.found.numpy(), scene.expected.numpy())


def _frame(
    output: Output, scene: Scene, name: str, rotation: np.ndarray, found: np.ndarray, expected: np.ndarray
) -> str:
    positions = scene.positions.numpy() @ rotation.T
    count = len(positions)
    numbers = [0] * count if scene.types is None or not scene.atomic else scene.types.tolist()
    columns: list[tuple[str, np.ndarray]] = [("pos:R", positions)]
    if scene.types is not None and not scene.atomic:
        columns.append(("types:I", scene.types.numpy()[:, None]))
    facts: list[tuple[str, str]] = []
    if scene.cell is not None and bool(scene.cell.any()):
        facts.append(("Lattice", _numbers(scene.cell.numpy() @ rotation.T)))
    pbc = [False] * 3 if scene.pbc is None else scene.pbc.tolist()
    values = {"found": found, "expected": expected, "error": found - expected}
    told: list[tuple[str, str]] = [
        ("output", _quoted(output.name)),
        ("system", _quoted(scene.system)),
        ("frame", name),
        ("element", _quoted(describe(scene.rotation) if name == "worst" else "as given")),
        ("rotation", _numbers(rotation)),
        ("rmse", f"{scene.rmse:.12g}"),
        ("input", _quoted(scene.input)),
        *([("unit", _quoted(output.unit))] if output.unit else []),
    ]
    for key, value in values.items():
        if len(value) == count:
            columns.append((f"{key}:R", value.reshape(count, -1)))
        elif len(value) == 1:
            told.append((key, _numbers(value)))
    if len(found) not in (1, count):
        told.append(("rows", f'"{len(found)} of the output, which are not those of {count} points: not written"'))
    kinds = ":".join(["species:S:1", *(f"{kind}:{own.shape[1]}" for kind, own in columns)])
    facts += [("Properties", kinds), *told, ("pbc", f'"{" ".join("T" if p else "F" for p in pbc)}"')]
    table = np.concatenate([own for _, own in columns], axis=1)
    whole = np.concatenate([np.full(own.shape[1], kind.endswith(":I")) for kind, own in columns])
    rows = (
        " ".join([symbol(number), *(f"{int(x)}" if i else f"{x:.12g}" for x, i in zip(row, whole, strict=True))])
        for number, row in zip(numbers, table.tolist(), strict=True)
    )
    return "\n".join([str(count), " ".join(f"{key}={value}" for key, value in facts), *rows, ""])


def _numbers(values: np.ndarray) -> str:
    return '"' + " ".join(f"{x:.12g}" for x in values.flatten().tolist()) + '"'


def _quoted(text: str) -> str:
    """On one line and in quotes, whatever is in it."""
    plain = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
