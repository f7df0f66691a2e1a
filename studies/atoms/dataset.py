"""Molecules with labels of every atom: the data set, its split by molecule, and how labels are scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """One structure."""

    name: str
    """Of the molecule that it is a displaced copy of."""
    numbers: torch.Tensor
    """``(n,)`` int64."""
    positions: torch.Tensor
    """``(n, 3)`` angstrom."""
    labels: dict[str, torch.Tensor]
    """By output: ``(n, components)`` or ``(components,)``, scaled, in the standard basis."""


def split(names: Sequence[str]) -> dict[str, list[int]]:
    """Places of the structures in each part; no molecule is in two of them."""
    molecules = sorted(set(names))
    shuffled = [molecules[i] for i in np.random.default_rng(SPLIT_SEED).permutation(len(molecules))]
    part_of, start = {}, 0
    for part, count in PARTS.items():
        part_of |= {name: part for name in shuffled[start : start + count]}
        start += count
    return {part: [i for i, name in enumerate(names) if part_of[name] == part] for part in PARTS}


def arrays(data: Path | None, file: str) -> dict[str, np.ndarray]:
    """All arrays of one file of the data set."""
    with np.load(data_directory(data) / file) as stored:
        return {key: stored[key] for key in stored.files}
