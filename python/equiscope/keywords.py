"""Structures from a file as the keyword arguments of a plain module."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from .adapters.structures import read_structures
from .errors import ArgumentError, fail

POSITIONS = ("positions", "pos", "coordinates", "xyz")
TYPES = ("species", "types", "numbers", "atomic_numbers", "z")
CELL = ("cell", "box", "lattice")


def keyword_systems(
    data: Any, model: Any, *, dtype: torch.dtype | None = None
) -> tuple[list[tuple[str, dict[str, torch.Tensor]]], dict[str, str]]:
    """Systems and declared inputs for `PlainAdapter`, from what `read_structures` reads.

    The parameters of the model's ``forward`` say what it wants: positions ``(n, 3)``, atomic numbers ``(n,)`` int64 and
    the cell ``(3, 3)``, rows are vectors, under any of the names in this file. Floating-point tensors take `dtype`,
    else that of the model's parameters, else float32.
    """
    function = model.forward if isinstance(model, torch.nn.Module) else model
    parameters = inspect.signature(function).parameters
    unknown = [
        name
        for name, p in parameters.items()
        if p.default is p.empty
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        and name not in (*POSITIONS, *TYPES, *CELL, "batch")
    ]
    positions = next((name for name in POSITIONS if name in parameters), None)
    if unknown or positions is None:
        known = f"{', '.join(POSITIONS)}; {', '.join(TYPES)}; {', '.join(CELL)}"
        fail(ArgumentError, "model", f"parameters among {known}", ", ".join(parameters) or "none")
    types = next((name for name in TYPES if name in parameters), None)
    cell = next((name for name in CELL if name in parameters), None)
    own = [p.dtype for p in model.parameters() if p.is_floating_point()] if isinstance(model, torch.nn.Module) else []
    dtype = dtype or (own[0] if own else torch.float32)
    systems = []
    for structure in read_structures(data):
        inputs = {positions: torch.from_numpy(structure.positions).to(dtype)}
        if types is not None:
            inputs[types] = torch.from_numpy(structure.types).to(torch.int64)
        if cell is not None:
            inputs[cell] = torch.from_numpy(structure.cell).to(dtype)
        systems.append((structure.name, inputs))
    return systems, {name: "vector" for name in (positions, cell) if name is not None}
