"""Which backend serves a device."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import DTypeError, fail
from .backend import Backend
from .cpu import CpuBackend
from .module import compiled_info
from .plain import PlainBackend

_backends: dict[str, list[Backend]] = {}
"""By type of device; the last one serves."""
_plain = PlainBackend()
_warned: set[str] = set()
_lock = threading.Lock()


def register(backend: Backend, device_type: str | None = None) -> None:
    """From now on tensors on devices of that type (the one it names) take this backend, in every thread."""
    with _lock:
        _backends[device_type or _checked(backend).device_type] = [_checked(backend)]


@contextmanager
def using(backend: Backend, device_type: str | None = None) -> Iterator[None]:
    """`register` it for a while; what served before comes back at the end, whichever of several ends first."""
    kind = device_type or _checked(backend).device_type
    with _lock:
        _backends[kind] = [*_backends.get(kind, ()), _checked(backend)]
    try:
        yield
    finally:
        with _lock:
            serving = _backends[kind]
            last = max(i for i, own in enumerate(serving) if own is backend)
            _backends[kind] = serving[:last] + serving[last + 1 :]


def _checked(backend: Any) -> Backend:
    if not isinstance(backend, Backend):
        fail(DTypeError, "backend", "an instance of equiscope.kernels.backend.Backend", repr(backend))
    return backend


def backend(device: torch.device) -> Backend:
    """The backend for tensors on `device`; warns once where it is the slow one."""
    if serving := _backends.get(device.type):
        return serving[-1]
    with _lock:
        first = device.type not in _warned
        _warned.add(device.type)
    if first:
        warnings.warn(
            f"equiscope has no compiled kernels for {device.type!r}: tensors there take the slow reference path",
            RuntimeWarning,
            stacklevel=2,
        )
    return _plain


def info() -> dict[str, Any]:
    """What the compiled module says about itself, and the types of device that have a backend of their own."""
    return {**compiled_info(), "devices": sorted(kind for kind, serving in _backends.items() if serving)}


register(CpuBackend())
if compiled_info()["cuda"] and torch.version.hip is None:
    from .cuda import CudaBackend

    register(CudaBackend())
