"""Where results lie: a small JSON file for each run and seed, arrays beside it; checkpoints lie elsewhere."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent

DIGITS = 4
"""Of every stored number. Spreads over seeds are some per cent, and results stay small."""


class Store:
    """Results of runs below one directory, ``NAME/seedK.json`` and ``NAME/seedK.safetensors``.

    Args:
        results: their directory.
        scratch: where runs that are not done keep checkpoints and histories; by default the environment variable
            EQUISCOPE_STUDIES_SCRATCH, or ``~/.cache/equiscope-studies``.
    """

    def __init__(self, results: Path | None = None, scratch: Path | None = None) -> None:
        self.results = HERE / "results" if results is None else Path(results)
        default = os.environ.get("EQUISCOPE_STUDIES_SCRATCH", Path.home() / ".cache" / "equiscope-studies")
        self._scratch = Path(default) if scratch is None else Path(scratch)

    def scratch(self, name: str, seed: int) -> Path:
        """A directory of its own for what a run keeps while it goes on."""
        path = self._scratch / name / f"seed{seed}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def has(self, name: str, seed: int) -> bool:
        """Whether the run is done."""
        return self._path(name, seed).is_file()

    def seeds(self, name: str) -> list[int]:
        """Those that are done, rising."""
        found = (self.results / name).glob("seed*.json")
        return sorted(int(path.stem.removeprefix("seed")) for path in found)

    def load(self, name: str, seed: int) -> dict[str, Any]:
        """The result of one run."""
        result: dict[str, Any] = json.loads(self._path(name, seed).read_text(encoding="utf-8"))
        return result

    def all(self, name: str) -> list[dict[str, Any]]:
        """Of every seed that is done."""
        return [self.load(name, seed) for seed in self.seeds(name)]

    def save(self, name: str, seed: int, result: Mapping[str, Any]) -> Path:
        """Write a result, whole or not at all. Numbers are cut to `DIGITS`, those that are none are null."""
        path = self._path(name, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        growing = path.with_suffix(".new")
        growing.write_text(json.dumps(_short(result), allow_nan=False) + "\n", encoding="utf-8")
        growing.replace(path)
        return path

    def save_tensors(self, name: str, seed: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Weights beside the result, numbers with a point in half precision, so that the results stay small."""
        path = self._path(name, seed).with_suffix(".safetensors")
        path.parent.mkdir(parents=True, exist_ok=True)
        small = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
        save_file({key: value.cpu().contiguous() for key, value in small.items()}, path)

    def load_tensors(self, name: str, seed: int) -> dict[str, torch.Tensor]:
        """What `save_tensors` wrote, in single precision."""
        tensors = load_file(self._path(name, seed).with_suffix(".safetensors"))
        return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}

    def _path(self, name: str, seed: int) -> Path:
        return self.results / name / f"seed{seed}.json"


def data_directory(given: str | Path | None = None) -> Path:
    """The data set: what is given, or the environment variable EQUISCOPE_STUDIES_DATA, or ``../shared/data`` beside
    the repository."""
    default = os.environ.get("EQUISCOPE_STUDIES_DATA", HERE.parents[1] / "shared" / "data")
    path = Path(given if given is not None else default)
    if not path.is_dir():
        raise FileNotFoundError(f"the data set: expected a directory (--data, EQUISCOPE_STUDIES_DATA), got {path}")
    return path


def _short(value: Any) -> Any:
    """JSON values, floats with `DIGITS` significant digits."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _short(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_short(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
