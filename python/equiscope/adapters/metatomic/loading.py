"""A metatomic model, wherever it comes from."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from metatomic.torch import (
    AtomisticModel,
    ModelOutput,
    is_atomistic_model,
    load_atomistic_model,
    unit_conversion_factor,
)

from ...errors import ArgumentError, DataError, DeviceError, DTypeError, fail, ran_out
from ..archive import check_archive


@dataclass(frozen=True)
class LoadedModel:
    """A model in metatomic's Python wrapper, whether it was read, compiled or built in Python."""

    model: AtomisticModel
    label: str
    ours: bool
    """Read from a file here, so that nobody minds when it is moved to another device."""

    @classmethod
    def of(cls, model: Any, extensions_directory: str | PathLike[str] | None) -> LoadedModel:
        if isinstance(model, LoadedModel):
            return model
        if isinstance(model, str | PathLike):
            path = check_archive(model)
            loaded = _read_model(path, extensions_directory)
            return cls(loaded, loaded.metadata().name or path.name, ours=True)
        if not isinstance(model, torch.nn.Module) or not is_atomistic_model(model):
            fail(DTypeError, "model", "a metatomic AtomisticModel or the path of one", type(model).__name__)
        wrapped: Any = model
        if not isinstance(model, AtomisticModel):
            wrapped = AtomisticModel(model, wrapped.metadata(), wrapped.capabilities())
        name = getattr(wrapped.module, "original_name", type(wrapped.module).__name__)
        return cls(wrapped, wrapped.metadata().name or name, ours=False)

    def outputs(self) -> dict[str, ModelOutput]:
        """What the model offers, by the names it declares: the wrapper adds aliases to names that changed."""
        outputs = self.model.capabilities().outputs
        return {name: outputs[name] for name in getattr(self.model, "_model_capabilities_outputs_names", outputs)}

    def placed(self, device: torch.device | str | None) -> torch.device:
        """`device`, None for where the model is; a model of ours is moved there, another must be there."""
        state = [*self.model.parameters(), *self.model.buffers()]
        here = state[0].device if state else None
        wanted = _available(device, default=here or torch.device("cpu"))
        supported = list(self.model.capabilities().supported_devices)
        if wanted.type not in supported:
            fail(DeviceError, "device", f"one that the model supports ({', '.join(supported)})", str(wanted))
        if self.ours:
            self.model.to(wanted)
        elif here not in (None, wanted):
            fail(DeviceError, "device", f"{here}, where the model is", str(wanted))
        return wanted


def dtype_of(model: AtomisticModel, asked: torch.dtype | None) -> torch.dtype:
    """The one dtype of `model`."""
    name = model.capabilities().dtype
    own: torch.dtype = getattr(torch, name)
    if asked not in (None, own):
        fail(DTypeError, "dtype", f"torch.{name}, the one dtype of this model", str(asked))
    return own


def length_scale(length_unit: str, own: str) -> float:
    """The factor that takes lengths of the data to the unit of the model."""
    if not own or not length_unit:
        return 1.0
    try:
        return float(unit_conversion_factor(length_unit, own))
    except (ValueError, RuntimeError) as error:
        fail(ArgumentError, "length_unit", f"a length that converts to {own}", f"{length_unit!r} ({error})")


def _available(device: torch.device | str | None, default: torch.device) -> torch.device:
    """`device` with its index, after a tensor was put there."""
    try:
        return torch.empty(0, device=default if device is None else device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        fail(DeviceError, "device", "a device of this machine", f"{device!r} ({reason})")


def _read_model(path: Path, extensions_directory: str | PathLike[str] | None) -> AtomisticModel:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit.load, which metatomic calls
            return load_atomistic_model(path, extensions_directory)
    except (RuntimeError, ValueError, OSError) as error:
        if ran_out(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"model: expected the complete file of an exported metatomic model, got {path}: {reason}"
        ) from error
