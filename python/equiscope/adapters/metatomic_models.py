"""When a model is one of metatomic's: told without importing it, so that all of this package works without."""

from __future__ import annotations

from os import PathLike
from typing import Any

import torch

from ..errors import ArgumentError, fail
from .archive import check_archive
from .base import Adapter, Kind, Request
from .registry import register


def is_metatomic(model: Any) -> bool:
    """Whether `model` is a metatomic model or the path of one, told without importing metatomic."""
    if isinstance(model, str | PathLike):
        return True
    if isinstance(model, torch.jit.ScriptModule):
        return getattr(model, "original_name", "") == "AtomisticModel"
    return any(cls.__module__.startswith("metatomic.") for cls in type(model).__mro__)


@register
class MetatomicModels(Kind):
    """Opens `metatomic.MetatomicAdapter`."""

    wants = "a metatomic AtomisticModel or the path of an exported one"
    reads_files = True

    @classmethod
    def serves(cls, model: Any, data: Any) -> bool:
        return is_metatomic(model)

    @classmethod
    def open(cls, model: Any, data: Any, request: Request) -> Adapter:
        if isinstance(model, str | PathLike):
            # first: what is missing is the file, whatever else is
            check_archive(model, data)
        from .metatomic import MetatomicAdapter

        useless = {name: getattr(request, name) for name in ("inputs", "batching", "call", "grad")}
        for name, value in {**useless, "masks": request.outer_masks}.items():
            if value is not None:
                fail(ArgumentError, name, "nothing: a metatomic model knows its own inputs", repr(value))
        return MetatomicAdapter.with_layers(
            model,
            data,
            layers=request.patterns,
            outputs=request.outputs,
            basis=request.basis,
            layout=request.layout,
            dtype=request.dtype,
            device=request.device,
        )
