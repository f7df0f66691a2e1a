"""Whether a model and its data stand in each other's places: asked where a model was refused, to say so."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any

import torch

_NAME = re.compile(r"[\w.]+:[\w.]+", re.ASCII)
"""As the command line calls what can be imported."""


def hint(data: Any) -> str:
    """What the refusal of a model ends with where `data` look like one; else ""."""
    if not _is_model(data):
        return ""
    told = data if isinstance(data, str | PathLike) else type(data).__name__
    return f"; data look like a model ({told}), which comes first"


def _is_model(data: Any) -> bool:
    if isinstance(data, str | PathLike):
        return Path(data).suffix == ".pt" or _NAME.fullmatch(str(data)) is not None
    if isinstance(data, torch.nn.Module | type):
        return True
    # data are gone through, models are called, and calculators of ASE calculate
    return hasattr(data, "calculate") or (callable(data) and not hasattr(data, "__iter__"))
