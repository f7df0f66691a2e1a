"""What labelled data say of the outputs, in sentences."""

from __future__ import annotations

from ..result.data import AuditData, Output
from ..result.floor import noise_power
from ..result.target import Sector
from .format import margin, number, percent, quantity, quote
from .words import irrep_place

WORTH = 1e-6
"""Share of the power of a target below which a sector is none of its own: the trace of a traceless tensor, say."""


def against_labels(audit: AuditData) -> list[str]:
    """Of each output with labels: its error, what symmetry breaking adds, and the sectors that it lacks."""
    found = []
    for output in audit.outputs.values():
        if output.target is not None:
            found.append(_error(output))
            # the power of the prediction above lmax was not measured
            seen = [sector for sector in own_sectors(output) if sector.label in output.chart]
            found += [_sector(output, sector) for sector in seen if sector.starved or sector.strayed]
    return found


def own_sectors(output: Output) -> list[Sector]:
    """The sectors in which the labels of `output` have power."""
    sectors = [] if output.target is None else list(output.target.sectors.values())
    total = sum(sector.target for sector in sectors)
    least = max(WORTH * total, noise_power(output))
    return [sector for sector in sectors if sector.target > least]


def _error(output: Output) -> str:
    target = output.target
    assert target is not None
    share = target.mse_broken / target.mse if target.mse > 0 else 0.0
    return (
        f"Against its labels {quote(output.name)} is off by RMSE {quantity(output, target.rmse)} in any orientation; "
        f"{percent(share)} of the mean square error is broken symmetry, and averaged over orientations the model would "
        f"have RMSE {quantity(output, target.rmse_symmetrised)}."
    )


def _sector(output: Output, sector: Sector) -> str:
    place, squared = irrep_place(output.chart, sector.label), f" ({output.unit})^2" if output.unit else ""
    size = f"{number(sector.predicted)} +- {margin(sector.predicted, sector.error)} of {number(sector.target)}{squared}"
    text = f"The target of {quote(output.name)} has power at {place} that the model does not produce ({size})."
    if sector.starved:
        return text
    return (
        f"{quote(output.name)} has power at {place} as its target has ({size}), but not in the right components: the "
        f"symmetrised output and the labels have a cosine of {number(sector.cosine)}."
    )
