"""What a value is, as a digest that is the same in every process: of models, systems and settings."""

from __future__ import annotations

import functools
import hashlib
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sized
from os import PathLike, fspath
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np
import torch

MANY = 100_000
"""Objects that are looked into: what makes itself anew at every look has no last one."""

ADDRESS = "_torchdynamo_wrapper_id"
"""Attribute by which torch.compile knows what it made."""

OF_EVERY_MODULE = frozenset(vars(torch.nn.Module())) | {ADDRESS}
"""Attributes that say nothing of what a module computes: its mode, its hooks; and its parameters and parts."""

DRAWN_FROM = (random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator, torch.Generator)
"""What random numbers are drawn from, which a model has used where a run goes on."""

END = b"\xff" * 8
"""Of what a value holds; pieces begin with their length, which is never so large."""

Piece = bytes | memoryview | tuple[Any]
"""Bytes, or a value that is to be looked into, in a tuple."""


def told(value: Any) -> Any:
    """A setting as a JSON value, the same in every run: what is no plain value in words, or by its name and digest."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(key): told(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((told(inner) for inner in value), key=repr)
    if isinstance(value, list | tuple):
        return [told(inner) for inner in value]
    text = str(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    if named is not value and " at 0x" not in text:
        return text
    return f"{getattr(named, '__module__', '')}.{named.__qualname__} {fingerprint(value)}"


def fingerprint(value: Any) -> str:
    """A digest of 16 digits: of values and names where there are tensors, arrays and containers; of parameters, buffers
    and attributes of modules; of what other objects are pickled by; of the code of classes, of that of functions and of
    what these call in the same file; of the content of files."""
    return Digest(value).text


class Digest:
    """The pieces that say what a value is, from the outside in; `seen`: objects by identity, with their numbers."""

    unread: set[str]
    """The types of what says nothing of what it holds, and has no part in the digest but by its type."""

    def __init__(self, value: Any, seen: Mapping[int, tuple[int, Any]] | None = None) -> None:
        self._hash = hashlib.sha256()
        self._seen = dict(seen or {})
        self._open: list[Iterator[Piece]] = []
        """Of what is being looked into, from the outside in."""
        self._within: dict[int, int] = {}
        """Containers among these by identity, with their level."""
        self.unread = set()
        self._enter(value)
        while self._open:
            for piece in self._open[-1]:
                if isinstance(piece, tuple):
                    self._enter(piece[0])
                    break
                self._hash.update(len(piece).to_bytes(8, "little"))
                self._hash.update(piece)
            else:
                self._hash.update(END)
                self._open.pop()

    @property
    def text(self) -> str:
        return self._hash.hexdigest()[:16]

    def _enter(self, value: Any) -> None:
        self._open.append(self._pieces(value))

    def _pieces(self, value: Any) -> Iterator[Piece]:
        kind = type(value)
        yield kind.__qualname__.encode("utf-8", "surrogatepass")
        if isinstance(value, torch.Tensor):
            yield from self._of_tensor(value)
        elif isinstance(value, np.ndarray):
            yield from _of_array(value)
        elif kind in (str, bytes) or isinstance(value, PathLike):
            yield value if kind is bytes else _content(value)
        elif value is None or kind in (bool, int, float, complex):
            yield repr(value).encode()
        elif isinstance(value, set | frozenset):
            # their order is another one in every process
            inner = [Digest(one, self._seen) for one in value]
            self.unread.update(*(digest.unread for digest in inner))
            yield from sorted(digest.text.encode() for digest in inner)
        elif kind in (list, tuple, dict):
            yield from self._of_container(value)
        else:
            yield from self._of_object(value)

    def _of_container(self, value: Any) -> Iterator[Piece]:
        if id(value) in self._within:  # it holds itself
            yield str(self._within[id(value)]).encode()
            return
        self._within[id(value)] = len(self._open)
        for inner in value:
            if isinstance(value, dict):
                yield inner.encode("utf-8", "surrogatepass") if isinstance(inner, str) else (inner,)
                yield (value[inner],)
            else:
                yield (inner,)
        del self._within[id(value)]

    def _of_object(self, value: Any) -> Iterator[Piece]:
        """Once: what is met again is known by its number."""
        number, _ = self._seen.setdefault(id(value), (len(self._seen), value))
        yield str(number).encode()
        if number < len(self._seen) - 1:
            return
        if isinstance(value, torch.nn.Module):
            yield from _of_module(value)
        elif isinstance(value, FunctionType):
            yield from _of_function(value)
        elif isinstance(value, MethodType | BuiltinFunctionType):
            yield value.__name__.encode()
            yield (value.__self__,)
            yield (getattr(value, "__func__", None),)
        elif isinstance(value, CodeType):
            yield from _of_code(value)
        elif isinstance(value, ModuleType):
            yield value.__name__.encode()
        elif isinstance(value, GetSetDescriptorType | MemberDescriptorType):
            yield value.__qualname__.encode()
        elif isinstance(value, type):
            yield from _of_class(value)
        elif isinstance(value, DRAWN_FROM):
            return
        elif isinstance(value, torch.device):
            yield value.type.encode()
        elif isinstance(value, np.generic | np.dtype):
            yield repr(value).encode()
        elif _is_of_torch(type(value)):
            text = repr(value)
            yield b"" if " at 0x" in text else text.encode("utf-8", "surrogatepass")
        else:
            yield from self._of_state(value)

    def _of_state(self, value: Any) -> Iterator[Piece]:
        """What it is pickled by, which is all that makes it what it is."""
        yield (type(value),)
        if isinstance(value, functools.partial):
            # what it is pickled by is another thing once somebody asked for its attributes
            yield ([value.func, value.args, value.keywords],)
            return
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # whatever the code of others raises
            reduced = None
        if reduced is None or len(self._seen) > MANY:
            if isinstance(value, Mapping):
                yield (dict(value),)
            elif isinstance(value, Iterable) and isinstance(value, Sized):
                yield (list(value),)
            else:
                self.unread.add(f"{type(value).__module__}.{type(value).__qualname__}")
        elif isinstance(reduced, str):
            yield reduced.encode()
            # the function behind a decorator that is written in C
            yield (getattr(value, "__wrapped__", None),)
        else:
            for part in reduced[:3]:
                yield (part,)
            for items in reduced[3:5]:
                yield (None if items is None else list(items),)

    def _of_tensor(self, value: torch.Tensor) -> Iterator[Piece]:
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        if value.is_meta:
            return
        held = value.detach()
        try:
            held = (held if held.layout == torch.strided else held.to_dense()).cpu().resolve_conj().resolve_neg()
            yield held.contiguous().reshape(-1).view(torch.uint8).numpy().data
        except (RuntimeError, TypeError, NotImplementedError):  # quantized ones, and those of other libraries
            self.unread.add(f"a tensor of {held.dtype}, {held.layout}")


def _of_array(value: np.ndarray) -> Iterator[Piece]:
    yield f"{value.dtype}{value.shape}".encode()
    if value.dtype.hasobject:
        yield (value.tolist(),)
    else:
        yield np.ascontiguousarray(value).tobytes()


def _of_module(module: torch.nn.Module) -> Iterator[Piece]:
    for name, part in module.named_modules():
        yield f"{name}:{type(part).__module__}.{type(part).__qualname__}".encode()
        yield (type(part),)
        if isinstance(part, torch.jit.ScriptModule):
            yield from _of_script(part)
        # what is set at construction and is no parameter: numbers of heads, cutoffs, activations
        for key, own in sorted(vars(part).items()):
            if key not in OF_EVERY_MODULE:
                yield key.encode()
                yield (own,)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        yield name.encode()
        yield (tensor,)


def _of_script(module: Any) -> Iterator[Piece]:
    """What TorchScript holds of one module: attributes that Python does not see, and its code, in which a class has
    another name where the process had one of that name before."""
    inner = module._c
    for name in sorted(inner._method_names()):
        code, constants = inner._get_method(name).code_with_constants
        yield re.sub(r"___torch_mangle_\d+\.", "", code).encode("utf-8", "surrogatepass")
        yield (dict(constants),)
    kind = getattr(module, "_concrete_type", None)  # none where the module was frozen, and has no attributes
    for name in sorted(kind.get_attributes() if kind is not None else ()):
        if name not in OF_EVERY_MODULE:
            yield name.encode()
            yield (inner.getattr(name),)


def _of_class(kind: type) -> Iterator[Piece]:
    """Its code and that of its bases, with plain attributes; that of torch and Python goes by their versions."""
    yield f"{kind.__module__}.{kind.__qualname__}".encode()
    if _is_of_torch(kind) or kind.__module__ == "builtins":
        return
    for base in kind.__bases__:
        yield (base,)
    for name, own in vars(kind).items():
        if isinstance(own, staticmethod | classmethod):
            own = own.__func__
        elif isinstance(own, property):
            own = own.fget
        elif isinstance(own, functools.cached_property):
            own = own.func
        if isinstance(own, FunctionType) or (not name.startswith("__") and _is_plain(own)):
            yield name.encode()
            yield (own,)


def _is_plain(value: Any) -> bool:
    """Whether it says by itself what it is: numbers, words, and what holds nothing else."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, bool | int | float | str | torch.dtype)


