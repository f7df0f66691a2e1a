"""Which rows of padded values are real."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from ..errors import ArgumentError, DTypeError, fail
from ..patterns import fits, stem
from .opened import Opened
from .rounding import DISPLACEMENT, Dither

WORDS = ("mask", "pad", "valid")
"""In the names of inputs that may say which rows are padding."""


class Masks:
    """What `masks` says: which input holds the truth for which values.

    asked: the name of an input that is true, or not 0, where rows are real ("~name": where they are padding), for all
        inputs, outputs and layers that have such rows; or a dict to it from patterns of their names. None: an input is
        taken for the mask if its name says so, the padding that it states stands at the end, and all that rotates is 0
        there (`infer`). An empty dict: there are no masks.

    Which axes of an output run over the rows is measured where it can be: they are those that grow when a system gets
    one more row of padding (`stretched`). Else the leading axes are taken if they have the shape of the mask.
    """

    def __init__(self, asked: str | Mapping[str, str] | None) -> None:
        if isinstance(asked, Mapping):
            if not all(isinstance(text, str) for item in asked.items() for text in item):
                fail(DTypeError, "masks", "a dict from name or pattern to the name of an input", repr(dict(asked)))
        elif asked is not None and not isinstance(asked, str):
            fail(DTypeError, "masks", "the name of an input, or a dict to such names", type(asked).__name__)
        self._table = dict(asked) if isinstance(asked, Mapping) else {} if asked is None else {"**": asked}
        self._exact = isinstance(asked, Mapping)
        self._undecided = asked is None
        self._longer: dict[str, tuple[int, ...]] = {}
        self._axes: dict[str, tuple[int, ...] | None] = {}
        self._unused = set(self._table) if self._exact else set()
        self._doubtful: str | None = None
        self.note = "none"
        """What was decided without being told, for the settings."""
        self.remarks: list[str] = []
        """The same, for the notes of a report."""

    def __bool__(self) -> bool:
        return bool(self._table)

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs that are masks."""
        return [mask.removeprefix("~") for mask in self._table.values()]

    def check(self, where: str, system: Opened) -> None:
        """Refuse masks that the system does not have, that are none, or that are the wrong way round."""
        for mask in self._table.values():
            real = self._value(where, mask, system)
            if is_right(system, real) is False:
                opposite = mask.removeprefix("~") if mask.startswith("~") else f"~{mask}"
                fail(
                    ArgumentError,
                    "masks",
                    f"rows that are real where {mask!r} says so ({opposite!r} says the opposite)",
                    f"{where}, where all that rotates is filled up there, as padding is, and not in the other rows",
                )
        for name in system.keys:
            self.of(name, system)

    def infer(self, system: Opened) -> None:
        """Look for a mask, until a system has padding."""
        if not self._undecided:
            return
        for name, value in system.tensors.items():
            called = any(word in name.lower() for word in WORDS)
            if value.ndim != 1 or not (_is_truth(value) if called else value.dtype == torch.bool):
                continue
            turning = _by_row(system, value)
            if not turning or bool((value != 0).all()) or bool((value == 0).all()):
                continue
            empty = (torch.cat(turning, -1) == 0).all(-1)
            if not called and not torch.equal(empty, value == 0):
                continue
            if not called and int(empty.sum()) == 1:  # one atom may lie at the origin
                self._doubtful = name
                continue
            for text, real in ((name, value != 0), (f"~{name}", value == 0)):
                # what comes first is a system of its own, what is 0 at its end is filled up
                if bool(real[0]) and bool(empty[int(real.sum()) :].all()) and not bool(real[int(real.sum()) :].any()):
                    self._table, self._undecided, self._doubtful = {"**": text}, False, None
                    why = f"what rotates is 0 in {_counted(int((~real).sum()))} at its end"
                    self.note = f"{text}, by itself: {why}"
                    self.remarks = [
                        _guessed(name, padding=text != name, why=f"it is called so, and {why}" if called else why)
                    ]
                    return
            self._doubtful = name

    def notes(self) -> list[str]:
        """What a report should warn of."""
        said = [f"masks[{pattern!r}] was asked for by no input, output or layer" for pattern in sorted(self._unused)]
        if self._doubtful is not None:
            name = self._doubtful
            said.append(
                f"`{name}` may say which rows are padding, and was not taken for that: masks={name!r} does, or "
                f"masks='~{name}' where it is true for padding, and masks={{}} says that there are none"
            )
        return said

    def check_used(self) -> None:
        """Refuse patterns that nothing asked for, where no layers could."""
        if self._unused:
            named = ", ".join(map(repr, sorted(self._unused)))
            fail(ArgumentError, "masks", "names or patterns of inputs, outputs and layers", named)

    def of(self, name: str, system: Opened) -> torch.Tensor | None:
        """True where rows of the value `name` are real; None where nothing is said of it."""
        for pattern, mask in self._table.items():
            if pattern == name or fits(pattern, stem(name)):
                self._unused.discard(pattern)
                return self._value("data", mask, system)
        return None

    def stretched(self, name: str, shape: tuple[int, ...]) -> None:
        """The shape, without components, that the output `name` has with one more row of padding."""
        self._longer[name] = shape

    def displaced(self, system: Opened) -> tuple[Opened, Opened] | None:
        """`system` with what rotates displaced in the rows that are real, and in those of padding; None where no mask
        leaves a doubt which are which, since one kind is filled up and the other is not."""
        found = [self._value("data", mask, system) for mask in dict.fromkeys(self._table.values())]
        doubtful = [real for real in found if is_right(system, real) is None]
        if not doubtful:
            return None
        return _displaced(system, doubtful), _displaced(system, [~real for real in doubtful])

    def real(self, value: torch.Tensor, system: Opened) -> torch.Tensor | None:
        """Which rows of an input every mask of such rows calls real, to be broadcast to `value`; None: all."""
        masks = [self._value("data", mask, system) for mask in dict.fromkeys(self._table.values())]
        fitting = [
            mask.reshape(*mask.shape, *[1] * (value.ndim - mask.ndim))
            for mask in masks
            if value.shape[: mask.ndim] == mask.shape
        ]
        return functools.reduce(torch.logical_and, fitting) if fitting else None

    def rows(self, system: Opened) -> tuple[str, int] | None:
        """Name and length of a mask of one axis, which can be made longer."""
        for mask in self._table.values():
            name = mask.removeprefix("~")
            if name in system.tensors and system.tensors[name].ndim == 1:
                return mask, len(system.tensors[name])
        return None

    def unpadded(
        self, name: str, flat: torch.Tensor, shape: tuple[int, ...], system: Opened, components: int = 1
    ) -> torch.Tensor:
        """The real rows of a value ``(copies, *shape, ...)``; all of it where it has no such rows.

        `components` axes of the value are left out of `shape`. Raises ArgumentError where a mask was declared for it by
        name and does not fit.
        """
        mask = self.of(name, system)
        if mask is None:
            return flat
        if name in self._longer:  # the system that was made longer comes first
            self._axes[name] = grown_axes(shape, self._longer.pop(name), len(mask))
        axes = self._axes.get(name) if mask.ndim == 1 else None
        if axes:
            return along(flat, mask, axes)
        declared = self._exact and name in self._table
        if tuple(shape[: mask.ndim]) == tuple(mask.shape) and (declared or axes is None):
            # one axis of as many numbers may count anything, unless the mask is meant for it
            if self._exact or components or len(shape) > mask.ndim:
                return flat[:, mask]
        elif declared:
            fail(ArgumentError, f"masks[{name!r}]", f"a mask of the leading axes of {shape}", tuple(mask.shape))
        return flat

    @staticmethod
    def _value(where: str, mask: str, system: Opened) -> torch.Tensor:
        name, tensors = mask.removeprefix("~"), system.tensors
        if name not in tensors:
            fail(ArgumentError, "masks", f"names of inputs ({', '.join(tensors)})", repr(mask))
        value = tensors[name]
        if not value.ndim or not _is_truth(value):
            what = f"{value.dtype} of shape {tuple(value.shape)}"
            fail(ArgumentError, f"{where}.{name}", "a mask: true or false, or 1 and 0, along the rows", what)
        return value == 0 if mask.startswith("~") else value != 0


