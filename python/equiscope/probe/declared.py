"""e3nn modules say themselves how their inputs and outputs transform."""

from __future__ import annotations

from typing import Any

import torch

from ..groups.representation import Representation
from ..patterns import stem
from .names import INPUT, is_function, split


def declared_by_module(module: torch.nn.Module, name: str) -> dict[str, Representation]:
    """Representations of what comes by `name`, of an e3nn module, by names of places and tensors: those of
    ``irreps_out``, ``irreps_in``, ``irreps_in1`` and ``irreps_in2``."""
    place, what = stem(name), split(name)[1]
    if is_function(what):
        return {}
    names = {"irreps_in": place, "irreps_in1": f"{place}[0]", "irreps_in2": f"{place}[1]"}
    asked = names if what == INPUT else {"irreps_out": place}
    found = {name: _parsed(getattr(module, attribute, None)) for attribute, name in asked.items()}
    return {name: kind for name, kind in found.items() if kind is not None}


def _parsed(irreps: Any) -> Representation | None:
    if irreps is None or not type(irreps).__module__.startswith("e3nn."):
        return None
    return Representation.parse(str(irreps), basis="e3nn", layout="mul_ir") if irreps.dim else None