def _is_of_torch(kind: type) -> bool:
    """Whether a class is one of torch that says by its name, or in words, what it is."""
    first, _, rest = kind.__module__.partition(".")
    return first == "torch" and not rest.startswith(("distributions", "utils.data"))


def _of_function(function: FunctionType) -> Iterator[Piece]:
    yield f"{function.__module__}.{function.__qualname__}".encode()
    if function.__module__.partition(".")[0] in ("torch", "copyreg"):
        return
    yield (function.__code__,)
    yield (function.__defaults__,)
    yield (function.__kwdefaults__,)
    yield ([_held(cell) for cell in function.__closure__ or ()],)
    yield ({name: own for name, own in vars(function).items() if name != ADDRESS},)
    yield (_helpers(function),)


def _of_code(code: CodeType) -> Iterator[Piece]:
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        yield (constant,) if isinstance(constant, CodeType) else _spelled(constant).encode("utf-8", "surrogatepass")


def _spelled(constant: Any) -> str:
    """A constant of code; sets have another order in every process."""
    if isinstance(constant, tuple):
        return f"({', '.join(map(_spelled, constant))})"
    if isinstance(constant, frozenset):
        return f"{{{', '.join(sorted(map(_spelled, constant)))}}}"
    return repr(constant)


def _helpers(function: FunctionType) -> list[Any]:
    """The functions and classes of its own module that it names. Other globals may be counters, which are no part of a
    model."""
    named = (function.__globals__.get(name) for name in _names(function.__code__))
    return [own for own in named if isinstance(own, FunctionType | type) and own.__module__ == function.__module__]


def _names(code: CodeType) -> Iterator[str]:
    """What code names, and functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _held(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


def _content(value: str | PathLike[str]) -> bytes:
    try:
        if Path(value).is_file():
            return Path(value).read_bytes()
    except (OSError, ValueError):  # no name of a file
        pass
    return str(fspath(value)).encode("utf-8", "surrogatepass")