def grown_axes(shape: Sequence[int], longer: Sequence[int], rows: int) -> tuple[int, ...] | None:
    """The axes of `shape` that have `rows` entries, and one more in `longer`; None where that cannot be told."""
    if len(longer) != len(shape):
        return None
    return tuple(i for i, (a, b) in enumerate(zip(shape, longer, strict=True)) if a == rows and b == rows + 1)


def along(value: torch.Tensor, mask: torch.Tensor, axes: Sequence[int]) -> torch.Tensor:
    """The entries of ``(copies, ...)`` where `mask` ``(n,)`` holds, along each of `axes`, counted after the copies."""
    index = torch.nonzero(mask.to(value.device))[:, 0]
    for axis in axes:
        value = value.index_select(axis + 1, index)
    return value


def with_a_row(system: Opened, mask: str, rows: int) -> Opened:
    """`system` with one more row of padding in everything that has as many rows as the mask."""
    values = []
    for key, value, kind in zip(system.keys, system.values, system.kinds, strict=True):
        if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape[0] != rows:
            values.append(value)
            continue
        last = torch.zeros_like(value[-1:]) if kind is not None else value[-1:]
        if key == mask.removeprefix("~"):
            last = torch.full_like(value[-1:], mask.startswith("~"))
        longer = torch.cat([value, last])
        if kind is None and value.ndim > 1 and value.shape[1] == rows:
            # between all pairs of rows
            longer = torch.cat([longer, longer[:, -1:]], 1)
        values.append(longer)
    return replace(system, values=tuple(values), rows=system.rows + (system.rows == rows), longer=True)


