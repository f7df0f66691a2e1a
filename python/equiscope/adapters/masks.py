"""Which rows of padded values are real."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..errors import ArgumentError, DTypeError, fail
from ..patterns import fits
from .opened import Opened

WORDS = ("mask", "pad", "valid")
"""In the names of inputs that may say which rows are padding."""


class Masks:
    """What `masks` says: which input holds the truth for which values.

    asked: the name of an input that is true, or not 0, where rows are real ("~name": where they are padding), for all
        inputs, outputs and layers whose leading axes are those of the mask; or a dict to it from patterns of their
        names. None: an input is taken for the mask if its name says so and the padding it states is exactly where rows
        that rotate are 0 throughout (`infer`).
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
        self.note = ""
        """What was decided without being told, for the settings."""

    def __bool__(self) -> bool:
        return bool(self._table)

    def check(self, where: str, system: Opened) -> None:
        """Refuse masks that the system does not have, or that are none."""
        for mask in self._table.values():
            self._value(where, mask, system)

    def infer(self, system: Opened) -> None:
        """Look for a mask in the first system."""
        if not self._undecided:
            return
        self._undecided = False
        for name, value in system.tensors.items():
            if not any(word in name.lower() for word in WORDS) or value.ndim != 1 or not _is_truth(value):
                continue
            padded = _padding(system, len(value))
            if padded is None or not bool(padded.any()) or bool(padded.all()):
                continue
            for text, real in ((name, value != 0), (f"~{name}", value == 0)):
                if torch.equal(real, ~padded):
                    self._table = {"**": text}
                    self.note = f"{text}, by itself: {int(padded.sum())} rows of what rotates are 0 there"
                    return

    def of(self, name: str, system: Opened) -> torch.Tensor | None:
        """True where rows of the value `name` are real; None where nothing is said of it."""
        for pattern, mask in self._table.items():
            if pattern == name or fits(pattern, name.partition("[")[0].partition("#")[0]):
                return self._value("data", mask, system)
        return None

    def real(self, name: str, shape: tuple[int, ...], system: Opened, components: int = 1) -> torch.Tensor | None:
        """The mask of a value whose shape, without its `components` axes, is `shape`; None where it has none.

        Raises ArgumentError where a mask was declared for it by name and does not fit.
        """
        mask = self.of(name, system)
        if mask is None:
            return None
        if tuple(shape[: mask.ndim]) == tuple(mask.shape):
            # one axis of as many numbers may count anything, unless the mask is meant for it
            return mask if self._exact or components or len(shape) > mask.ndim else None
        if self._exact and name in self._table:
            fail(ArgumentError, f"masks[{name!r}]", f"a mask of the leading axes of {shape}", tuple(mask.shape))
        return None

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


def _is_truth(value: torch.Tensor) -> bool:
    return value.dtype == torch.bool or bool(((value == 0) | (value == 1)).all())


def _padding(system: Opened, rows: int) -> torch.Tensor | None:
    """Rows in which all that rotates is 0; None where nothing with so many rows rotates."""
    padded: torch.Tensor | None = None
    for value, turns in zip(system.values, system.turns, strict=True):
        if turns and value.ndim > 1 and value.shape[0] == rows:
            empty = (value.nan_to_num(0.0) == 0).reshape(rows, -1).all(1)
            padded = empty if padded is None else padded & empty
    return padded
