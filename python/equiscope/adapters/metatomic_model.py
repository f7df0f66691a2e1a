"""A metatomic model, wherever it comes from."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from metatomic.torch import AtomisticModel, ModelOutput, is_atomistic_model, load_atomistic_model

from ..errors import DataError, DTypeError, fail


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
            path = Path(model)
            loaded = _read_model(path, extensions_directory)
            return cls(loaded, loaded.metadata().name or path.name, ours=True)
        if not isinstance(model, torch.nn.Module) or not is_atomistic_model(model):
            fail(DTypeError, "model", "a metatomic AtomisticModel or the path of one", type(model).__name__)
        if not isinstance(model, AtomisticModel):
            model = AtomisticModel(model, model.metadata(), model.capabilities())
        name = getattr(model.module, "original_name", type(model.module).__name__)
        return cls(model, model.metadata().name or name, ours=False)

    def outputs(self) -> dict[str, ModelOutput]:
        """What the model offers, by the names it declares: the wrapper adds aliases to names that changed."""
        outputs = self.model.capabilities().outputs
        return {name: outputs[name] for name in getattr(self.model, "_model_capabilities_outputs_names", outputs)}


def _read_model(path: Path, extensions_directory: str | PathLike[str] | None) -> AtomisticModel:
    if not path.is_file():
        fail(DataError, "model", "the file of an exported metatomic model", f"{path}, which is not a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit.load, which metatomic calls
            return load_atomistic_model(path, extensions_directory)
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"model: expected the complete file of an exported metatomic model, got {path}: {reason}"
        ) from error
