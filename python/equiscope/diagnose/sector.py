"""The numbers of one sector of a target, from the layers to the output."""

from __future__ import annotations

from dataclasses import dataclass

from ..groups.group import Label
from .fate import Fate, LayerReading


@dataclass(frozen=True, repr=False)
class SectorDiagnosis:
    """One irrep of one target, from the layers to the output.

    Powers are means over samples and channels, in the unit of the output, squared. Of an invariant all but `power` is
    told from the mean over the samples, since a constant says nothing of a network.
    """

    output: str
    label: Label
    words: str
    """The irrep, as it is called."""
    power: float
    """Of the target."""
    varying: float
    """Share of it that is told from the mean: 1 but for invariants."""
    samples: int
    explained: float
    """Share of the target that the output explains at random orientations: 1 for all of it, 0 or less for none."""
    symmetrised: float
    """The same of the symmetrised output."""
    cosine: float
    """Of the angle between symmetrised output and target: the right sector can hold the wrong component."""
    gain: float
    """By which the symmetrised output follows the target: 1 where it is as large."""
    offset: float
    """Of an invariant: mean of output minus target."""
    predicted: float
    """Power of the symmetrised output; of an invariant around its own mean."""
    missed: float
    """Of the error of the symmetrised output."""
    broken: float
    """That broken symmetry adds to it, in these components."""
    error_in: dict[str, float]
    """Power of the error of the whole output by irrep, of those that stand above noise."""
    layers: list[LayerReading]
    """In order of execution."""
    unread: list[str]
    """Layers whose rows are neither those of the target nor pooled."""
    pooled: bool
    """Whether the rows of layers were pooled, as sum and mean."""
    fate: Fate
    formed_at: str | None
    """The first layer that the target can be read from."""
    lost_at: str | None
    """The first layer after the last of these."""

    @property
    def verdict(self) -> str:
        """The fate in a few words, with its place."""
        if self.fate is Fate.LOST:
            return f"lost at {self.lost_at}"
        formed = f", formed at {self.formed_at}" if self.formed_at else ""
        return f"{self.fate.value}{formed}"

    def __repr__(self) -> str:
        return f"<SectorDiagnosis of {self}>"

    def __str__(self) -> str:
        return f"{self.output}, {self.words}: {self.verdict}"
