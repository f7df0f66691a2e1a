"""Chooses the adapter for a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import ArgumentError, DataError, fail
from .base import Adapter, Request
from .plain import PlainAdapter


def is_metatomic(model: Any) -> bool:
    """Whether `model` is a metatomic model or the path of one, told without importing metatomic."""
    if isinstance(model, (str, Path)):
        return True
    if isinstance(model, torch.jit.ScriptModule):
        return getattr(model, "original_name", "") == "AtomisticModel"
    return any(cls.__module__.startswith("metatomic.") for cls in type(model).__mro__)


def select_adapter(model: Any, data: Any, request: Request) -> tuple[Adapter, list[str]]:
    """The adapter, and the layer patterns that are left for hooks."""
    inputs, outputs, layers = request.inputs, request.outputs, request.layers
    batching, basis, layout, dtype, device = (
        request.batching,
        request.basis,
        request.layout,
        request.dtype,
        request.device,
    )
    if isinstance(model, Adapter):
        return model, [pattern for pattern in layers if pattern not in model.features]
    if is_metatomic(model):
        from .metatomic import MetatomicAdapter

        for name, value in (("inputs", inputs), ("batching", batching)):
            if value is not None:
                fail(ArgumentError, name, "nothing: a metatomic model knows its own inputs", repr(value))
        names = [outputs] if isinstance(outputs, str) else outputs
        adapter = MetatomicAdapter.with_layers(model, data, outputs=names, layers=layers, dtype=dtype, device=device)
        return adapter, [pattern for pattern in layers if pattern not in adapter.features]
    if isinstance(data, (torch.Tensor, Mapping)) or not isinstance(data, Iterable):
        fail(DataError, "data", "an iterable of systems, each a dict, tuple or tensor", type(data).__name__)
    if isinstance(data, (str, Path)):
        fail(DataError, "data", "an iterable of systems (files are read for metatomic models only)", repr(data))
    if outputs is not None and not isinstance(outputs, (Mapping, str)):
        fail(ArgumentError, "outputs", "a dict from output name to representation", repr(outputs))
    adapter = PlainAdapter(
        model,
        data,
        inputs=inputs,
        outputs=outputs,
        batching=batching,
        basis=basis,
        layout=layout,
        dtype=dtype,
        device=device,
    )
    return adapter, list(layers)
