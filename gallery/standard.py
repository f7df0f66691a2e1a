"""One set of structures and settings for all published potentials, so that the rows of their table can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ase
from ase.build import bulk, molecule

import equiscope as eq

from .byhand import Turned, calculated

MOLECULES = ("H2O", "CH3CH2OH")
CRYSTALS: Mapping[str, tuple[str, float]] = {
    "NaCl": ("rocksalt", 5.64),
    "Si": ("diamond", 5.43),
    "FeO": ("rocksalt", 4.33),
}
"""Prototype and lattice constant in Å."""

DISPLACED = 0.1
"""Å: at the tabulated places mirror planes hide what a model does under inversion."""

SETTINGS: Mapping[str, Any] = {"lmax": 2, "degree": 4, "progress": False}
"""140 elements for each structure, which is enough for content up to l = 2: that of energies, forces and stress."""


def molecules(box: float | None = None) -> list[ase.Atoms]:
    """Displaced; in the middle of a periodic cube with this edge in Å, for models of crystals alone."""
    made = [_displaced(molecule(name), name) for name in MOLECULES]
    for atoms in made if box is not None else ():
        atoms.set_cell(3 * [box])
        atoms.center()
        atoms.pbc = True
    return made


def crystals() -> list[ase.Atoms]:
    """Displaced; two atoms in a cell."""
    return [_displaced(bulk(name, prototype, a), name) for name, (prototype, a) in CRYSTALS.items()]


def _displaced(atoms: ase.Atoms, name: str) -> ase.Atoms:
    atoms.rattle(DISPLACED, seed=1)
    atoms.info["name"] = name
    return atoms


def audited(
    calculator: Any, outputs: Mapping[str, Sequence[str]], box: float | None = None
) -> tuple[dict[str, eq.Audit], dict[str, Turned]]:
    """Audits, and the same by hand, of a calculator of ASE.

    Args:
        calculator: made already.
        outputs: properties by the set of structures, "molecules" and "crystals"; a set that is not named is left out.
        box: see `molecules`.
    """
    sets = {"molecules": molecules(box), "crystals": crystals()}
    audits = {
        kind: eq.audit(calculator, {a.info["name"]: a for a in sets[kind]}, outputs=list(names), **SETTINGS)
        for kind, names in outputs.items()
    }
    return audits, {kind: calculated(calculator, sets[kind], names) for kind, names in outputs.items()}
