"""What a value is, as a digest that is the same in every process: of models, systems and settings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch

DEEP = 8
"""Levels of containers and objects that are looked into."""


def told(value: Any) -> Any:
    """A setting as a JSON value, the same in every run: what is no plain value by its name."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(key): told(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [told(inner) for inner in value]
    name = getattr(value, "__qualname__", None)
    if name is not None:
        return f"{getattr(value, '__module__', '')}.{name}"
    text = str(value)
    return text if " at 0x" not in text else f"{type(value).__module__}.{type(value).__qualname__}"


def fingerprint(value: Any) -> str:
    """A digest of 16 digits: of values and names where there are tensors, arrays, containers and plain objects, of
    parameters, buffers and the names of classes of modules, of the code of functions, of the content of files."""
    digest = hashlib.sha256()
    for piece in _pieces(value, 0):
        digest.update(piece)
    return digest.hexdigest()[:16]


def _pieces(value: Any, depth: int) -> Iterable[bytes]:
    yield type(value).__qualname__.encode()
    if isinstance(value, torch.Tensor):
        yield from _of_array(_as_array(value))
    elif isinstance(value, np.ndarray):
        yield from _of_array(value)
    elif isinstance(value, torch.nn.Module):
        yield from _of_module(value, depth)
    elif isinstance(value, str | PathLike):
        yield _content(value)
    elif isinstance(value, bool | int | float | complex | bytes) or value is None or depth > DEEP:
        yield repr(value).encode() if depth <= DEEP else b""
    elif isinstance(value, FunctionType | MethodType | BuiltinFunctionType | CodeType | type):
        yield from _of_code(value, depth)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key).encode()
            yield from _pieces(inner, depth + 1)
    elif isinstance(value, Iterable) and hasattr(value, "__len__") and not hasattr(value, "arrays"):
        for inner in value:
            yield from _pieces(inner, depth + 1)
    else:
        yield from _pieces(getattr(value, "__dict__", {}), depth + 1)


def _as_array(value: torch.Tensor) -> np.ndarray:
    value = value.detach().cpu()
    return value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()


def _of_array(value: np.ndarray) -> Iterable[bytes]:
    yield f"{value.dtype}{value.shape}".encode()
    yield np.ascontiguousarray(value).tobytes() if value.dtype != object else repr(value.tolist()).encode()


def _of_module(module: torch.nn.Module, depth: int) -> Iterable[bytes]:
    for name, part in module.named_modules():
        yield f"{name}:{type(part).__module__}.{type(part).__qualname__}".encode()
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        yield name.encode()
        yield from _of_array(_as_array(tensor))
    # what is set at construction and is no parameter: numbers of heads, cutoffs
    for part in module.modules():
        plain = {key: own for key, own in vars(part).items() if isinstance(own, bool | int | float | str)}
        yield repr(sorted((key, own) for key, own in plain.items() if key != "training")).encode()


def _of_code(value: Any, depth: int) -> Iterable[bytes]:
    if isinstance(value, MethodType):
        yield from _pieces(value.__func__, depth + 1)
        yield from _pieces(value.__self__, depth + 1)
    elif isinstance(value, CodeType):
        yield value.co_code
        yield repr(value.co_names).encode()
        yield from _pieces(value.co_consts, depth + 1)
    else:
        yield f"{value.__module__}.{value.__qualname__}".encode()
        if isinstance(value, FunctionType):
            yield from _pieces(value.__code__, depth + 1)
            yield from _pieces(value.__defaults__, depth + 1)
            yield from _pieces([cell.cell_contents for cell in value.__closure__ or ()], depth + 1)


def _content(value: str | PathLike[str]) -> bytes:
    try:
        return Path(value).read_bytes()
    except (OSError, ValueError):  # a name, and no file
        return str(value).encode()
