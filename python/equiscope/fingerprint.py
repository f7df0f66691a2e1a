"""What a value is, as a digest that is the same in every process: of models, systems and settings."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

DEEP = 8
"""Levels of containers and objects that are looked into."""

OF_EVERY_MODULE = frozenset(vars(torch.nn.Module()))
"""Attributes that say nothing of what a module computes: its mode, its hooks; and its parameters and parts."""


def told(value: Any) -> Any:
    """A setting as a JSON value, the same in every run: what is no plain value by its name."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(key): told(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((told(inner) for inner in value), key=repr)
    if isinstance(value, list | tuple):
        return [told(inner) for inner in value]
    name = getattr(value, "__qualname__", None)
    if name is not None:
        return f"{getattr(value, '__module__', '')}.{name}"
    text = str(value)
    return text if " at 0x" not in text else f"{type(value).__module__}.{type(value).__qualname__}"


def fingerprint(value: Any) -> str:
    """A digest of 16 digits: of values and names where there are tensors, arrays, containers and plain objects, of
    parameters, buffers and plain attributes of modules, of the code of classes, of that of functions and of those of
    the same file that they call, of the content of files."""
    digest, seen = hashlib.sha256(), dict[int, Any]()
    for piece in _pieces(value, 0, seen):
        digest.update(piece)
    return digest.hexdigest()[:16]


def _pieces(value: Any, depth: int, seen: dict[int, Any]) -> Iterable[bytes]:
    """`seen`: objects by identity, each of which is looked into once."""
    yield type(value).__qualname__.encode()
    if isinstance(value, torch.Tensor):
        yield from _of_array(_as_array(value))
    elif isinstance(value, np.ndarray):
        yield from _of_array(value)
    elif isinstance(value, torch.nn.Module):
        yield from _of_module(value, depth, seen)
    elif isinstance(value, str | PathLike):
        yield _content(value)
    elif isinstance(value, bool | int | float | complex | bytes) or value is None or depth > DEEP:
        yield repr(value).encode() if depth <= DEEP else b""
    elif isinstance(value, FunctionType | MethodType | BuiltinFunctionType | CodeType | ModuleType | type):
        yield from _of_code(value, depth, seen)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key).encode()
            yield from _pieces(inner, depth + 1, seen)
    elif isinstance(value, Iterable) and hasattr(value, "__len__") and not hasattr(value, "arrays"):
        # the order of a set is another one in every process
        for inner in sorted(value, key=repr) if isinstance(value, set | frozenset) else value:
            yield from _pieces(inner, depth + 1, seen)
    elif id(value) not in seen:
        seen[id(value)] = value
        yield from _of_object(value, depth, seen)


def _is_plain(value: Any) -> bool:
    """Whether it says by itself what it is: numbers, words, functions, and what holds nothing else."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if dataclasses.is_dataclass(value):
        return all(_is_plain(getattr(value, own.name, None)) for own in dataclasses.fields(value))
    return value is None or isinstance(
        value, bool | int | float | str | torch.dtype | FunctionType | BuiltinFunctionType
    )


def _of_class(kind: type, depth: int, seen: dict[int, Any]) -> Iterable[bytes]:
    """The code of its methods, inherited ones too; that of torch goes by its version."""
    if id(kind) in seen:
        return
    seen[id(kind)] = kind
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] == "torch":
            continue
        for name, method in vars(base).items():
            if isinstance(method, FunctionType):
                yield name.encode()
                yield from _pieces(method.__code__, depth + 1, seen)


def _of_object(value: Any, depth: int, seen: dict[int, Any]) -> Iterable[bytes]:
    yield from _of_class(type(value), depth, seen)
    if isinstance(value, functools.partial):
        yield from _pieces([value.func, value.args, value.keywords], depth + 1, seen)
    state = getattr(value, "__dict__", None)
    if state is None:
        text = repr(value)
        yield b"" if " at 0x" in text else text.encode("utf-8", "surrogatepass")
    else:
        yield from _pieces(state, depth + 1, seen)


def _as_array(value: torch.Tensor) -> np.ndarray:
    value = value.detach().cpu()
    return value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()


def _of_array(value: np.ndarray) -> Iterable[bytes]:
    yield f"{value.dtype}{value.shape}".encode()
    yield np.ascontiguousarray(value).tobytes() if value.dtype != object else repr(value.tolist()).encode()


def _of_module(module: torch.nn.Module, depth: int, seen: dict[int, Any]) -> Iterable[bytes]:
    for name, part in module.named_modules():
        yield f"{name}:{type(part).__module__}.{type(part).__qualname__}".encode()
        yield from _of_class(type(part), depth, seen)
        # what is set at construction and is no parameter: numbers of heads, cutoffs, activations
        for key, own in sorted(vars(part).items()):
            if key not in OF_EVERY_MODULE and _is_plain(own):
                yield key.encode()
                yield from _pieces(own, depth + 1, seen)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        yield name.encode()
        yield from _of_array(_as_array(tensor))


def _of_code(value: Any, depth: int, seen: dict[int, Any]) -> Iterable[bytes]:
    if isinstance(value, MethodType):
        yield from _pieces(value.__func__, depth + 1, seen)
        yield from _pieces(value.__self__, depth + 1, seen)
    elif isinstance(value, CodeType):
        yield value.co_code
        yield repr(value.co_names).encode()
        yield from _pieces(value.co_consts, depth + 1, seen)
    elif isinstance(value, ModuleType):
        yield value.__name__.encode()
    else:
        yield f"{value.__module__}.{value.__qualname__}".encode()
        if isinstance(value, FunctionType) and id(value) not in seen:
            seen[id(value)] = value
            yield from _pieces(value.__code__, depth + 1, seen)
            yield from _pieces(value.__defaults__, depth + 1, seen)
            yield from _pieces([_held(cell) for cell in value.__closure__ or ()], depth + 1, seen)
            yield from _pieces(_helpers(value), depth + 1, seen)


def _helpers(function: FunctionType) -> list[FunctionType]:
    """The functions of its own module that it names. Other globals may be counters, which are no part of a model."""
    named = (function.__globals__.get(name) for name in function.__code__.co_names)
    return [own for own in named if isinstance(own, FunctionType) and own.__module__ == function.__module__]


def _held(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


def _content(value: str | PathLike[str]) -> bytes:
    try:
        return Path(value).read_bytes()
    except (OSError, ValueError):  # a name, and no file
        return str(value).encode()
