"""What a history writes down: points, failures and the settings of their audits, as JSON and back, bit for bit."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from ..report import Audit
from ..result.encode import decode_audit, encode_audit

Record = dict[str, Any]


def encode_point_audit(audit: Audit) -> Record:
    """An audit without what is of no use over training: spectra of layers by system, scenes, grids tried, the
    environment."""
    rows = [dataclasses.replace(row, layers={}) for row in audit.systems]
    outputs = {name: dataclasses.replace(output, scene=None) for name, output in audit.outputs.items()}
    kept = dataclasses.replace(audit, outputs=outputs, systems=rows, convergence=[], environment={})
    body, tensors = encode_audit(kept)
    return {"audit": body, "tensors": base64.b64encode(save(tensors)).decode("ascii")}


def decode_point_audit(record: Record) -> Audit:
    """The inverse of `encode_point_audit`, equal in every bit."""
    return decode_audit(Audit, record["audit"], load(base64.b64decode(record["tensors"], validate=True)))


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


def fingerprint(data: Any) -> str:
    """A digest of the data set: of values and names where it is made of tensors, arrays, containers and plain objects,
    of the content where it is a file."""
    digest = hashlib.sha256()
    for piece in _pieces(data, 0):
        digest.update(piece)
    return digest.hexdigest()[:16]


DEEP = 8
"""Levels of containers and objects that are looked into."""


def _pieces(value: Any, depth: int) -> Iterable[bytes]:
    yield type(value).__qualname__.encode()
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
    if isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes() if value.dtype != object else repr(value.tolist()).encode()
    elif isinstance(value, str | PathLike):
        yield _content(value)
    elif isinstance(value, bool | int | float | complex | bytes) or value is None or depth > DEEP:
        yield repr(value).encode() if depth <= DEEP else b""
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key).encode()
            yield from _pieces(inner, depth + 1)
    elif isinstance(value, Iterable) and hasattr(value, "__len__") and not hasattr(value, "arrays"):
        for inner in value:
            yield from _pieces(inner, depth + 1)
    else:
        yield from _pieces(getattr(value, "__dict__", {}), depth + 1)


def _content(value: str | PathLike[str]) -> bytes:
    try:
        return Path(value).read_bytes()
    except (OSError, ValueError):  # a name, and no file
        return str(value).encode()
