"""What ASE calculators calculate, and how it transforms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..errors import ModelError
from ..groups.representation import Representation

Shape = tuple[int, ...]
Kinds = Mapping[Shape, str]


class Property(NamedTuple):
    """What ASE calls by one name."""

    per_atom: bool
    kinds: Kinds
    """Representation by the shape of one value; the first is that of ASE's own calculators."""
    unit: str = ""


NUMBER: Kinds = {(): "scalar"}
VECTOR: Kinds = {(3,): "vector"}
TENSOR: Kinds = {(3, 3): "tensor"}
SYMMETRIC: Kinds = {(6,): "voigt", **TENSOR}
MOMENT: Kinds = {(): "scalar", (3,): "pseudovector"}
"""A moment along a fixed axis is the size of a spin that does not see the atoms turn, as long as there is no
spin-orbit coupling: inversion and rotation leave it as it is. One with three components is an axial vector."""

PROPERTIES = {
    "energy": Property(False, NUMBER, "eV"),
    "free_energy": Property(False, NUMBER, "eV"),
    "energies": Property(True, NUMBER, "eV"),
    "node_energy": Property(True, NUMBER, "eV"),
    "fermi_level": Property(False, NUMBER, "eV"),
    "forces": Property(True, VECTOR, "eV/A"),
    "stress": Property(False, SYMMETRIC, "eV/A^3"),
    "stresses": Property(True, SYMMETRIC, "eV/A^3"),
    "virial": Property(False, SYMMETRIC, "eV"),
    "virials": Property(True, SYMMETRIC, "eV"),
    "dipole": Property(False, VECTOR, "e A"),
    "dipoles": Property(True, VECTOR, "e A"),
    "quadrupole": Property(False, SYMMETRIC, "e A^2"),
    "polarization": Property(False, VECTOR, "e/A^2"),
    "polarizability": Property(False, {**TENSOR, **SYMMETRIC}),
    "dielectric_tensor": Property(False, TENSOR),
    "born_effective_charges": Property(True, TENSOR, "e"),
    "charges": Property(True, NUMBER, "e"),
    "magmom": Property(False, MOMENT, "mu_B"),
    "magmoms": Property(True, MOMENT, "mu_B"),
}
"""The properties whose transformation is known, in the units of ASE."""


def check_rows(name: str, shape: Shape, kind: Representation) -> None:
    """Refuse one number per atom where each was declared to have several: three atoms would pass for a vector."""
    if name in PROPERTIES and PROPERTIES[name].per_atom and len(shape) <= kind.component_axes:
        expected = f"an axis of atoms before the components of {kind.name!r}"
        raise ModelError(f"{name}: expected {expected}, got shape {shape}")


def shape_of_one(name: str, value: np.ndarray, atoms: int) -> Shape | None:
    """Of one value of a property, that of an atom where each has one; None: it is not given for each atom."""
    if not PROPERTIES[name].per_atom:
        return value.shape
    return value.shape[1:] if value.shape[:1] == (atoms,) else None
