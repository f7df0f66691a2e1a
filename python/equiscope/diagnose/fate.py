"""What became of one sector of a target in a network, in a word. Knows numbers alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

LEARNED = 0.9
"""Share of a target that a model explains from which it has learned it."""

READABLE = 0.5
"""Share of a target that a layer explains from which the target is in it: what is not there explains nothing, and few
systems leave a fifth or a third of what is there unexplained."""

ABOVE_CONTROL = 0.1
"""By how much more than targets that have nothing to do with the systems."""

NEAR = 0.1
"""Share of a target that is no difference."""


class Fate(str, Enum):
    """How a sector of a target fares; property `fate` of a `SectorDiagnosis`. A fate equals its value."""

    NOISE = "below noise"
    """The target has no power there that could be told from noise, or, of an invariant, the same value everywhere."""
    LEARNED = "learned"
    """The output explains `LEARNED` of it, in any orientation."""
    BROKEN = "learned on average"
    """The symmetrised output does; broken symmetry adds an error in any one orientation."""
    NEVER = "never formed"
    """It can be read from no layer."""
    LOST = "lost"
    """It can be read from some layer, and from none after that."""
    UNREAD = "present but not read out"
    """It can be read from the last layer, better than the output gives it."""
    PARTLY = "learned in part"
    """The output gives what can be read from the last layer, which is not all."""
    UNTOLD = "cannot be told"
    """The systems are too few for the number of features: targets that are made of the features could not be read."""


@dataclass(frozen=True)
class LayerReading:
    """One sector of a target in one layer. Shares of the target explained are 1 for all of it, 0 or less for none."""

    layer: str
    power: float
    """Of the layer in this sector."""
    share: float
    """Of all its power."""
    seen: bool
    """Whether that power stands above noise and above its own error."""
    linear: float
    """Share of the target that a linear readout explains at random orientations, as one of the model's own would."""
    symmetrised: float
    """Share that it explains after its predictions were averaged over orientations: what is in the sector."""
    control: float
    """The most that such readouts explain of the targets of other systems, turned at random: what is read from
    nothing."""
    planted: float
    """What they explain of targets that are made of the layer's own features: how much can be told from so few
    systems. Not a number where noise is all that the layer holds in this sector."""

    @property
    def holds(self) -> bool:
        """Whether the target can be read from the layer."""
        return self.symmetrised >= max(READABLE, self.control + ABOVE_CONTROL)

    @property
    def lacks(self) -> bool:
        """Whether it can be told that the target cannot be read from it."""
        return not self.holds and (math.isnan(self.planted) or self.planted >= READABLE)


@dataclass(frozen=True)
class Scores:
    """What the output explains of one sector of its target."""

    explained: float
    """At random orientations."""
    symmetrised: float
    """After averaging over orientations."""


def fate(told: bool, scores: Scores, layers: Sequence[LayerReading]) -> tuple[Fate, str | None, str | None]:
    """The fate, the layer from which on the target can be read, and the first one after the last that holds it.

    `told`: whether the target stands above noise. `layers` in order of execution.
    """
    holding = [i for i, layer in enumerate(layers) if layer.holds]
    formed = layers[holding[0]].layer if holding else None
    after = holding[-1] + 1 if holding else 0
    lost = layers[after].layer if holding and after < len(layers) else None
    if not told:
        return Fate.NOISE, None, None
    if scores.explained >= LEARNED:
        return Fate.LEARNED, formed, None
    if scores.symmetrised >= LEARNED:
        return Fate.BROKEN, formed, None
    if holding and lost is None:
        better = layers[-1].symmetrised - scores.symmetrised > NEAR
        return (Fate.UNREAD if better else Fate.PARTLY), formed, None
    if scores.symmetrised >= READABLE:
        return Fate.PARTLY, formed, None
    if not all(layer.lacks for layer in layers[after:]):
        return Fate.UNTOLD, formed, None
    return (Fate.LOST if holding else Fate.NEVER), formed, lost
