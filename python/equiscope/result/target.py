"""What an output is beside what it ought to be: a view of the quantity "target"."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from ..groups.group import Label


@dataclass(frozen=True)
class Sector:
    """One irrep of a target; powers are means over samples and channels, in the unit of the output, squared."""

    label: Label
    target: float
    """Of the labels. Labels transform exactly, so that all of their power lies in their own irreps."""
    predicted: float
    """Of the prediction in this irrep, in the components that ought to carry it."""
    symmetrised: float
    """Of the symmetrised prediction."""
    overlap: float
    """<Pi, y>."""
    missed: float
    """Of the error of the symmetrised prediction, |Pi - y|^2."""
    broken: float
    """That symmetry breaking adds to it: A times the number of components."""
    error: float
    """Half width within which `predicted` is known."""

    @property
    def cosine(self) -> float:
        """Of the angle between symmetrised prediction and labels, over all samples; 0 where one of them is 0."""
        size = math.sqrt(max(self.symmetrised, 0.0) * max(self.target, 0.0))
        return self.overlap / size if size > 0 else 0.0

    @property
    def starved(self) -> bool:
        """Whether the prediction has less than half of the target's power here, error of both included."""
        return self.predicted + self.error < 0.5 * self.target

    @property
    def strayed(self) -> bool:
        """Whether the power is there, and mostly in other components than the target's."""
        return not self.starved and self.cosine**2 < 0.5 and self.missed > 0.5 * self.target


@dataclass(frozen=True)
class Target:
    """An output against its labels. ``mse = mse_symmetrised + mse_broken``, each per component."""

    sectors: dict[Label, Sector]
    """By irrep of the representation."""
    error_power: torch.Tensor = field(repr=False)
    """``chart.shape``: power of the error f(g x) - rho(g) y in each irrep."""
    mse_symmetrised: float
    """Mean square error of the symmetrised output."""
    mse_broken: float
    """A: what symmetry breaking adds."""
    samples: int

    @property
    def mse(self) -> float:
        """Mean square error, averaged over orientations."""
        return self.mse_symmetrised + self.mse_broken

    @property
    def rmse(self) -> float:
        return math.sqrt(max(self.mse, 0.0))

    @property
    def rmse_symmetrised(self) -> float:
        return math.sqrt(max(self.mse_symmetrised, 0.0))
