"""Which adapter a model gets."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any, TypeVar

from ..errors import ArgumentError, fail
from .base import Adapter, Kind, Request
from .exchanged import hint

K = TypeVar("K", bound=type[Kind])

_kinds: list[type[Kind]] = []
"""In order of registration."""


def register(kind: K) -> K:
    """Class decorator: `audit` may open models with this `Kind`, an `Adapter` class as a rule."""
    if not (isinstance(kind, type) and issubclass(kind, Kind) and kind.wants):
        fail(ArgumentError, "kind", "a subclass of Adapter or Kind that says what it `wants`", repr(kind))
    missing = [name for name in ("serves", "open") if _home(kind, name) is Kind]
    if missing:
        fail(ArgumentError, "kind", "class methods `serves` and `open`", f"{kind.__name__} without {missing[0]}")
    if kind not in _kinds:
        _kinds.append(kind)
    return kind


def _home(kind: type, name: str) -> type:
    """The class that defines the attribute `name` of `kind`."""
    return next(cls for cls in kind.__mro__ if name in vars(cls))


def import_modules(path: Iterable[str], package: str) -> None:
    """Import every module in the folders `path` of `package`, so that what is in it registers itself.

    Sub-packages are left alone: the light module that opens what is in them imports them when it is needed.
    """
    for found in pkgutil.iter_modules(path):
        if not found.ispkg:
            importlib.import_module(f"{package}.{found.name}")


def unregister(kind: type[Kind]) -> None:
    """Take `kind` out again; nothing happens where it is not registered."""
    if kind in _kinds:
        _kinds.remove(kind)


def registered() -> list[type[Kind]]:
    """The kinds in the order in which they are asked: `Kind.precedence`, then the last registered first."""
    return sorted(reversed(_kinds), key=lambda kind: -kind.precedence)


def kind_of(model: Any, data: Any) -> type[Kind]:
    """The first registered kind that serves `model`."""
    kinds = registered()
    for kind in kinds:
        if kind.serves(model, data):
            return kind
    tried = "; ".join(f"{kind.__name__}: {kind.wants}" for kind in kinds)
    fail(
        ArgumentError,
        "model",
        f"an Adapter, or what one of these serves ({tried})",
        f"{type(model).__name__}{hint(data)}",
    )


def select_adapter(model: Any, data: Any, request: Request) -> tuple[Adapter, list[str]]:
    """The adapter, and the layer patterns that are left for hooks. A model that is an `Adapter` is taken as it is."""
    adapter = model if isinstance(model, Adapter) else kind_of(model, data).open(model, data, request)
    return adapter, [pattern for pattern in request.patterns if pattern not in adapter.features]
