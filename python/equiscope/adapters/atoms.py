"""Structures as ASE Atoms."""

from __future__ import annotations

import copy
from typing import Any

from .structures import Structure, is_atoms


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
