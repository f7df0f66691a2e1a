"""Which implementation serves a device."""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any

import torch

from . import cpu, plain

TABLE: dict[str, ModuleType] = {"cpu": cpu}
"""Compiled kernels by type of device; what is not here takes the reference path."""

if cpu.info()["cuda"] and torch.version.hip is None:
    from . import cuda

    TABLE["cuda"] = cuda

_warned: set[str] = set()


def kernels(device: torch.device) -> ModuleType:
    """The module of kernels for tensors on `device`; warns once where it is the slow one."""
    found = TABLE.get(device.type)
    if found is not None:
        return found
    if device.type not in _warned:
        _warned.add(device.type)
        warnings.warn(
            f"equiscope has no compiled kernels for {device.type!r}: tensors there take the slow reference path",
            RuntimeWarning,
            stacklevel=2,
        )
    return plain


def backend() -> dict[str, Any]:
    """What the compiled module says about itself, and the types of device it serves."""
    found = {**cpu.info(), "devices": sorted(TABLE)}
    return {**found, **cuda.info()} if "cuda" in TABLE else found
