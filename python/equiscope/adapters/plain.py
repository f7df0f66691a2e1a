"""Any `torch.nn.Module` or callable on tensors and nested containers of tensors."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree

from ..errors import ArgumentError, DataError, DeviceError, DTypeError, ModelError, ShapeError, fail, ran_out
from ..groups.representation import Representation
from ..ops.rotation import rotate_copies
from .base import Adapter, Piece, Request, System
from .checks import (
    axis_hint,
    check_axes,
    check_data,
    check_finite,
    check_leaf,
    check_output,
    check_rotates,
    check_system,
    explain,
    explain_missing,
    same_value,
    stacked,
)
from .registry import register
from .rounding import rounded
from .rows import RowCounts

BATCHINGS = ("stack", "concat", "loop")
PLAIN = (bool, int, float, complex, str, bytes, type(None))
"""Types of constants that cannot be written into."""

SINGLE = "output"
"""Name of the output of a model that returns one bare tensor, unless the declaration names it."""


@register
class PlainAdapter(Adapter):
    """Rotated copies for a module whose inputs and outputs are tensors.

    `data` yields systems: a dict of tensors (keyword arguments), a tensor or a tuple (positional arguments), each
    without a batch axis, or a pair ``(name, system)``. What is asked comes as a `Request`, or as keywords that are
    fields of one: `inputs` and `outputs` declare representations by key, keys of nested containers joined by dots;
    `batching` is one of `BATCHINGS` or a callable from the list of rotated systems to the model's argument. Everything
    undeclared is invariant, except that a floating-point tensor whose last axis is 3 must be declared.
    """

    wants = "a torch.nn.Module or another callable on tensors"
    precedence = 0

    @classmethod
    def serves(cls, model: Any, data: Any) -> bool:
        return callable(model)

    @classmethod
    def open(cls, model: Any, data: Any, request: Request) -> Adapter:
        if isinstance(data, (torch.Tensor, Mapping)) or not isinstance(data, Iterable):
            fail(DataError, "data", "an iterable of systems, each a dict, tuple or tensor", type(data).__name__)
        if isinstance(data, (str, Path)):
            fail(DataError, "data", "an iterable of systems (files are read for metatomic models only)", repr(data))
        check_data(data)
        if request.outputs is not None and not isinstance(request.outputs, (Mapping, str)):
            fail(ArgumentError, "outputs", "a dict from output name to representation", repr(request.outputs))
        return cls(model, data, request)

    def __init__(
        self, model: Callable[..., Any], data: Iterable[Any], request: Request | None = None, **asked: Any
    ) -> None:
        request = replace(request or Request(), **asked)
        batching = request.batching
        if not callable(model):
            fail(ArgumentError, "model", "a torch.nn.Module or a callable", type(model).__name__)
        named = isinstance(batching, str) and batching in BATCHINGS
        if batching is not None and not named and not callable(batching):
            fail(ArgumentError, "batching", f"one of {', '.join(BATCHINGS)} or a callable", repr(batching))
        self.module = model if isinstance(model, torch.nn.Module) else None
        self._model = model
        self._data = data
        self.count = len(data) if isinstance(data, Sized) else None
        self._batching: str | Callable[[list[Any]], Any] = batching or "stack"
        self.inputs = request.parsed("inputs", request.inputs, "input")
        self.outputs = request.parsed("outputs", request.outputs, SINGLE)
        self._meant = request.meant
        self._dtype = request.dtype
        self._device = torch.device(request.device) if request.device is not None else None
        self._rows = RowCounts()
        self._tails: dict[str, tuple[int, ...]] = {}
        name = type(model).__name__ if self.module is not None else getattr(model, "__name__", type(model).__name__)
        self.description = {"model": name, "data": type(data).__name__}
        self._leading_copies = self._batching in ("stack", "loop")
        self.calls_per_copy = self._batching == "loop"
        self.model_seconds = 0.0

    def systems(self) -> Iterator[System]:
        seen: set[str] = set()
        for index, item in enumerate(self._data):
            named = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
            name, item = item if named else (str(index), item)
            if name in seen:
                fail(DataError, "data", "names that differ", f"{name!r} twice")
            seen.add(name)
            yield self._system(name, item)
        if not seen:
            fail(DataError, "data", "at least one system", "an empty data set")

    def _system(self, name: str, item: Any) -> System:
        leaves, spec = _pytree.tree_flatten_with_path(item)
        check_system(f"data[{name}]", item, (leaf for _, leaf in leaves))
        keys = [_key(path) or "input" for path, _ in leaves]
        missing = [key for key in self.inputs if key not in keys]
        if missing:
            fail(ArgumentError, "inputs", f"names among {', '.join(keys)}", ", ".join(map(repr, missing)))
        values: list[Any] = []
        kinds: list[Representation | None] = []
        for key, (_, leaf) in zip(keys, leaves, strict=True):
            kind = self.inputs.get(key)
            values.append(self._leaf(f"data[{name}].{key}", leaf, kind))
            if kind is not None:
                check_axes(f"data[{name}].{key}", kind, leaf.shape, meant=key in self._meant)
            kinds.append(kind)
        check_rotates(f"data[{name}]", self.inputs, dict(zip(keys, values, strict=True)))
        tensors = [v for v in values if isinstance(v, torch.Tensor)]
        self._check_uniform(name, keys, values)
        for key, value, kind in zip(keys, values, kinds, strict=True):
            if isinstance(value, torch.Tensor):
                check_finite(f"data[{name}].{key}", value, kind)
        turned = [v for v, k in zip(values, kinds, strict=True) if k is not None and not k.is_invariant]
        rows = self._rows_of(name, keys, values, kinds)
        if turned and not any(v.numel() for v in turned):
            rows = 0
        nbytes = sum(t.numel() * t.element_size() for t in tensors)
        return System(name, (values, kinds, spec), rows, nbytes, tensors[0].device)

    def _rows_of(self, name: str, keys: Sequence[str], values: Sequence[Any], kinds: Sequence[Any]) -> int:
        """Rows of one copy: those of the first declared input, of which "concat" makes `batch`."""
        declared = [
            (key, v.shape[0]) for key, v, k in zip(keys, values, kinds, strict=True) if k is not None and v.ndim > 1
        ]
        sizes = {rows for _, rows in declared}
        if self._batching == "concat" and len(sizes) > 1:
            listed = ", ".join(f"{key} {rows}" for key, rows in declared)
            expected = "declared inputs with one number of rows, since `batch` counts them for batching='concat'"
            fail(ArgumentError, f"data[{name}]", f"{expected} (otherwise: 'loop', or a function)", listed)
        return max(1, declared[0][1]) if declared else 1

    def _leaf(self, where: str, leaf: Any, kind: Representation | None) -> Any:
        if not isinstance(leaf, torch.Tensor):
            if kind is not None:
                fail(DTypeError, where, f"a tensor, because it is declared {kind.name!r}", type(leaf).__name__)
            return leaf
        if leaf.layout != torch.strided or leaf.is_nested:
            fail(ArgumentError, where, "a dense (strided) tensor", "a nested one" if leaf.is_nested else leaf.layout)
        check_leaf(where, leaf, kind)
        if kind is not None:
            kind.check(tuple(leaf.shape), where)
            kind.check_values(kind.flatten(leaf), where)
        elif leaf.is_floating_point() and leaf.ndim and leaf.shape[-1] == 3:
            raise ArgumentError(
                f"{where}: expected a declared representation, got a floating-point tensor of shape "
                f"{tuple(leaf.shape)} that may hold vectors; declare it in `inputs` ('vector', or 'invariant' "
                "to leave it as it is)"
            )
        if leaf.is_floating_point():
            leaf = leaf.to(self._dtype or leaf.dtype)
        return leaf.detach().to(self._device) if self._device is not None else leaf.detach()

    def _check_uniform(self, name: str, keys: Sequence[str], values: Sequence[Any]) -> None:
        tensors = [(k, v) for k, v in zip(keys, values, strict=True) if isinstance(v, torch.Tensor)]
        parameters = [] if self.module is None else list(self.module.parameters())
        devices = {f"data[{name}].{k}": v.device for k, v in tensors}
        if parameters:
            devices["model"] = parameters[0].device
        if len(set(devices.values())) > 1:
            fail(DeviceError, f"data[{name}]", "tensors on the device of the model", _listing(devices))
        if tensors[0][1].is_meta:
            fail(DeviceError, f"data[{name}]", "tensors with values", "those of the device meta")
        dtypes = {f"data[{name}].{k}": v.dtype for k, v in tensors if v.is_floating_point()}
        own = {p.dtype for p in parameters if p.is_floating_point()}
        if len(own) == 1:
            dtypes["model"] = own.pop()
        if len(set(dtypes.values())) > 1:
            fail(DTypeError, f"data[{name}]", "one floating-point dtype for model and inputs", _listing(dtypes))

    def compatible(self, first: System, other: System) -> bool:
        (a, _, spec_a), (b, _, spec_b) = first.payload, other.payload
        if spec_a != spec_b or callable(self._batching):
            return bool(spec_a == spec_b)
        # joined rows may differ in number; a constant is passed once and must be the same for all
        shapes = self._leading_copies
        return all(_same_form(x, y, shapes=shapes) for x, y in zip(a, b, strict=True))

    def _copies(self, piece: Piece) -> list[Any]:
        """The leaves of one piece with a leading axis of copies; constants as they are.

        Nothing is shared by two copies or with the data, since a model may write into what it is given.
        """
        values, kinds, _ = piece.system.payload
        n = piece.rotations.shape[0]
        out: list[Any] = []
        for value, kind in zip(values, kinds, strict=True):
            if not isinstance(value, torch.Tensor):
                out.append(value)
            elif kind is None or kind.is_invariant:
                out.append(value.repeat(n, *[1] * value.ndim))
            else:
                # float64 rotations of float32 data would leave float32 round-off of the rotation in the copies
                flat = kind.flatten(value.to(torch.float64))
                turned = rotate_copies(kind, flat.reshape(1, -1, flat.shape[-1]), piece.rotations)
                turned = kind.unflatten(turned.reshape(n, *flat.shape)).contiguous()
                out.append(rounded(turned, value.dtype, piece.dither))
        return out

    def _call(self, pieces: Sequence[Piece]) -> Any:
        spec = pieces[0].system.payload[2]
        columns = list(zip(*(self._copies(piece) for piece in pieces), strict=True))
        counts = [piece.rotations.shape[0] for piece in pieces]
        if self._batching == "stack":
            leaves = [_join(column) if isinstance(column[0], torch.Tensor) else column[0] for column in columns]
            return self._evaluate(_argument(leaves, spec))
        if self._batching == "concat":
            leaves = [_join_rows(column) if isinstance(column[0], torch.Tensor) else column[0] for column in columns]
            argument = _argument(leaves, spec)
            rows = [piece.system.rows for piece in pieces for _ in range(piece.rotations.shape[0])]
            device = next(leaf.device for leaf in leaves if isinstance(leaf, torch.Tensor))
            batch = torch.repeat_interleave(torch.arange(sum(counts)), torch.tensor(rows)).to(device)
            try:
                return self._evaluate(argument, batch=batch)
            except Exception as error:
                indices = _indices(pieces[0].system)
                if not indices or ran_out(error):
                    raise
                told = f"model: expected values, got {type(error).__name__}: {error}"
                raise ModelError(f"{told}. {_joined(indices)}") from error
        singles = [
            _argument([c[i] if isinstance(c, torch.Tensor) else c for c in leaves], spec)
            for leaves, n in zip(zip(*columns, strict=True), counts, strict=True)
            for i in range(n)
        ]
        if callable(self._batching):
            return self._evaluate(self._batching(singles))
        # a model may hand out the same buffer every time
        results = [_pytree.tree_map(_copied, self._evaluate(single)) for single in singles]
        return _pytree.tree_map(stacked, *results)

    def _evaluate(self, argument: Any, **extra: torch.Tensor) -> Any:
        start = time.perf_counter()
        try:
            if isinstance(argument, Mapping):
                return self._model(**argument, **extra)
            if isinstance(argument, tuple):
                return self._model(*argument, **extra)
            return self._model(argument, **extra)
        except Exception as error:
            explain(error, argument)
            raise
        finally:
            self.model_seconds += time.perf_counter() - start

    def forward(self, pieces: Sequence[Piece]) -> dict[str, list[torch.Tensor]]:
        returned = self._named(self._call(pieces))
        return {name: self._canonical(name, kind, returned[name], pieces) for name, kind in self.outputs.items()}

    def _named(self, result: Any) -> dict[str, torch.Tensor]:
        flat = isinstance(result, dict) and all(isinstance(leaf, torch.Tensor) for leaf in result.values())
        paths = result.items() if flat else _pytree.tree_flatten_with_path(result)[0]
        every = {str(path) if flat else _key(path): leaf for path, leaf in paths}
        leaves = {key: leaf for key, leaf in every.items() if isinstance(leaf, torch.Tensor)}
        if set(leaves) == {""}:
            leaves = {next(iter(self.outputs)) if len(self.outputs) == 1 else SINGLE: leaves[""]}
        missing = [name for name in self.outputs if name not in leaves]
        if missing:
            has = ", ".join(leaves) or "no tensor"
            fail(ArgumentError, "outputs", f"names that the model returns ({has})", explain_missing(missing, every))
        return leaves

    def _canonical(
        self, name: str, kind: Representation, value: torch.Tensor, pieces: Sequence[Piece]
    ) -> list[torch.Tensor]:
        check_output(name, value)
        systems = [piece.system.name for piece in pieces]
        copies = [piece.rotations.shape[0] for piece in pieces]
        known = all(self._rows.knows(name, system) for system in systems)
        value = value.detach()
        try:
            parts = (
                self._rows.split(name, systems, copies, value)
                if known
                else [self._rows.learn(name, systems[0], value, copies[0])]
            )
        except ModelError as error:
            raise ModelError(f"{error}. {self.suspicion(pieces[0].system)}") from None
        return [self._samples_first(name, kind, part) for part in parts]

    def _samples_first(self, name: str, kind: Representation, part: torch.Tensor) -> torch.Tensor:
        if self._leading_copies and part.shape[1] == 1:
            part = part.squeeze(1)
        shape = tuple(part.shape)
        try:
            kind.check(shape[1:], f"outputs[{name!r}]")
        except ShapeError as error:
            raise ShapeError(
                f"{error} (declared {kind.name!r}; the model returns {shape[1:]} per copy{axis_hint(kind, shape[1:])})"
            ) from None
        rest = kind.rest(shape[1:])
        own = shape[2:] if len(shape) > 2 and shape[1] == 1 else shape[1:]
        check_axes(f"outputs[{name!r}]", kind, own, meant=name in self._meant)
        self._tails[name] = rest[1:]
        samples = rest[0] if rest else 1
        return kind.flatten(part).reshape(shape[0], samples, math.prod(rest[1:]), kind.components)

    def suspicion(self, system: System) -> str:
        indices = _indices(system)
        if callable(self._batching):
            return (
                "Does the batching function add the offset of each system to its indices"
                + (f" ({', '.join(map(repr, indices))})" if indices else "")
                + "? batching='loop' evaluates one copy per call"
            )
        if self._batching == "concat" and indices:
            return _joined(indices)
        return (
            "A mean, norm or other statistic over the batch does that, a function that was written for one system, or "
            "a buffer that is used again: batching='loop' evaluates one copy per call"
        )

    def native_mean(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        kind = self.outputs[name]
        return kind.unflatten(mean.reshape(mean.shape[0], *self._tails[name], kind.components))

    def value(self, system: System, name: str) -> torch.Tensor:
        values, _, spec = system.payload
        paths, _ = _pytree.tree_flatten_with_path(_pytree.tree_unflatten(values, spec))
        found: torch.Tensor = next(leaf for path, leaf in paths if (_key(path) or "input") == name)
        return found

    def forget(self, system: System) -> None:
        self._rows.forget(system.name)


def _key(path: Sequence[Any]) -> str:
    parts = []
    for entry in path:
        for attribute in ("key", "idx", "name"):
            if hasattr(entry, attribute):
                parts.append(str(getattr(entry, attribute)))
                break
    return ".".join(parts)


def _listing(found: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items())


def _indices(system: System) -> list[str]:
    """The inputs that could hold indices into rows."""
    values, _, spec = system.payload
    leaves, _ = _pytree.tree_flatten_with_path(_pytree.tree_unflatten(values, spec))
    return [
        _key(path) or "input"
        for path, leaf in leaves
        if isinstance(leaf, torch.Tensor) and _may_index(leaf, system.rows)
    ]


def _joined(indices: Sequence[str]) -> str:
    return (
        f"batching='concat' joins {', '.join(map(repr, indices))} as they are, without the offset that row indices "
        "need: give a function that adds it as `batching`, or batching='loop', which evaluates one copy per call"
    )


def _may_index(value: torch.Tensor, rows: int) -> bool:
    """Whether `value` could hold indices into rows."""
    integers = not value.is_floating_point() and not value.is_complex() and value.dtype != torch.bool
    return integers and value.ndim > 0 and value.numel() > 0 and 0 <= int(value.min()) <= int(value.max()) < rows


def _same_form(x: Any, y: Any, *, shapes: bool) -> bool:
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
        return x.dtype == y.dtype and (x.shape == y.shape if shapes else x.shape[1:] == y.shape[1:])
    return same_value(x, y)


def _argument(leaves: Sequence[Any], spec: Any) -> Any:
    """What the model is given; constants that it could write into as copies."""
    return _pytree.tree_unflatten(
        [x if isinstance(x, (torch.Tensor, *PLAIN)) else copy.deepcopy(x) for x in leaves], spec
    )


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _join(column: Sequence[torch.Tensor]) -> torch.Tensor:
    # contiguous, because models may .view() what they are given
    return column[0].contiguous() if len(column) == 1 else torch.cat(list(column))


def _join_rows(column: Sequence[torch.Tensor]) -> torch.Tensor:
    """Rows of all copies one after the other; 0-dimensional values become one entry per copy."""
    return torch.cat([c.reshape(-1) if c.ndim == 1 else c.reshape(-1, *c.shape[2:]) for c in column])
