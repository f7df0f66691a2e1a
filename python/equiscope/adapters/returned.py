"""What a plain model returned, as named tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import ArgumentError, ModelError, fail
from .checks import check_distinct, explain_missing
from .containers import opened

SINGLE = "output"
"""Name of the output of a model that returns one bare tensor, unless the declaration names it."""

NUMERIC = "fiub"
"""Kinds of NumPy's dtypes that are numbers to torch."""

Leaves = list[tuple[str, Any]]


def values(result: Any, *, own: bool) -> Leaves:
    """Names and leaves of a result, numbers and arrays as tensors; copies of them, if `own`."""
    return [(name, _as_tensor(leaf, own)) for name, leaf in opened(result)[0]]


def of_copies(results: Sequence[Leaves], wanted: Sequence[str]) -> dict[str, Any]:
    """What the calls for one copy each returned as one result with a leading axis of copies.

    Outputs among `wanted` that are not alike for all copies are refused; of the rest the first copy's stand for all.
    """
    bare = wanted[0] if len(wanted) == 1 else SINGLE
    for result in results:
        check_distinct(ArgumentError, "outputs", (name for name, _ in result), wanted)
    columns = [dict(result) for result in results]
    names = dict.fromkeys(name for column in columns for name in column)
    return {
        name: _stacked(name or bare, [column.get(name) for column in columns], asked=(name or bare) in wanted)
        for name in names
    }


def _stacked(name: str, values: Sequence[Any], *, asked: bool) -> Any:
    """The same leaf of every copy."""
    if asked:  # a sum over nothing is the int 0
        dtype = next((value.dtype for value in values if isinstance(value, torch.Tensor)), torch.float64)
        values = [torch.tensor(value, dtype=dtype) if type(value) is int else value for value in values]
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    shapes = list(dict.fromkeys(tuple(value.shape) for value in tensors))
    if len(tensors) == len(values) and len(shapes) == 1:
        return torch.stack(tensors)
    if not asked or not tensors:
        return values[0]
    if len(tensors) < len(values):
        kind = next(type(value) for value in values if not isinstance(value, torch.Tensor))
        came = "None" if kind is type(None) else f"a {kind.__name__}"
        raise ModelError(f"{name}: expected a tensor from every rotated copy of a system, got {came} from some of them")
    rows = () not in shapes and len({shape[1:] for shape in shapes}) == 1
    raise ModelError(
        f"{name}: expected values of one shape from all copies of a system, got {', '.join(map(str, shapes))}: rotated "
        f"copies came back with different {'numbers of rows' if rows else 'shapes'}"
    )


def by_name(result: Any, wanted: Sequence[str], listed: int | None, *, where: str) -> dict[str, torch.Tensor]:
    """The tensors of a result by name, those of `wanted` among them or an ArgumentError.

    listed: the number of copies where the model was given a list of them: lists with an entry for each are joined.
    where: the systems that it was called with.
    """
    flat = isinstance(result, dict) and all(isinstance(leaf, torch.Tensor) for leaf in result.values())
    pairs = [(str(key), leaf) for key, leaf in (result.items() if flat else values(result, own=False))]
    check_distinct(ArgumentError, "outputs", (name for name, _ in pairs), wanted)
    every = dict(pairs)
    leaves = {key: leaf for key, leaf in every.items() if isinstance(leaf, torch.Tensor)}
    if set(leaves) == {""}:
        leaves = {wanted[0] if len(wanted) == 1 else SINGLE: leaves[""]}
    for name in wanted:
        if listed is not None and name not in leaves:
            alone = len(wanted) == 1 and all(key.isdecimal() for key in leaves)
            joined = _joined("" if alone else name, leaves, listed)
            leaves |= {} if joined is None else {name: joined}
    missing = [name for name in wanted if name not in leaves]
    if missing:
        has = ", ".join(leaves) or "no tensor"
        expected = f"names that the model returns for system {where} ({has})"
        fail(ArgumentError, "outputs", expected, explain_missing(missing, every))
    return leaves


def _joined(name: str, leaves: Mapping[str, torch.Tensor], copies: int) -> torch.Tensor | None:
    """Rows of `name` of all copies, where at some level a list with one entry per copy holds them: "f.0", "0.f"."""
    parts = name.split(".") if name else []
    for place in reversed(range(len(parts) + 1)):
        keys = [".".join([*parts[:place], str(index), *parts[place:]]) for index in range(copies + 1)]
        if all(key in leaves for key in keys[:-1]) and keys[-1] not in leaves:
            return torch.cat([leaves[key].reshape(-1) if leaves[key].ndim == 0 else leaves[key] for key in keys[:-1]])
    return None


def _as_tensor(leaf: Any, own: bool) -> Any:
    if isinstance(leaf, torch.Tensor):
        return leaf.detach().clone() if own else leaf
    if isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind in NUMERIC:
        return torch.from_numpy(np.array(leaf))
    return torch.tensor(leaf, dtype=torch.float64) if isinstance(leaf, float) else leaf
