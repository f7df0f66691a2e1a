"""Structures as ASE Atoms, and rotated copies of these."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import DTypeError, fail
from ..groups.representation import Representation
from ..ops.rotation import rotate_copies
from .points import HEAVIEST, Points
from .rounding import Dither, rounded
from .structures import Structure, is_atoms, usual_kind


def atoms_of(structure: Structure) -> Any:
    """`structure` as `ase.Atoms` without a calculator, and with all that it carries."""
    if is_atoms(structure.source):
        return copied(structure.source)
    from ase import Atoms

    atoms: Any = Atoms(
        structure.types, structure.positions, cell=structure.cell, pbc=structure.pbc, info=structure.info
    )
    for name, array in structure.arrays.items():
        atoms.set_array(name, array)
    return atoms


def copied(atoms: Any) -> Any:
    """`atoms` without a calculator, sharing nothing with the original."""
    one = atoms.copy()
    if one.info:
        one.info = copy.deepcopy(one.info)
    return one


def points_of(structure: Structure) -> Points:
    """`structure` as points with types, which its users take for atomic numbers."""
    return Points(
        "positions",
        torch.from_numpy(structure.positions),
        torch.from_numpy(structure.types),
        bool((structure.types >= 1).all() and (structure.types <= HEAVIEST).all()),
        torch.from_numpy(structure.cell),
        torch.from_numpy(structure.pbc),
    )


class Turning(NamedTuple):
    """Something of a structure that turns."""

    kind: Representation
    values: torch.Tensor
    """Of the structure as it is, float64."""


def usual_inputs(structure: Structure) -> dict[str, Representation]:
    """What of `structure` is known by its name to turn: positions, a cell that is not 0, momenta, moments."""
    kinds = {"positions": "vector", "cell": "vector" if structure.cell.any() else None}
    kinds |= {name: usual_kind(name, value) for name, value in structure.arrays.items()}
    return {name: Representation.parse(kind) for name, kind in kinds.items() if kind is not None}


def turning(structure: Structure, declared: Mapping[str, Representation]) -> dict[str, Turning]:
    """What of `structure` turns, by name: what is `declared`, as far as the structure has it, and what is known."""
    found = {}
    for name, kind in {**usual_inputs(structure), **declared}.items():
        value = structure.named(name)
        if value is None or kind.is_invariant or (name == "cell" and not structure.cell.any()):
            continue
        where = f"data[{structure.name}].{name}"
        array = np.asarray(value)
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            fail(DTypeError, where, f"finite real numbers, because it is declared {kind.name!r}", repr(value)[:80])
        kind.check(array.shape, where)
        found[name] = Turning(kind, torch.from_numpy(array.astype(np.float64)))
    return found


def turned(
    structure: Structure, parts: Mapping[str, Turning], rotations: torch.Tensor, dither: Dither | None = None
) -> Iterator[Any]:
    """`structure` as `ase.Atoms` under each of the elements ``(copies, 3, 3)``, of which `parts` turn."""
    copies = {}
    for name, (kind, value) in parts.items():
        rows = rotate_copies(kind, value.reshape(1, -1, *kind.component_shape), rotations)
        copies[name] = rounded(rows.reshape(len(rotations), *value.shape), torch.float64, dither).numpy()
    original = atoms_of(structure)
    for i in range(len(rotations)):
        atoms = copied(original)
        for name, own in copies.items():
            _put(atoms, name, own[i].copy())
        yield atoms


def _put(atoms: Any, name: str, value: np.ndarray) -> None:
    if name == "cell":
        atoms.cell[:] = value
    else:
        # past the setters of ASE, which mind the constraints
        (atoms.arrays if name in atoms.arrays else atoms.info)[name] = value
