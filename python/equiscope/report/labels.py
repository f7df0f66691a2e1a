"""What labelled data say of the outputs, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ..result.data import AuditData, Output
from ..result.floor import noise_power
from ..result.target import Sector
from .format import LISTED, margin, number, percent, quantity, quote, several
from .words import irrep_place

WORTH = 1e-6
"""Share of the power of a target below which a sector is none of its own: the trace of a traceless tensor, say."""


def against_labels(audit: AuditData) -> list[str]:
    """Of the outputs with labels: their errors, what symmetry breaking adds, and the sectors that they lack."""
    judged = [output for output in audit.outputs.values() if output.target is not None]
    # the power of a prediction above lmax was not measured
    seen = [(o, sector) for o in judged for sector in own_sectors(o) if sector.label in o.chart]
    lacking = [(o, sector) for o, sector in seen if sector.starved or sector.strayed]
    if len(judged) <= LISTED:
        errors = {output.name: _error(output) for output in judged}
        by_output = {name: [_sector(o, s) for o, s in lacking if o.name == name] for name in errors}
        return [line for name, error in errors.items() for line in (error, *by_output[name])]
    return [_errors(judged), *_sectors(lacking)]


def _errors(outputs: Sequence[Output]) -> str:
    told = []
    for output in outputs:
        target = output.target
        assert target is not None
        share = target.mse_broken / target.mse if target.mse > 0 else 0.0
        told.append(f"{quote(output.name)} by RMSE {quantity(output, target.rmse)} ({percent(share)})")
    return (
        f"Against their labels, in any orientation, {len(outputs)} outputs are off: {several(told)}; in brackets the "
        "share of the mean square error that is broken symmetry, which averaging over orientations would take away."
    )


def _sectors(lacking: Sequence[tuple[Output, Sector]]) -> list[str]:
    """One sentence for each place in the spectrum where targets have what outputs lack."""
    alike: dict[tuple[str, bool], list[str]] = {}
    for output, sector in lacking:
        of = f"{quote(output.name)} {_amount(output, sector)}"
        alike.setdefault((irrep_place(output.chart, sector.label), sector.starved), []).append(of)
    found = []
    for (place, starved), told in alike.items():
        lack = "that the model does not produce" if starved else "that the model puts into the wrong components"
        of = "The target" if len(told) == 1 else f"The targets of {len(told)} outputs"
        found.append(f"{of} {'has' if len(told) == 1 else 'have'} power at {place} {lack}: {several(told)}.")
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
    place, size = irrep_place(output.chart, sector.label), _amount(output, sector)
    text = f"The target of {quote(output.name)} has power at {place} that the model does not produce ({size})."
    if sector.starved:
        return text
    return (
        f"{quote(output.name)} has power at {place} as its target has ({size}), but not in the right components: the "
        f"symmetrised output and the labels have a cosine of {number(sector.cosine)}."
    )


def _amount(output: Output, sector: Sector) -> str:
    """``0.01 +- 0.001 of 0.3 (e bohr)^2``: the power that there is, of that which there ought to be."""
    squared = f" ({output.unit})^2" if output.unit else ""
    return f"{number(sector.predicted)} +- {margin(sector.predicted, sector.error)} of {number(sector.target)}{squared}"
