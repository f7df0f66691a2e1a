"""How a plain model is called: by which of its methods, with which of the inputs, with gradients on or off."""

from __future__ import annotations

import contextlib
import copy
import inspect
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from ..errors import ArgumentError, fail
from .checks import explain
from .containers import container_of

NONE: Mapping[str, Any] = MappingProxyType({})

OFF, ON, BY_INPUTS = range(3)
"""Gradients: not recorded; recorded; recorded from inputs that require them, for a model that leaves that to its
caller."""

SAID = {ON: "on: the model differentiates", BY_INPUTS: "on, by the inputs that rotate: the model differentiates"}

UNRECORDED = ("does not require grad", "to not have been used in the graph", "doesn't require gradients")
"""In what torch says to a model that differentiates what was not recorded."""


@dataclass(frozen=True)
class Way:
    """How an argument is handed to a function: settled by its signature, at the first call."""

    said: str
    """As a report says it; "" where nothing had to be decided."""
    names: tuple[str, ...] | None = None
    """The keywords to give, of those that the argument has."""
    left: tuple[str, ...] = ()
    """What the argument has beside these."""
    whole: bool = False
    """As one positional argument, though it has parts."""

    @classmethod
    def of(cls, function: Callable[..., Any], argument: Any, extra: Mapping[str, Any]) -> Way:
        """For a function whose signature cannot be read: keywords of a dict, positions of a tuple, else as it is."""
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            return cls("")
        if isinstance(argument, dict):
            parts = {**argument, **extra}
            if _binds(signature, (), parts):
                return cls("")
            return cls._by_name(signature, parts, extra) or cls("dict", whole=_binds(signature, (parts,)))
        if isinstance(argument, tuple):
            whole = not _binds(signature, argument, extra) and _binds(signature, (argument,), extra)
            return cls("tuple", whole=True) if whole else cls("")
        container = container_of(argument)
        if container is None:
            return cls("")
        parts = {**container.parts(argument), **extra}
        return cls._by_name(signature, parts, (*container.bookkeeping, *extra)) or cls(container.words)

    @classmethod
    def _by_name(cls, signature: inspect.Signature, parts: Mapping[str, Any], aside: Collection[str]) -> Way | None:
        """By those of `parts` that the signature names, if that is all it needs and more than what is `aside`."""
        keywords = [
            name for name, p in signature.parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ]
        if not all(name in parts and name in keywords for name in _required(signature)):
            return None
        whole = _binds(signature, (parts,))
        any_name = not whole and any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        names = tuple(parts) if any_name else tuple(name for name in keywords if name in parts)
        if not set(names) - set(aside):
            return None
        left = tuple(name for name in parts if name not in names and name not in aside)
        return cls(", ".join(f"{name}=" for name in names), names, left)

    def __call__(self, function: Callable[..., Any], argument: Any, extra: Mapping[str, Any]) -> Any:
        """What `function` returns."""
        if self.names is not None:
            container = container_of(argument)
            parts = argument if container is None else container.parts(argument)
            parts = {**parts, **extra}
            return function(**{name: parts[name] for name in self.names})
        if isinstance(argument, dict):
            if not self.whole:
                return function(**argument, **extra)
            # a type of dict of one's own stays one
            return function({**argument, **extra} if extra else argument)
        if isinstance(argument, tuple) and not self.whole:
            return function(*argument, **extra)
        return function(argument, **extra)


class Call:
    """Calls a model on what a `Batching` made.

    call: None, the name of a method, or a function of the model and its argument.
    grad: whether gradients are recorded; None: where the model turns out to need them.
    """

    def __init__(self, model: Callable[..., Any], call: str | Callable[..., Any] | None, grad: bool | None) -> None:
        if call is not None and not isinstance(call, str) and not callable(call):
            fail(ArgumentError, "call", "the name of a method, or a function of the model and a batch", repr(call))
        if grad is not None and not isinstance(grad, bool):
            fail(ArgumentError, "grad", "True, False or None", repr(grad))
        if isinstance(call, str) and not callable(getattr(model, call, None)):
            methods = [name for name, of in vars(type(model)).items() if callable(of) and not name.startswith("_")]
            fail(ArgumentError, "call", f"a method of {type(model).__name__} ({', '.join(methods)})", repr(call))
        self._model = model
        self._own = None if isinstance(call, str) else call
        self._method = call if isinstance(call, str) else ""
        self._way: Way | None = None
        self._may_change = grad is not False
        self.gradients = ON if grad else OFF
        self.seconds = 0.0

    def unsettled(self) -> Call:
        """The same, for an argument of another form."""
        other = copy.copy(self)
        other._way = None
        return other

    @property
    def identity(self) -> list[Any]:
        """What is called, and how."""
        return [self._model, self._own, self._method]

    @property
    def differentiable(self) -> bool:
        """Whether inputs must require gradients."""
        return self.gradients == BY_INPUTS

    @property
    def settings(self) -> dict[str, str]:
        """What a report should say of it."""
        said: dict[str, str] = {}
        way = self._way.said if self._way is not None else ""
        if self._own is not None:
            said["call"] = getattr(self._own, "__name__", type(self._own).__name__)
        elif way or self._method:
            said["call"] = f"{f'model.{self._method}' if self._method else 'model'}({way})"
        if self.gradients:
            said["grad"] = SAID[self.gradients]
        return said

    @property
    def left(self) -> tuple[str, ...]:
        """Names in the data that the model does not take, and is not given."""
        return self._way.left if self._way is not None else ()

    def __call__(self, argument: Any, extra: Mapping[str, Any], given: str) -> Any:
        """What the model returns; `given` says in its errors what of the copies it was called with."""
        start = time.perf_counter()
        try:
            with torch.enable_grad() if self.gradients else contextlib.nullcontext():
                return self._called(argument, extra)
        except Exception as error:
            if not self._unrecorded(error):
                way = self.settings.get("call", "")
                explain(error, argument, forbidden=not self._may_change, way=way, given=given)
            raise
        finally:
            self.seconds += time.perf_counter() - start

    def _called(self, argument: Any, extra: Mapping[str, Any]) -> Any:
        if self._own is not None:
            if isinstance(argument, dict):
                return self._own(self._model, {**argument, **extra})
            return self._own(self._model, argument, **extra)
        function = getattr(self._model, self._method) if self._method else self._model
        if self._way is None:
            forward = function.forward if isinstance(function, torch.nn.Module) else function
            self._way = Way.of(forward, argument, extra)
        return self._way(function, argument, extra)

    def _unrecorded(self, error: BaseException) -> bool:
        """Whether `error` would not have come with more gradients recorded, and more can be."""
        told = isinstance(error, RuntimeError) and any(text in str(error) for text in UNRECORDED)
        return told and self._may_change and self.gradients < BY_INPUTS

    def records_more(self, error: BaseException) -> bool:
        """Record more gradients from now on, if that may mend `error`; False: it will not."""
        if not self._unrecorded(error):
            return False
        self.gradients += 1
        return True


def _binds(signature: inspect.Signature, arguments: Sequence[Any], keywords: Mapping[str, Any] = NONE) -> bool:
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        return False
    return True


def _required(signature: inspect.Signature) -> list[str]:
    """Names of the parameters that must be given."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, p in signature.parameters.items() if p.default is p.empty and p.kind not in variable]
