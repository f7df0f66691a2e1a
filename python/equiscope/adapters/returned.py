"""What a plain model returned, as named tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import ArgumentError, fail
from .checks import explain_missing, stacked
from .containers import opened

SINGLE = "output"
"""Name of the output of a model that returns one bare tensor, unless the declaration names it."""

NUMERIC = "fiub"
"""Kinds of NumPy's dtypes that are numbers to torch."""

Leaves = list[tuple[str, Any]]


def values(result: Any, *, own: bool) -> Leaves:
    """Names and leaves of a result, numbers and arrays as tensors; copies of them, if `own`."""
    return [(name, _as_tensor(leaf, own)) for name, leaf in opened(result)[0]]


def of_copies(results: Sequence[Leaves]) -> dict[str, Any]:
    """What the calls for one copy each returned as one result with a leading axis of copies."""
    return {name: stacked(*(dict(result).get(name) for result in results)) for name, _ in results[0]}


def by_name(result: Any, wanted: Sequence[str], listed: int | None, *, where: str) -> dict[str, torch.Tensor]:
    """The tensors of a result by name, those of `wanted` among them or an ArgumentError.

    listed: the number of copies where the model was given a list of them: lists with an entry for each are joined.
    where: the systems that it was called with.
    """
    flat = isinstance(result, dict) and all(isinstance(leaf, torch.Tensor) for leaf in result.values())
    every = {str(key): leaf for key, leaf in (result.items() if flat else values(result, own=False))}
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
