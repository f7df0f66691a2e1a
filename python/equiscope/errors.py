"""The errors of the library. Every message names the argument, what was expected and what came."""

from __future__ import annotations

import re
from typing import Any, NoReturn


class EquiscopeError(Exception):
    """Base of every error that equiscope raises on purpose."""


class ArgumentError(EquiscopeError, ValueError):
    """An argument has a value outside its admissible range."""


class ShapeError(ArgumentError):
    """An argument has the wrong rank or the wrong size along an axis."""


class DTypeError(EquiscopeError, TypeError):
    """An argument has a type or dtype that is not supported, or dtypes are mixed."""


class DeviceError(ArgumentError):
    """Tensors that must share a device do not."""


class DataError(ArgumentError):
    """A data set or file is empty, unreadable or truncated, or an output path cannot be written."""


class ModelError(EquiscopeError, RuntimeError):
    """A model returned something that cannot be audited."""


class CrossTalkError(ModelError):
    """Copies of one batch see each other, so that no number of them says anything of one copy."""


class MemoryLimitError(EquiscopeError, MemoryError):
    """What was asked for does not fit into memory, or into the share of it that was allowed."""


class NonFiniteValues(ArgumentError, ArithmeticError):
    """The values at element `index` of an orbit are not finite, or so large that their squares are not."""

    def __init__(self, index: int, what: str = "NaN or infinity") -> None:
        super().__init__(f"values: expected finite values, got {what} at grid element {index}")
        self.index = index
        self.what = what


class MissingExtraError(EquiscopeError, ImportError):
    """An optional dependency is needed for what was asked and is not installed."""


def fail(kind: type[EquiscopeError], argument: str, expected: str, got: Any) -> NoReturn:
    """Raise `kind` with the one message format of the library."""
    raise kind(f"{argument}: expected {expected}, got {got}")


def renamed(error: EquiscopeError, own: str, argument: str) -> EquiscopeError:
    """What is wrong with the argument `own` of an inner function, as wrong with the `argument` of an outer one."""
    return type(error)(re.sub(rf"^{own}\b", lambda _: argument, str(error)))


def in_a_line(error: BaseException) -> str:
    """An error of others with its type, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def annotate(error: BaseException, note: str) -> None:
    """Add a note to an error of others; Python 3.10 keeps it and does not show it."""
    error.__notes__ = [*notes(error), note]


def notes(error: BaseException) -> list[str]:
    """What was added to an error."""
    return list(getattr(error, "__notes__", ()))


RAISED_EVERYWHERE = "equiscope: the model raised at every system, here is its first error"
"""Note of an error that is raised as it was, and is none of this package."""


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, which TorchScript passes on as text alone."""
    if isinstance(error, MemoryError):
        return not isinstance(error, MemoryLimitError)
    # torch's own error by its name: what knows no torch imports this file too
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError"
        or any(text in str(error) for text in ("out of memory", "can't allocate memory", "not enough memory"))
    )


def ends_the_system(error: BaseException) -> bool:
    """Whether an error that was met while a model ran ends the system it was given, and not the audit.

    So does whatever a foreign model raises. What was asked for in the wrong way would fail with every system, copies
    that see each other have spoilt others already, and memory that ran out calls for smaller batches.
    """
    if isinstance(error, ModelError):
        return not isinstance(error, CrossTalkError)
    return isinstance(error, Exception) and not isinstance(error, EquiscopeError) and not ran_out(error)
