"""ASE Atoms, for models that take them as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .base import Container, named, register


@register
class AtomsObjects(Container):
    """An ``ase.Atoms``: positions and cell, and its arrays and info by their names there."""

    words = "ASE Atoms"
    batching = "loop"
    inputs: ClassVar[Mapping[str, str]] = {"positions": "vector", "cell": "vector", "momenta": "vector"}

    @classmethod
    def serves(cls, item: Any) -> bool:
        return named(item, "ase.Atoms")

    @classmethod
    def parts(cls, item: Any) -> Mapping[str, Any]:
        found = {"positions": item.positions, "cell": np.asarray(item.cell), "pbc": item.pbc}
        found |= {name: value for name, value in item.arrays.items() if name not in found}
        return {**found, "info": dict(item.info)}

    @classmethod
    def rebuilt(cls, item: Any, parts: Mapping[str, Any]) -> Any:
        made = item.copy()
        made.set_cell(np.asarray(parts["cell"]))
        made.info = dict(parts["info"])
        for name, value in parts.items():
            if name not in ("cell", "pbc", "info"):
                made.arrays[name] = np.asarray(value).copy()
        return made

    @classmethod
    def rows(cls, item: Any) -> int | None:
        return len(item)
