"""How rotated copies become what a plain model is called with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ArgumentError, ShapeError, fail
from .checks import same_value
from .containers import Container
from .opened import Opened


@dataclass(frozen=True)
class Copies:
    """Rotated copies of one system: its leaves with a leading axis of `count` copies, constants as they are."""

    system: Opened
    leaves: list[Any]
    count: int

    def __getitem__(self, index: int) -> list[Any]:
        """The leaves of one copy."""
        return [leaf[index] if isinstance(leaf, torch.Tensor) else leaf for leaf in self.leaves]


class Batching(ABC):
    """Makes arguments of the model from copies."""

    name: str
    """As the report says it."""
    given = "copies as the batching function joins them"
    """What of the copies is in one call, as errors say it."""
    leading = False
    """Whether copies are a new leading axis of what the model takes and returns."""
    per_copy = False
    """Whether the model is called for one copy at a time."""
    indices: Collection[str] = ()
    """Inputs that are known to point to rows."""
    listed = False
    """Whether copies are a list, so that what the model returns may be one."""

    @abstractmethod
    def arguments(self, pieces: Sequence[Copies], differentiable: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
        """What the model is called with, and further keywords, one call after the other."""

    def rows(self, where: str, system: Opened) -> int:
        """Rows of one copy, which batches are filled by: those of the first declared input with any."""
        if system.layout.container is not None:
            own = system.layout.container.rows(system.layout.items[0])
            if own is not None:
                return own
        return next(iter(_declared_rows(system).values()), 1)

    def compatible(self, first: Opened, other: Opened) -> bool:
        """Whether copies of two systems, whose containers are alike, may share a call."""
        return True

    def suspicion(self, system: Opened) -> str:
        """What is likely at fault where copies see each other."""
        return (
            "A mean, norm or other statistic over the batch does that, a function that was written for one system, or "
            "a buffer that is used again: batching='loop' evaluates one copy per call"
        )

    def explains(self, system: Opened) -> str:
        """What may have made the model fail, where the batching is open to doubt; else ""."""
        return ""


class Stack(Batching):
    """Copies along a new leading axis of every tensor."""

    name = "stack"
    given = "copies along the first axis"
    leading = True

    def arguments(self, pieces: Sequence[Copies], differentiable: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
        columns = zip(*(piece.leaves for piece in pieces), strict=True)
        leaves = [_stacked(column) if isinstance(column[0], torch.Tensor) else column[0] for column in columns]
        yield pieces[0].system.argument(leaves, differentiable=differentiable), {}

    def compatible(self, first: Opened, other: Opened) -> bool:
        return all(_alike(x, y, slice(None)) for x, y in zip(first.values, other.values, strict=True))


class Loop(Stack):
    """One call per copy, for a model of one system; what comes back is stacked."""

    name = "loop"
    given = "one copy"
    per_copy = True

    def arguments(self, pieces: Sequence[Copies], differentiable: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
        for piece in pieces:
            for index in range(piece.count):
                yield piece.system.argument(piece[index], differentiable=differentiable), {}


class Listed(Batching):
    """A function makes one argument of the list of rotated systems: of the user, or of the type of the data."""

    listed = True

    def __init__(self, function: Callable[[list[Any]], Any], name: str) -> None:
        self._function = function
        self.name = name

    @classmethod
    def collated(cls, container: type[Container]) -> Listed:
        """By the collation that the type of the data has itself."""
        return cls(container.collate, f"collated as {container.words}")

    def arguments(self, pieces: Sequence[Copies], differentiable: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
        singles = [
            piece.system.argument(piece[index], differentiable=differentiable)
            for piece in pieces
            for index in range(piece.count)
        ]
        yield self._function(singles), {}

    def suspicion(self, system: Opened) -> str:
        indices = _may_index(system)
        return (
            "Does the batching function add the offset of each system to its indices"
            + (f" ({', '.join(map(repr, indices))})" if indices else "")
            + "? batching='loop' evaluates one copy per call"
        )


class Concat(Batching):
    """Rows of all copies one after the other, and the keyword `batch`, which numbers the copies row by row.

    Every tensor is joined along its first axis, scalars become one entry per copy; rows of edges are rows of their own.
    Nothing of what follows is guessed: indices that lack their offset are found by the rehearsal, which refuses them.

    Args:
        rows: the input whose rows `batch` counts; asked for where declared inputs have different numbers of rows.
        index: inputs of integers that point to these rows, to which the offset of each copy is added: a name, several,
            or a dict from name to the axis along which they are joined. Without an axis that is the last for
            (2, edges), the first for (edges, 2) and (edges,). Negative ones point to no row, and stay as they are.
        system: inputs that belong to the system and not to a row, a cell (3, 3) say: they get a leading axis of copies.

    >>> Concat(rows="pos", index="edge_index", system="cell").name
    'concat: rows of pos, index edge_index, one cell per copy'
    """

    given = "rows of all copies one after the other"

    @staticmethod
    def likely(system: Opened) -> dict[str, Any]:
        """The arguments that systems like this one probably need, by the shapes of what they hold."""
        # one integer per row is more often what the row is, a species, than a row it points to
        index = [name for name in _may_index(system) if system.tensors[name].shape not in ((1,), (system.rows,))]
        asked: dict[str, Any] = {"index": index[0] if len(index) == 1 else index} if index else {}
        declared = _declared_rows(system)
        cells = [name for name in list(declared)[1:] if system.tensors[name].shape == (3, 3)]
        if cells and len(set(declared.values())) > 1:
            asked = {"rows": next(iter(declared)), **asked, "system": cells[0] if len(cells) == 1 else cells}
        return asked

    def __init__(
        self,
        rows: str | None = None,
        *,
        index: Mapping[str, int] | Sequence[str] | str = (),
        system: Sequence[str] | str = (),
    ) -> None:
        for argument, given in (("index", index), ("system", system)):
            if not isinstance(given, str | Sequence | Mapping) or not all(isinstance(name, str) for name in given):
                fail(ArgumentError, argument, "names of inputs", repr(given))
        if rows is not None and not isinstance(rows, str):
            fail(ArgumentError, "rows", "the name of an input or None", repr(rows))
        names = [index] if isinstance(index, str) else list(index)
        self._rows = rows
        self._index = {name: index[name] if isinstance(index, Mapping) else None for name in names}
        self.indices = names
        self._system = [system] if isinstance(system, str) else list(system)
        said = [f"rows of {rows}"] if rows is not None else []
        said += [f"index {', '.join(names)}"] if names else []
        said += [f"one {', '.join(self._system)} per copy"] if self._system else []
        self.name = f"concat{': ' if said else ''}{', '.join(said)}"

    def rows(self, where: str, system: Opened) -> int:
        tensors = system.tensors
        for name in (*([self._rows] if self._rows is not None else ()), *self._index, *self._system):
            if name not in tensors:
                fail(ArgumentError, "batching", f"names of tensors among {', '.join(tensors)}", repr(name))
        for name in self._index:
            self._check_index(where, name, tensors[name])
        if self._rows is not None:
            return _first(tensors[self._rows])
        declared = {name: n for name, n in _declared_rows(system).items() if name not in self._system}
        if len(set(declared.values())) > 1:
            listed = ", ".join(f"{name} {n}" for name, n in declared.items())
            expected = (
                "declared inputs with one number of rows, since `batch` counts them for batching='concat'; say which "
                'has them, and what belongs to the system: batching=eq.Concat(rows="positions", system="cell")'
            )
            fail(ArgumentError, where, expected, listed)
        return next(iter(declared.values()), 1)

    def _check_index(self, where: str, name: str, value: torch.Tensor) -> None:
        if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
            fail(ArgumentError, f"{where}.{name}", "integers, because it is an index into rows", value.dtype)
        if self._index[name] is None and tuple(value.shape) == (2, 2):
            expected = f"the axis along which it is joined, batching=eq.Concat(index={{{name!r}: 1}}), or 0"
            fail(ShapeError, f"{where}.{name}", expected, "(2, 2), which may be two edges either way")

    def _axis(self, name: str, value: torch.Tensor) -> int:
        axis = self._index[name]
        if axis is not None:
            return axis % max(1, value.ndim)
        return value.ndim - 1 if value.ndim > 1 and value.shape[0] == 2 else 0

    def compatible(self, first: Opened, other: Opened) -> bool:
        """Joined rows may differ in number; a constant is passed once and must be the same for all."""
        for key, x, y in zip(first.keys, first.values, other.values, strict=True):
            ends = slice(None) if key in self._system else slice(1, None)
            if key in self._index and isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
                axis = self._axis(key, x)
                x, y = x.movedim(axis, 0), y.movedim(self._axis(key, y), 0)
            if not _alike(x, y, ends):
                return False
        return True

    def arguments(self, pieces: Sequence[Copies], differentiable: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
        counts = torch.tensor([piece.system.rows for piece in pieces for _ in range(piece.count)])
        offsets = (counts.cumsum(0) - counts).split([piece.count for piece in pieces])
        leaves = []
        for place, key in enumerate(pieces[0].system.keys):
            column = [piece.leaves[place] for piece in pieces]
            if not isinstance(column[0], torch.Tensor):
                leaves.append(column[0])
            elif key in self._system:
                leaves.append(_stacked(column))
            elif key in self._index:
                leaves.append(self._pointing(key, column, offsets))
            else:
                leaves.append(_joined_rows(column))
        device = next(leaf.device for leaf in leaves if isinstance(leaf, torch.Tensor))
        batch = torch.repeat_interleave(torch.arange(len(counts)), counts).to(device)
        yield pieces[0].system.argument(leaves, differentiable=differentiable), {"batch": batch}

    def _pointing(self, key: str, column: Sequence[torch.Tensor], offsets: Sequence[torch.Tensor]) -> torch.Tensor:
        """Indices of all copies, each with the number of rows before its copy added."""
        joined = []
        for copies, before in zip(column, offsets, strict=True):
            shifted = copies + (copies >= 0) * before.to(copies).reshape(-1, *[1] * (copies.ndim - 1))
            joined.append(torch.cat(list(shifted), dim=self._axis(key, copies[0])))
        return torch.cat(joined, dim=self._axis(key, column[0][0]))

    def suspicion(self, system: Opened) -> str:
        return self.explains(system) or super().suspicion(system)

    def explains(self, system: Opened) -> str:
        indices = [name for name in _may_index(system) if name not in self._index]
        if not indices:
            return ""
        named = ", ".join(map(repr, indices))
        return (
            f"batching='concat' joins {named} as they are, without the offset that row indices need: "
            f"batching=eq.Concat(index={indices[0] if len(indices) == 1 else indices!r}) adds it, where they point to "
            "rows; batching='loop' evaluates one copy per call"
        )


WORDS: Mapping[str, type[Batching]] = {"stack": Stack, "concat": Concat, "loop": Loop}


def batching_of(asked: Any, container: type[Container] | None) -> Batching:
    """What was asked for, or what the type of the data does by itself."""
    if isinstance(asked, Batching):
        return asked
    if isinstance(asked, str) and asked in WORDS:
        return WORDS[asked]()
    if asked is None:
        own = "stack" if container is None else container.batching
        return Listed.collated(container) if container is not None and own == "collate" else WORDS[own]()
    if not callable(asked) or (isinstance(asked, type) and issubclass(asked, Batching)):
        fail(ArgumentError, "batching", f"one of {', '.join(WORDS)}, eq.Concat(...) or a callable", repr(asked))
    return Listed(asked, getattr(asked, "__name__", type(asked).__name__))


def _declared_rows(system: Opened) -> dict[str, int]:
    """Rows of the declared inputs that have a first axis beside those of their components."""
    return {
        key: value.shape[0]
        for key, value, kind in zip(system.keys, system.values, system.kinds, strict=True)
        if kind is not None and isinstance(value, torch.Tensor) and value.ndim > 1
    }


def _first(value: torch.Tensor) -> int:
    return value.shape[0] if value.ndim else 1


def _may_index(system: Opened) -> list[str]:
    """The inputs that could hold indices into rows, -1 where there is none."""
    return [
        key
        for key, value in system.tensors.items()
        if not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
        and value.ndim > 0
        and value.numel() > 0
        and -1 <= int(value.min()) <= int(value.max()) < system.rows
    ]


def _alike(x: Any, y: Any, ends: slice) -> bool:
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
        return x.dtype == y.dtype and x.shape[ends] == y.shape[ends]
    return same_value(x, y)


def _stacked(column: Sequence[torch.Tensor]) -> torch.Tensor:
    # contiguous, because models may .view() what they are given
    return column[0].contiguous() if len(column) == 1 else torch.cat(list(column))


def _joined_rows(column: Sequence[torch.Tensor]) -> torch.Tensor:
    """Rows of all copies one after the other; 0-dimensional values become one entry per copy."""
    return torch.cat([c.reshape(-1) if c.ndim == 1 else c.reshape(-1, *c.shape[2:]) for c in column])
