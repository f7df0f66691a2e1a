"""The tensors in what a module returned, whatever holds them, and the names they go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree

from ..adapters.containers import container_of
from ..groups.representation import Representation
from .names import place_of

PLAIN = (type(None), bool, int, float, str, bytes, torch.dtype, torch.device, torch.Size)
"""Beside tensors these say nothing that turns."""


def leaf_name(prefix: str, path: Sequence[Any]) -> str:
    """Name of one tensor inside a nested output: ``prefix['attention'][0]``; `prefix` itself at the root.

    Fields of named tuples are written as keys are: after a dot there stand modules.
    """
    return prefix + "".join(
        f"[{entry.name!r}]" if isinstance(entry, _pytree.GetAttrKey) else str(entry) for entry in path
    )


DEEPEST = 16
"""Containers within containers that are opened: one that holds itself has no end."""


def leaves(prefix: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Names and leaves of nested tuples, lists and dicts, and of the types in `adapters.containers`.

    A leaf is a tensor, or an object of which nothing is known; numbers, words and None are passed over.
    """
    if isinstance(value, torch.Tensor):
        yield prefix, value
        return
    for path, leaf in _pytree.tree_flatten_with_path(value)[0]:
        name = leaf_name(prefix, path)
        inner = None if isinstance(leaf, (torch.Tensor, *PLAIN)) or depth == DEEPEST else _opened(leaf)
        if inner is not None:
            for key, part in inner.items():
                yield from leaves(f"{name}[{key!r}]", part, depth + 1)
        elif not isinstance(leaf, PLAIN):
            yield name, leaf


def _opened(thing: Any) -> Mapping[str, Any] | None:
    container = container_of(thing)
    try:
        found = thing.to_dict() if container is None else container.parts(thing)
    except Exception:  # no such method, or one that means something else; a type that is refused
        return None
    return {key: found[key] for key in found if not str(key).startswith("_")} if isinstance(found, Mapping) else None


def rows_of(returned: Any, verb: str = "returned") -> torch.Tensor | str:
    """A dense floating-point tensor of the same rows, or why there is none: it `verb` something else.

    Of a nested tensor the rows of its parts, one part after the other: none of them is padding.
    """
    if isinstance(returned, np.ndarray) and returned.dtype.kind in "biufc":
        # a copy: its buffer may be used again, and nothing would tell
        returned = torch.tensor(returned)
    if not isinstance(returned, torch.Tensor):
        return f"it {verb} {type(returned).__name__}, which holds no tensors that are known of"
    leaf = _own(returned)
    if torch._C._functorch.is_batchedtensor(leaf):
        return "it is called inside torch.func.vmap, where no tensor has all of its rows"
    if leaf.is_complex():
        return f"it {verb} complex numbers ({_name(leaf.dtype)})"
    if not leaf.is_floating_point():
        return f"it {verb} no floating-point numbers ({_name(leaf.dtype)})"
    if leaf.is_nested:
        parts = leaf.unbind()
        if not parts or any(part.ndim == 0 or part.shape[1:] != parts[0].shape[1:] for part in parts):
            return f"it {verb} a nested tensor whose parts differ in more than their rows"
        return torch.cat(parts)
    if type(leaf).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return f"it {verb} {type(leaf).__name__}, a kind of tensor that is not read"
    if leaf.layout != torch.strided:
        return f"it {verb} a tensor that is not dense ({leaf.layout})"
    return leaf


def _own(leaf: torch.Tensor) -> torch.Tensor:
    """What a model that derives by torch.func has wrapped: the wrapper ends with the call, what is in it does not."""
    while torch._C._functorch.is_gradtrackingtensor(leaf):
        inner: torch.Tensor = torch._C._functorch.get_unwrapped(leaf)
        leaf = inner
    return leaf


def is_index(leaf: Any) -> bool:
    """Whole numbers or truth values, which stand beside what is of interest."""
    return isinstance(leaf, torch.Tensor) and not leaf.is_complex() and not leaf.is_floating_point()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def representation_of(leaf: str, representations: Mapping[str, Representation]) -> Representation | None:
    """What was declared of the place, or of this very tensor, that a tensor of this name came from."""
    place = place_of(leaf, representations) if representations else None
    return None if place is None else representations[place]