def is_right(system: Opened, real: torch.Tensor) -> bool | None:
    """Whether a mask is the right way round: what is filled up is padding. None where both kinds of rows are, or none;
    true where there is one kind alone."""
    if bool(real.all()) or not bool(real.any()) or not _by_row(system, real):
        return True
    filled, padding = _is_blank(system, real, real=True), _is_blank(system, ~real)
    return None if filled == padding else padding


def _by_row(system: Opened, mask: torch.Tensor) -> list[torch.Tensor]:
    """What rotates and has the rows of a mask, each row flat, ``(*mask.shape, numbers)``."""
    return [
        value.nan_to_num(0.0).reshape(*mask.shape, -1)
        for value, turns in zip(system.values, system.turns, strict=True)
        if turns and value.ndim > mask.ndim and value.shape[: mask.ndim] == mask.shape
    ]


def _is_blank(system: Opened, rows: torch.Tensor, *, real: bool = False) -> bool:
    """Whether all that rotates has the same numbers in each of `rows`, as what is filled up has; of one row, zeros.

    Of a system whose rows are meant to be `real`, the first one alone may lie at the origin.
    """
    found = [value[rows] for value in _by_row(system, rows)]
    if int(rows.sum()) == 1:
        return not (real and bool(rows.reshape(-1)[0])) and not any(bool(value.any()) for value in found)
    return all(bool((value == value[:1]).all()) for value in found)


def _displaced(system: Opened, masks: Sequence[torch.Tensor]) -> Opened:
    """`system` with what rotates displaced in the rows of each of `masks`."""
    values, dither = list(system.values), Dither([0], DISPLACEMENT)
    for rows in masks:
        for i, turns in enumerate(system.turns):
            if turns and values[i].ndim > rows.ndim and values[i].shape[: rows.ndim] == rows.shape:
                moved = dither(values[i].double().unsqueeze(0))[0].to(values[i].dtype)
                values[i] = torch.where(rows.reshape(*rows.shape, *[1] * (moved.ndim - rows.ndim)), moved, values[i])
    return replace(system, values=tuple(values))


def _guessed(name: str, *, padding: bool, why: str) -> str:
    what = "padding" if padding else "real"
    return f"`{name}` was taken for the mask, true where rows are {what}: {why}. masks={{}} says that there is none"


def _counted(rows: int) -> str:
    return f"{rows} row{'s' if rows != 1 else ''}"


def _is_truth(value: torch.Tensor) -> bool:
    return value.dtype == torch.bool or bool(((value == 0) | (value == 1)).all())
