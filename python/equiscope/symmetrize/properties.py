"""How the properties of ASE calculators transform."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..groups.representation import Representation

PROPERTIES: Mapping[str, str] = MappingProxyType(
    {
        "energy": "scalar",
        "free_energy": "scalar",
        "energies": "scalar",
        "charges": "scalar",
        "forces": "vector",
        "dipole": "vector",
        "polarization": "vector",
        "stress": "voigt",
        "stresses": "voigt",
        "dielectric_tensor": "tensor",
        "born_effective_charges": "tensor",
        "magmom": "scalar",
        "magmoms": "scalar",
    }
)
"""By ASE's name. Magnetic moments are the collinear ones; as ``(atoms, 3)`` they are axial vectors."""


def representation_of(name: str, shape: tuple[int, ...]) -> Representation:
    """Of a property of that shape: stress also comes as a matrix, magnetic moments also as vectors."""
    kind = PROPERTIES[name]
    if kind == "voigt" and shape[-2:] == (3, 3):
        kind = "tensor"
    if name.startswith("magmom") and len(shape) == (2 if name == "magmoms" else 1):
        kind = "pseudovector"
    return Representation.parse(kind)


def is_calculator(model: Any) -> bool:
    """Whether `model` is an ASE calculator, told without importing ASE."""
    return not isinstance(model, type) and hasattr(model, "implemented_properties") and hasattr(model, "calculate")
