"""Structures as the arguments of a plain model: by keywords, or as ASE Atoms."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch

from ..errors import ArgumentError, DTypeError, fail
from .atoms import atoms_of
from .structures import SYNONYMS, Structure, is_atoms, is_metatomic_system, read_structures, usual_kind

POSITIONS = SYNONYMS[0]
ALWAYS = [name for names in SYNONYMS[:4] for name in names]
"""What every structure has."""

Systems = list[tuple[str, Any]]


def holds_structures(data: Any) -> bool:
    """Whether `data` is the path of a file, or ASE atoms or metatomic systems, one or a list of them."""
    first = data[0] if isinstance(data, list | tuple) and len(data) else data
    return isinstance(data, str | PathLike) or is_atoms(first) or is_metatomic_system(first)


def systems_of(
    data: Any, model: Callable[..., Any], *, dtype: torch.dtype | None, inputs: Mapping[str, Any] | str | None
) -> tuple[Systems, dict[str, Any]]:
    """Systems and declared inputs for `PlainAdapter`, from what `read_structures` reads.

    The parameters of the model's ``forward`` say what it wants, under any of `SYNONYMS` or under the name that the
    structures carry it by: positions ``(n, 3)``, atomic numbers ``(n,)`` int64, the cell ``(3, 3)``, rows are vectors,
    pbc ``(3,)``, moments, charges, and every other array, entry of ``info`` or reference value. A parameter with a
    default is left out where a structure has nothing of that name. Floating-point tensors take `dtype`, else that of
    the model's parameters, else float32. What is known to be vectors is declared so (`usual_kind`); `inputs` declares
    the rest.

    A model that has no parameter for positions is given ``ase.Atoms``.
    """
    function = model.forward if isinstance(model, torch.nn.Module) else model
    parameters = {
        name: p.default is p.empty
        for name, p in inspect.signature(function).parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and name != "batch"
    }
    if isinstance(inputs, str):
        fail(DTypeError, "inputs", "a dict from name to representation, of what structures carry", repr(inputs))
    structures = read_structures(data)
    if not any(name in parameters for name in POSITIONS):
        if sum(parameters.values()) != 1:
            expected = f"one parameter for ase.Atoms, or parameters among {', '.join(ALWAYS)}"
            fail(ArgumentError, "model", expected, ", ".join(parameters) or "none")
        return [(structure.name, atoms_of(structure)) for structure in structures], dict(inputs or {})
    own = [p.dtype for p in model.parameters() if p.is_floating_point()] if isinstance(model, torch.nn.Module) else []
    dtype = dtype or (own[0] if own else torch.float32)
    kinds: dict[str, Any] = {}
    systems: Systems = []
    for structure in structures:
        found = {name: value for name in parameters if (value := structure.named(name)) is not None}
        _check_complete(structure, [name for name, needed in parameters.items() if needed and name not in found])
        kinds |= {name: kind for name, value in found.items() if (kind := usual_kind(name, value)) is not None}
        systems.append((structure.name, {name: _as_input(value, dtype) for name, value in found.items()}))
    return systems, kinds | dict(inputs or {})


def _check_complete(structure: Structure, missing: list[str]) -> None:
    if missing:
        own = ", ".join([*ALWAYS, *structure.arrays, *structure.info, *structure.results])
        expected = f"parameters among {own}, which is all that {structure.name!r} has"
        fail(ArgumentError, "model", expected, ", ".join(map(repr, missing)))


def _as_input(value: Any, dtype: torch.dtype) -> Any:
    """Numbers as a tensor of their own; anything else, such as a string, as it is."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return value
    tensor = torch.from_numpy(array.copy())
    if tensor.is_floating_point():
        return tensor.to(dtype)
    return tensor if tensor.dtype == torch.bool else tensor.to(torch.int64)
