"""Any `torch.nn.Module` or callable on tensors, and on whatever holds tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..errors import ArgumentError, DataError, DeviceError, DTypeError, ModelError, ShapeError, fail, in_a_line, ran_out
from ..groups.representation import Representation
from ..ops.rotation import rotate_copies
from ..patterns import fits
from .base import Adapter, Again, Piece, Request, System
from .batching import Batching, Copies, batching_of
from .calling import Call
from .checks import (
    axis_hint,
    check_axes,
    check_distinct,
    check_finite,
    check_leaf,
    check_output,
    check_rotates,
    check_system,
    may_hold_vectors,
)
from .containers import Layout, opened
from .keywords import holds_structures, systems_of
from .masks import Masks, is_right, with_a_row
from .opened import Opened
from .otherwise import remedy
from .points import Points, points_among
from .registry import register
from .returned import NUMERIC, SINGLE, by_name, of_copies, values
from .rounding import rounded
from .rows import RowCounts
from .stream import each_system, is_data_set, is_one_system
from .structures import CELL, label_of
from .unturned import Unturned, displaced, may_hold_directions

ONLY = "input"
"""Name of the only input, where the data have none for it."""


@register
class PlainAdapter(Adapter):
    """Rotated copies for a module whose inputs and outputs are tensors, in whatever holds them.

    `data` yields systems without a batch axis, each a tensor, a tuple (positional arguments), a dict (keyword
    arguments), an object of a type in `containers`, or a pair ``(name, system)``. What is asked comes as a `Request`,
    or as keywords that are fields of one: `inputs` and `outputs` declare representations by key, keys of nested
    containers joined by dots. Everything undeclared is invariant, except that a floating-point tensor whose last axis
    is 3 must be declared.
    """

    wants = "a torch.nn.Module or another callable on tensors"
    precedence = 0

    @classmethod
    def serves(cls, model: Any, data: Any) -> bool:
        return callable(model)

    @classmethod
    def open(cls, model: Any, data: Any, request: Request) -> Adapter:
        named = isinstance(request.outputs, Mapping) and None not in request.outputs.values()
        if request.outputs is not None and not (named or isinstance(request.outputs, str)):
            expected = "a dict from output name to representation (NAME=REPRESENTATION on the command line)"
            fail(ArgumentError, "outputs", expected, repr(request.outputs))
        if holds_structures(data):
            called = getattr(model, request.call, model) if isinstance(request.call, str) else model
            systems, inputs = systems_of(data, called, dtype=request.dtype, inputs=request.inputs)
            adapter = cls(model, systems, replace(request, inputs=inputs))
            adapter._described["data"] = label_of(data, len(systems))
            return adapter
        data = [data] if is_one_system(data) else data
        if isinstance(data, (torch.Tensor, Mapping)) or not is_data_set(data):
            single = isinstance(data, (torch.Tensor, Mapping))
            expected = f"an iterable of systems, each a dict, tuple or tensor{' ([data] where it is one)' * single}"
            fail(DataError, "data", expected, f"{'one ' * single}{type(data).__name__}")
        return cls(model, data, request)

    def __init__(
        self, model: Callable[..., Any], data: Iterable[Any], request: Request | None = None, **asked: Any
    ) -> None:
        request = replace(request or Request(), **asked)
        if not callable(model) or (isinstance(model, type) and issubclass(model, torch.nn.Module)):
            what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
            fail(ArgumentError, "model", "a torch.nn.Module or a callable", what)
        self._asked_batching = request.batching
        self._batching: Batching = batching_of(request.batching, None)
        self._call = Call(model, request.call, request.grad)
        self._masks = Masks(request.outer_masks)
        self._asked_masks = request.masks
        self._has_layers = bool(request.patterns)
        self.module = model if isinstance(model, torch.nn.Module) else None
        self._data = data
        self._labels = request.labels
        self._ran = False
        self.count = len(data) if isinstance(data, Sized) else None
        declared = request.parsed("inputs", request.inputs, ONLY)
        self._patterns = {name: kind for name, kind in declared.items() if "*" in name}
        self.inputs = {name: kind for name, kind in declared.items() if name not in self._patterns}
        self.outputs = request.parsed("outputs", request.outputs, SINGLE)
        self._meant = request.meant
        self._dtype = request.dtype
        self._device = torch.device(request.device) if request.device is not None else None
        self._parameters: list[torch.nn.Parameter] = []
        self._rows = RowCounts()
        self._tails: dict[str, tuple[int, ...]] = {}
        name = type(model).__name__ if self.module is not None else getattr(model, "__name__", type(model).__name__)
        self._described = {"model": name, "data": type(data).__name__}
        self._containers: set[str] = set()
        self._unturned = Unturned()

    # -- what the audit asks -------------------------------------------------------------------------------------

    @property
    def description(self) -> dict[str, str]:  # type: ignore[override]
        """Model and data, and what was decided about them by looking at them."""
        decided = {"batching": self._batching.name, **self._call.settings}
        if self._containers:
            decided["data_opened"] = ", ".join(sorted(self._containers))
        decided["masks"] = self._masks.note if self._asked_masks is None else _stated(self._asked_masks)
        return {**self._described, **decided}

    @property
    def calls_per_copy(self) -> bool:  # type: ignore[override]
        """Whether the batching calls the model for one copy at a time."""
        return self._batching.per_copy

    @property
    def model_seconds(self) -> float:  # type: ignore[override]
        """Wall time spent inside the model so far."""
        return self._call.seconds

    def systems(self) -> Iterator[System]:
        empty = True
        self._parameters = [] if self.module is None else list(self.module.parameters())
        for name, item in each_system(self._data):
            empty = False
            yield self._system(name, item if self._labels is None else self._labels.taken(name, item))
        if empty:
            fail(DataError, "data", "at least one system", "an empty data set")

    def compatible(self, first: System, other: System) -> bool:
        a, b = first.payload, other.payload
        return bool(a.layout == b.layout and a.arrays == b.arrays) and self._batching.compatible(a, b)

    def mask(self, name: str, system: System) -> torch.Tensor | None:
        return self._masks.of(name, system.payload) if self._masks else None

    @property
    def notes(self) -> list[str]:  # type: ignore[override]
        """Of data that the model does not take, of cells that turn as no cell does, and of masks."""
        left = ", ".join(f"`{name}`" for name in self._call.left)
        without = [f"the model has no parameter for {left}: it was called without"] if left else []
        cells = [
            f'`{name}` is declared "tensor", of which both axes turn: rows that are vectors of a cell are a "vector"'
            for name, kind in self.inputs.items()
            if kind.name == "tensor" and name.rpartition(".")[2].lower() in CELL
        ]
        return [*without, *cells, *self._masks.notes()]

    @property
    def remarks(self) -> list[str]:  # type: ignore[override]
        """Of inputs that stay as they are, and of a mask that was found."""
        return [*self._unturned.remarks({*self._call.left, *self._masks.inputs}), *self._masks.remarks]

    def longer(self, system: System) -> System | None:
        rows = self._masks.rows(system.payload)
        if rows is None:
            return None
        payload = with_a_row(system.payload, *rows)
        return replace(system, name=f"{system.name} and a row", payload=payload, rows=payload.rows)

    def is_real(self, system: System, rows: torch.Tensor) -> bool | None:
        return is_right(system.payload, rows.to(system.device))

    def displaced(self, system: System) -> tuple[System, System] | None:
        found = self._masks.displaced(system.payload)
        if found is None:
            return None
        real, padding = found
        return (
            replace(system, name=f"{system.name} with other rows", payload=real),
            replace(system, name=f"{system.name} with other padding", payload=padding),
        )

    def unturned(self, system: System) -> Mapping[str, System]:
        found: Opened = system.payload
        asked = {
            key: i
            for i, (key, value, turns) in enumerate(zip(found.keys, found.values, found.turns, strict=True))
            if not turns and key not in self.inputs and self._is_given(key) and may_hold_directions(value)
        }
        return {
            key: replace(
                system,
                name=f"{system.name} with other {key}",
                payload=replace(found, values=(*found.values[:i], displaced(found.values[i]), *found.values[i + 1 :])),
            )
            for key, i in asked.items()
        }

    def _is_given(self, key: str) -> bool:
        """Whether the model takes an input, and it is no target."""
        return key not in self._call.left and not (self._labels and key in self._labels.keys)

    def suspicion(self, system: System) -> str:
        return self._batching.suspicion(system.payload)

    def native_mean(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        kind = self.outputs[name]
        return kind.unflatten(mean.reshape(mean.shape[0], *self._tails[name], kind.components))

    def value(self, system: System, name: str) -> torch.Tensor:
        found: torch.Tensor = system.payload.tensors[name]
        return found

    def identity(self) -> Any:
        return self._call.identity

    def content(self, system: System) -> Any:
        return [system.payload.keys, system.payload.values]

    def points(self, system: System) -> Points | None:
        found: Opened = system.payload
        kinds = {key: kind for key, kind in zip(found.keys, found.kinds, strict=True) if kind is not None}

        def real(name: str, value: torch.Tensor) -> torch.Tensor:
            return self._masks.unpadded(name, value.unsqueeze(0), tuple(value.shape), found)[0]

        return points_among(found.tensors, kinds, real)

    def forget(self, system: System) -> None:
        self._rows.forget(system.name)

    # -- data ----------------------------------------------------------------------------------------------------

    def _system(self, name: str, item: Any) -> System:
        where = f"data[{name}]"
        leaves, layout = opened(item)
        check_system(where, item, (leaf for _, leaf in leaves))
        leaves = [(key or ONLY, leaf) for key, leaf in leaves]
        keys = [key for key, _ in leaves]
        check_distinct(DataError, where, keys)
        self._look_at(layout, keys)
        missing = [key for key in self.inputs if key not in keys]
        if missing:
            fail(ArgumentError, "inputs", f"names among {', '.join(keys)}", ", ".join(map(repr, missing)))
        found = self._opened(where, leaves, layout)
        check_rotates(where, self.inputs, dict(zip(keys, found.values, strict=True)))
        self._check_uniform(name, found.tensors)
        self._masks.infer(found)
        self._masks.check(where, found)
        for key, value, kind in zip(found.keys, found.values, found.kinds, strict=True):
            if isinstance(value, torch.Tensor):
                (real,) = self._masks.unpadded(key, value.unsqueeze(0), tuple(value.shape), found)
                check_finite(f"{where}.{key}", real, kind)
        turned = [v for v, turns in zip(found.values, found.turns, strict=True) if turns]
        rows = max(1, self._batching.rows(where, found))
        found = replace(found, rows=rows)
        tensors = list(found.tensors.values())
        empty = bool(turned) and not any(v.numel() for v in turned)
        nbytes = sum(t.numel() * t.element_size() for t in tensors)
        return System(name, found, 0 if empty else rows, nbytes, tensors[0].device)

    def _look_at(self, layout: Layout, keys: Sequence[str]) -> None:
        """Take over what the type of the data says of it."""
        container = layout.container
        if container is not None:
            self._containers.add(container.words)
            known = {name: Representation.parse(kind) for name, kind in container.inputs.items() if name in keys}
            self.inputs = {**known, **self.inputs}
        if len(keys) == 1 and list(self.inputs) == [ONLY]:
            self.inputs = {keys[0]: self.inputs[ONLY]}
        if self._asked_batching is None:
            self._batching = batching_of(None, container)

    def _opened(self, where: str, leaves: Sequence[tuple[str, Any]], layout: Layout) -> Opened:
        kinds = tuple(self._kind(key) if _is_array(leaf) else self.inputs.get(key) for key, leaf in leaves)
        numbers = [isinstance(leaf, np.ndarray) and leaf.dtype.kind in NUMERIC for _, leaf in leaves]
        tensors = [
            torch.from_numpy(np.array(leaf)) if number else leaf
            for (_, leaf), number in zip(leaves, numbers, strict=True)
        ]
        undeclared = [
            f"{key} {tuple(leaf.shape)}"
            for (key, _), leaf, kind in zip(leaves, tensors, kinds, strict=True)
            if kind is None and may_hold_vectors(leaf) and not (self._labels and key in self._labels.keys)
        ]
        if undeclared:
            raise ArgumentError(
                f"{where}: expected a declared representation of every floating-point tensor that may hold vectors, "
                f"got undeclared {', '.join(undeclared)}; declare each in `inputs` ('vector', or 'invariant' to leave "
                "it as it is)"
            )
        for (key, _), leaf, kind in zip(leaves, tensors, kinds, strict=True):
            if not (self._labels and key in self._labels.keys):
                self._unturned.see(key, leaf, kind)
        values = tuple(
            self._leaf(f"{where}.{key}", leaf, kind, meant=key in self._meant or key in self._batching.indices)
            for (key, _), leaf, kind in zip(leaves, tensors, kinds, strict=True)
        )
        # a module takes tensors, a function what it was given
        arrays = tuple(number and self.module is None for number in numbers)
        return Opened(tuple(key for key, _ in leaves), values, kinds, arrays, layout, 1)

    def _kind(self, key: str) -> Representation | None:
        """As declared for an input by its name, or else by the first pattern that fits."""
        fitting = (kind for pattern, kind in self._patterns.items() if fits(pattern, key))
        return self.inputs.get(key) or next(fitting, None)

    def _leaf(self, where: str, leaf: Any, kind: Representation | None, *, meant: bool) -> Any:
        if not isinstance(leaf, torch.Tensor):
            if kind is not None:
                fail(DTypeError, where, f"a tensor, because it is declared {kind.name!r}", type(leaf).__name__)
            return leaf
        if leaf.layout != torch.strided or leaf.is_nested:
            fail(ArgumentError, where, "a dense (strided) tensor", "a nested one" if leaf.is_nested else leaf.layout)
        check_leaf(where, leaf, kind, meant=meant)
        if kind is not None:
            kind.check(tuple(leaf.shape), where)
            check_axes(where, kind, leaf.shape, meant=meant)
            kind.check_values(kind.flatten(leaf), where)
        if leaf.is_floating_point():
            leaf = leaf.to(self._dtype or leaf.dtype)
        return leaf.detach().to(self._device) if self._device is not None else leaf.detach()

    def _check_uniform(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        parameters = self._parameters
        devices = {f"data[{name}].{k}": v.device for k, v in tensors.items()}
        if parameters:
            devices["model"] = parameters[0].device
        if len(set(devices.values())) > 1:
            fail(DeviceError, f"data[{name}]", "tensors on the device of the model", _listing(devices))
        if next(iter(tensors.values())).is_meta:
            fail(DeviceError, f"data[{name}]", "tensors with values", "those of the device meta")
        dtypes = {f"data[{name}].{k}": v.dtype for k, v in tensors.items() if v.is_floating_point()}
        own = {p.dtype for p in parameters if p.is_floating_point()}
        if len(own) == 1:
            dtypes["model"] = own.pop()
        if len(set(dtypes.values())) > 1:
            way = f" (dtype={dtypes['model']} brings data to that of the model)" if "model" in dtypes else ""
            fail(DTypeError, f"data[{name}]", f"one floating-point dtype for model and inputs{way}", _listing(dtypes))

    # -- copies and the call -------------------------------------------------------------------------------------

    def _copies(self, piece: Piece) -> Copies:
        """One piece with a leading axis of copies; constants as they are.

        Nothing is shared by two copies or with the data, since a model may write into what it is given.
        """
        system: Opened = piece.system.payload
        n = piece.rotations.shape[0]
        leaves: list[Any] = []
        for value, kind in zip(system.values, system.kinds, strict=True):
            if not isinstance(value, torch.Tensor):
                leaves.append(value)
            elif kind is None or kind.is_invariant:
                leaves.append(value.repeat(n, *[1] * value.ndim))
            else:
                # float64 rotations of float32 data would leave float32 round-off of the rotation in the copies
                flat = kind.flatten(value.to(torch.float64))
                turned = rotate_copies(kind, flat.reshape(1, -1, flat.shape[-1]), piece.rotations)
                turned = kind.unflatten(turned.reshape(n, *flat.shape)).contiguous()
                displaces = piece.dither is not None and piece.dither.displaces
                real = self._masks.real(value, system) if displaces else None
                leaves.append(rounded(turned, value.dtype, piece.dither, real))
        return Copies(system, leaves, n)

    def forward(self, pieces: Sequence[Piece]) -> dict[str, list[torch.Tensor]]:
        copies = sum(len(piece.rotations) for piece in pieces)
        where, listed = ", ".join(p.system.name for p in pieces), copies if self._batching.listed else None
        returned = by_name(self._evaluated(pieces), list(self.outputs), listed, where=where)
        if untaken := [name for name in self._call.left if pieces[0].system.payload.rotates(name)]:
            named = ", ".join(map(repr, untaken))
            fail(ArgumentError, "inputs", "inputs that the model takes", f"{named}, for which it has no parameter")
        found = {name: self._canonical(name, kind, returned[name], pieces) for name, kind in self.outputs.items()}
        if not self._has_layers:
            self._masks.check_used()
        return found

    def _evaluated(self, pieces: Sequence[Piece]) -> Any:
        try:
            returned = self._evaluated_once(pieces)
            self._ran = True
            return returned
        except Exception as error:  # whatever a foreign model raises
            if self._call.records_more(error):
                raise Again from error
            if ran_out(error) or isinstance(error, ModelError):
                raise
            hint = self._batching.explains(pieces[0].system.payload)
            if not hint and not self._ran and self._batching.leading:
                hint = remedy(self._call, self._batching, self._copies(pieces[0]))
            if not hint:
                raise
            raise ModelError(f"model: expected values, got {in_a_line(error)}. {hint}") from error

    def _evaluated_once(self, pieces: Sequence[Piece]) -> Any:
        copies = [self._copies(piece) for piece in pieces]
        calls = self._batching.arguments(copies, self._call.differentiable)
        if not self._batching.per_copy:
            ((argument, extra),) = calls
            return self._call(argument, extra, self._batching.given)
        # a model may hand out the same buffer every time
        given = self._batching.given
        results = [values(self._call(argument, extra, given), own=True) for argument, extra in calls]
        return of_copies(results, list(self.outputs))

    # -- what came back ------------------------------------------------------------------------------------------

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
        return [
            self._samples_first(name, kind, part, piece.system.payload)
            for part, piece in zip(parts, pieces, strict=True)
        ]

    def _samples_first(self, name: str, kind: Representation, part: torch.Tensor, system: Opened) -> torch.Tensor:
        if self._batching.leading and part.shape[1] == 1:
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
        flat = kind.flatten(part)
        if system.longer:
            self._masks.stretched(name, rest)
        else:
            flat = self._masks.unpadded(name, flat, rest, system, components=kind.component_axes)
            rest = tuple(flat.shape[1:-1])
        self._tails[name] = rest[1:]
        samples = rest[0] if rest else 1
        return flat.reshape(shape[0], samples, math.prod(rest[1:]), kind.components)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (torch.Tensor, np.ndarray))


def _stated(masks: Mapping[str, str] | str) -> str:
    """Masks as they were asked for, in words."""
    if isinstance(masks, str):
        return masks
    return ", ".join(f"{pattern}: {mask}" for pattern, mask in masks.items()) or "none, as asked"


def _listing(found: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items())
