"""One call of a model: what of its arguments turns, and how rotated copies of them are handed over."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..adapters.checks import check_axes, check_distinct, check_finite, check_leaf
from ..adapters.containers import opened
from ..errors import ArgumentError, DTypeError, ModelError, fail
from ..groups.representation import Representation
from ..ops.rotation import rotate
from ..probe.leaves import leaves

BATCHINGS = ("loop", "stack", "concat")
CONSTANTS = (bool, int, float, complex, str, bytes, type(None))
"""Types that cannot be written into."""

Batching = str | Callable[[list[Any]], Any]


class Call:
    """The arguments of one call, taken apart.

    An argument goes by the name that the signature of the model gives it, or by its number where that gives none; what
    lies in containers by the names on the way, joined by dots. Parts of the only argument may go by their own names,
    as those of a system do in an audit.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        inputs: Mapping[str, Representation],
        meant: frozenset[str],
        batching: Batching,
    ) -> None:
        found, self._layout = opened((args, dict(kwargs)))
        self._values = [leaf for _, leaf in found]
        positional = _positional(model, len(args))
        self.names = [_name(key, positional) for key, _ in found]
        self._batching = batching
        self._kinds = self._declared(inputs)
        meant = frozenset(map(self._in_full, meant))
        for name, value, kind in zip(self.names, self._values, self._kinds, strict=True):
            _check(name, value, kind, meant=name in meant or "" in meant)
        self.tensors = [
            value.to(torch.float64) if _turns(kind) else value
            for value, kind in zip(self._values, self._kinds, strict=True)
            if isinstance(value, torch.Tensor)
        ]
        """Those of the user; what turns in float64, in which gradients of all copies are summed."""

    def _declared(self, inputs: Mapping[str, Representation]) -> list[Representation | None]:
        tensors = [
            name for name, value in zip(self.names, self._values, strict=True) if isinstance(value, torch.Tensor)
        ]
        if "" in inputs:
            if len(tensors) != 1:
                expected = "a dict from name to representation where there is more than one tensor"
                fail(ArgumentError, "inputs", expected, f"{inputs[''].name!r} for {', '.join(tensors) or 'none'}")
            inputs = {tensors[0]: inputs[""]}
        declared = {self._in_full(name): kind for name, kind in inputs.items()}
        missing = [name for name in declared if name not in self.names]
        if missing:
            has = ", ".join(self.names) or "nothing"
            fail(ArgumentError, "inputs", f"names among {has}", ", ".join(map(repr, missing)))
        if len(declared) < len(inputs):
            fail(ArgumentError, "inputs", "one name for each input", ", ".join(map(repr, inputs)))
        check_distinct(ArgumentError, "inputs", self.names, declared)
        return [declared.get(name) for name in self.names]

    def _in_full(self, name: str) -> str:
        """With the name of the only argument before that of one of its parts."""
        arguments = {name.partition(".")[0] for name in self.names}
        full = f"{next(iter(arguments))}.{name}" if len(arguments) == 1 else name
        return full if name not in self.names and full in self.names else name

    def arguments(self, tensors: Sequence[torch.Tensor], rotations: torch.Tensor) -> Iterator[tuple[Any, Any]]:
        """Positional and keyword arguments of each call of the model, for copies under `rotations`.

        `tensors` stand in for those of the user. Nothing that the model may write into is shared by two copies.
        """
        given = iter(tensors)
        turned = [
            _copies(next(given), kind, rotations).to(value.dtype) if isinstance(value, torch.Tensor) else value
            for value, kind in zip(self._values, self._kinds, strict=True)
        ]
        if self._batching == "stack":
            yield self._filled(turned)
        elif self._batching == "concat":
            yield self._filled([_rows(name, x) for name, x in zip(self.names, turned, strict=True)])
        else:
            every = [
                # clones: slices are views, and to write into one counts as writing into all
                self._filled([x[i].clone() if isinstance(x, torch.Tensor) else x for x in turned])
                for i in range(len(rotations))
            ]
            if callable(self._batching):
                yield _as_arguments(self._batching([_item(*one) for one in every]))
            else:
                yield from every

    def _filled(self, leaves: Sequence[Any]) -> tuple[Any, Any]:
        own = [x if isinstance(x, (torch.Tensor, *CONSTANTS)) else copy.deepcopy(x) for x in leaves]
        args, kwargs = self._layout.rebuilt(own)
        return args, kwargs

    def copies_of(self, name: str, returned: Sequence[torch.Tensor], copies: int) -> torch.Tensor:
        """An output of all calls as ``(copies, ...)``."""
        if self._batching == "loop":
            return torch.stack(list(returned))
        (value,) = returned
        if value.ndim == 0 or value.shape[0] % copies or (self._batching == "stack" and value.shape[0] != copies):
            raise ModelError(
                f"{name}: expected a first axis of {copies} copies{'' if self._batching == 'stack' else ' of rows'}, "
                f"got shape {tuple(value.shape)}; batching='loop' evaluates one copy per call"
            )
        if self._batching == "stack":
            return value
        return value.reshape(copies, value.shape[0] // copies, *value.shape[1:])


def _copies(x: torch.Tensor, kind: Representation | None, rotations: torch.Tensor) -> torch.Tensor:
    """``(copies, ...)``"""
    copies = len(rotations)
    if kind is None or not _turns(kind):
        return x.repeat(copies, *[1] * x.ndim)
    ones = [1] * (x.ndim - kind.component_axes)
    elements = rotations.to(x.device).reshape(copies, *ones, 3, 3)
    return rotate(x.unsqueeze(0), elements, kind)


def _turns(kind: Representation | None) -> bool:
    return kind is not None and not kind.is_invariant


def _rows(name: str, x: Any) -> Any:
    """Copies one after the other along the first axis of the user's tensor."""
    if not isinstance(x, torch.Tensor):
        return x
    if x.ndim < 2:
        fail(ArgumentError, name, "a first axis along which batching='concat' joins copies", "one number")
    return x.flatten(0, 1)


def _item(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """One copy as a batching function takes it: a dict of keyword arguments, a tuple, or the one argument."""
    if args and kwargs:
        expected = "positional or keyword arguments alone beside a batching function"
        fail(ArgumentError, "call", expected, f"{len(args)} and {', '.join(kwargs)}")
    if kwargs:
        return kwargs
    return args[0] if len(args) == 1 else args


def _as_arguments(made: Any) -> tuple[Any, Any]:
    if isinstance(made, Mapping):
        return (), made
    return (made if isinstance(made, tuple) else (made,)), {}


def _positional(model: Callable[..., Any], count: int) -> list[str]:
    """The names of the first positional parameters."""
    function = model.forward if isinstance(model, torch.nn.Module) else model
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # compiled functions have none
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (named + [str(i) for i in range(len(named), count)])[:count]


def _name(key: str, positional: Sequence[str]) -> str:
    """Of a leaf of the pair of positional and keyword arguments: the first step says which of the two it is in."""
    where, _, rest = key.partition(".")
    if where == "1":
        return rest
    index, dot, inner = rest.partition(".")
    return positional[int(index)] + dot + inner


def _check(name: str, value: Any, kind: Representation | None, *, meant: bool) -> None:
    if not isinstance(value, torch.Tensor):
        if kind is not None:
            fail(DTypeError, name, f"a tensor, because it is declared {kind.name!r}", type(value).__name__)
        _check_constant(name, value)
        return
    check_leaf(name, value, kind)
    check_finite(name, value, kind)
    if kind is not None:
        kind.check(tuple(value.shape), name)
        # an axis may be that of the user's batch: (batch, 3 atoms, 3) holds vectors in its last axis
        batched = kind.component_axes == 1 and value.ndim < 4
        check_axes(name, kind, tuple(value.shape), meant=meant or batched)
    elif value.is_floating_point() and value.ndim and value.shape[-1] == 3:
        expected = "a declaration in `inputs` ('vector', or 'invariant' to leave it as it is)"
        fail(ArgumentError, name, expected, f"a tensor of shape {tuple(value.shape)} that may hold vectors")


def _check_constant(name: str, value: Any) -> None:
    """Refuse what holds numbers that would have to turn and would not."""
    if isinstance(value, np.ndarray) and value.ndim:
        fail(DTypeError, name, "a tensor (torch.from_numpy makes one)", f"a NumPy {type(value).__name__}")
    inside = [leaf for leaf, x in leaves(name, value) if isinstance(x, torch.Tensor)]
    if inside:
        expected = (
            "tensors in dicts, lists and tuples (`vars(x)` or `x.to_dict()`, and batching= a function that makes x)"
        )
        fail(DTypeError, name, expected, f"a {type(value).__name__} that holds {', '.join(inside[:3])}")
