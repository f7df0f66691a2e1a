"""Molecules with labels: the data set, and its split by molecule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ..store import data_directory

ELEMENTS = (1, 6, 7, 8, 9, 16)

SPLIT_SEED = 0
"""The same molecules are held out in every run: seeds are of models and of batches."""

PARTS = {"train": 58, "validation": 8, "test": 12}
"""Molecules in each part of the split."""


@dataclass(frozen=True)
class Molecule:
    """One structure with its labels, in float32."""

    name: str
    """Of the molecule that it is a displaced copy of."""
    numbers: torch.Tensor
    """``(n,)`` int64."""
    positions: torch.Tensor
    """``(n, 3)`` angstrom."""
    labels: dict[str, torch.Tensor]
    """By output: ``(n, components)``, or ``(1, components)`` of the whole molecule; scaled, in the standard basis."""


@dataclass(frozen=True)
class Task:
    """What a model is to learn."""

    targets: dict[str, dict[str, str]]
    """By target of the model, its outputs with their irreps."""
    per_system: tuple[str, ...]
    """Outputs that belong to whole molecules."""
    present: dict[str, torch.Tensor]
    """By output, which of its channels an element has, ``(17, multiplicity)``; all where nothing is said."""
    parts: dict[str, list[Molecule]]
    """By part of the split."""
    scales: dict[str, float]
    """Root mean square of each output over the training molecules, in the unit of the data set, per component."""

    @cached_property
    def outputs(self) -> dict[str, str]:
        """Irreps by output."""
        return {name: irreps for outputs in self.targets.values() for name, irreps in outputs.items()}


def split(names: Sequence[str]) -> dict[str, list[int]]:
    """Places of the structures in each part; no molecule is in two of them."""
    molecules = sorted(set(names))
    shuffled = [molecules[i] for i in np.random.default_rng(SPLIT_SEED).permutation(len(molecules))]
    part_of: dict[str, str] = {}
    for part, count in PARTS.items():
        start = len(part_of)
        part_of |= {name: part for name in shuffled[start : start + count]}
    return {part: [i for i, name in enumerate(names) if part_of[name] == part] for part in PARTS}


def arrays(data: Path | None, file: str) -> dict[str, np.ndarray]:
    """All arrays of one file of the data set."""
    with np.load(data_directory(data) / file) as stored:
        return {key: stored[key] for key in stored.files}
