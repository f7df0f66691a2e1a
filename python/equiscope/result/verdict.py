"""How one output stands: exact, broken, wrong or not measurable, and what its error consists of."""

from __future__ import annotations

import math
from enum import Enum

import torch

from ..groups.group import Label
from .data import AuditData, Output, SystemRow
from .floor import components, entry_noise, unresolved_share

AT_NOISE = 3.0
"""An error up to this many noise floors is no error. The floor is itself an estimate from one repetition, and
the error pools many rotations, so a factor of a few separates the two; real symmetry breaking stands decades
above."""

WRONG = 0.5
"""From this relative error on, an output does not transform as declared: half of its size or more changes.
Trained unconstrained models are far below, wrong declarations (pseudovectors, swapped axes) are near 1."""

DOMINANT = 0.9
"""Share of the power that one irrep must hold for us to say that the output is that irrep."""


class Verdict(Enum):
    """How an output stands."""

    EXACT = "exact"
    BROKEN = "approximate"
    WRONG = "not as declared"
    STOCHASTIC = "stochastic"
    UNMEASURED = "not measured"


def insignificant(output: Output) -> float:
    """Errors up to this are noise or round-off, and no evidence of broken symmetry."""
    measured = AT_NOISE * output.noise_floor
    return max(entry_noise(output), measured if math.isfinite(measured) else 0.0)


def verdict(output: Output) -> Verdict:
    """The one word that the numbers of `output` amount to."""
    if not math.isfinite(output.rmse) or output.samples == 0:
        return Verdict.UNMEASURED
    if output.rmse <= insignificant(output):
        return Verdict.STOCHASTIC if output.stochastic else Verdict.EXACT
    if output.relative >= WRONG:
        return Verdict.WRONG
    return Verdict.STOCHASTIC if output.stochastic else Verdict.BROKEN


def targets(output: Output) -> set[Label]:
    """The irreps that `output` is declared to carry."""
    if output.parts:
        return set(output.parts)
    chart = output.chart
    if output.representation == "invariant":
        return {chart.labels[0]}
    return {label for label, name in zip(chart.labels, chart.names, strict=True) if name == output.representation}


def error_sectors(output: Output) -> dict[Label, float]:
    """Share of the squared error in each irrep that a component of `output` must not have, the largest first.

    The squared error is ``components * rmse^2``. What an irrep of the declaration should not hold is an error
    whole; the rest, up to 1, is content of the right irrep that does not sit in the right components.
    """
    error = components(output) * output.rmse**2
    if not (error > 0 and math.isfinite(error)):
        return {}
    wrong = torch.zeros_like(output.pooled_power)
    pieces = [(target, part.power) for target, part in output.parts.items()]
    if not pieces and len(targets(output)) == 1:
        pieces = [(next(iter(targets(output))), output.power)]
    for target, power in pieces:
        pooled = output.pooled(power).clone()
        if target in output.chart:
            pooled[output.chart.place(target)] = 0
        wrong += pooled
    values = zip(output.chart.labels, wrong.reshape(-1).tolist(), strict=True)
    shares = {label: min(value / error, 1.0) for label, value in values}
    return dict(sorted(((s, v) for s, v in shares.items() if v > 0), key=lambda item: -item[1]))


def worst_row(audit: AuditData, name: str) -> SystemRow | None:
    """The system with the largest error of the output or layer `name`; None where no system has a number."""
    rows = [row for row in audit.systems if math.isfinite(system_error(row, name))]
    return max(rows, key=lambda row: system_error(row, name), default=None)


def system_error(row: SystemRow, name: str) -> float:
    """RMSE of the output or layer `name` on one system; NaN where it has none."""
    own = row.outputs[name] if name in row.outputs else row.layers.get(name, {})
    return own.get("rmse", math.nan)


def actual_irrep(output: Output) -> Label | None:
    """The one irrep that `output` carries, whatever was declared; None where it is no single one."""
    shares = output.fractions.reshape(-1)
    largest = int(shares.argmax())
    if float(shares[largest]) < DOMINANT or unresolved_share(output) > 1 - DOMINANT:
        return None
    return output.chart.labels[largest]
