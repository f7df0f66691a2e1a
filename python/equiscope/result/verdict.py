"""How one output stands: what its error is measured against, where it sits, and what its error consists of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..groups.group import Label
from .data import AuditData, Output, SystemRow
from .floor import components, sector_floor, unresolved_share
from .judge import AT_NOISE, Parity, Verdict, parity

DOMINANT = 0.9
"""Share of the power that one irrep must hold for us to say that the output is that irrep."""

MILLI = {"eV": "meV", "Ha": "mHa", "kcal/mol": "kcal/mol", "kJ/mol": "kJ/mol"}
"""Units of energy, and those in which an error per atom is read."""


def insignificant(output: Output) -> float:
    """Errors up to this are noise or round-off, and no evidence of broken symmetry."""
    return AT_NOISE * output.scatter


def uncertain(output: Output) -> bool:
    """Whether the error of `output` cannot be told from none, because its own error is as large."""
    return output.verdict.is_broken and output.rmse <= output.rmse_error


def untouched(output: Output) -> bool:
    """Whether `output` shows no error for want of any input that turns, so that nothing was tested."""
    return output.verdict in (Verdict.EXACT, Verdict.STOCHASTIC) and not output.depends


def untested(output: Output) -> str | None:
    """Why no error of `output` could have been seen, whatever the model is; None where one could."""
    if output.verdict is Verdict.ZERO:
        return "is zero for every input, which shows nothing"
    if not untouched(output):
        return None
    noise = ", by more than repeats scatter" if output.verdict is Verdict.STOCHASTIC else ""
    return f"depends on nothing that is turned{noise}, which shows nothing"


def rotations_alone(output: Output) -> Parity | None:
    """What proper rotations alone do to a broken output; None where nothing is broken or that was not measured."""
    if not output.verdict.is_broken or output.rmse_rotations is None or not math.isfinite(output.rmse_rotations):
        return None
    return parity(output.rmse_rotations, insignificant(output), output.inversion)


def per_row(audit: AuditData, name: str) -> tuple[float, str] | None:
    """RMSE per atom of an energy and its unit; None of anything else, or where the unit is not known."""
    output = audit.outputs.get(name)
    if output is None or output.unit is None or output.components != 1:
        return None
    if output.unit not in MILLI and "energy" not in name.lower():
        return None
    rows = [row for row in audit.systems if math.isfinite(system_error(row, name)) and row.rows > 0]
    if not rows or any(row.outputs[name].get("samples", 1) != 1 for row in rows):
        return None
    mean = sum((system_error(row, name) / row.rows) ** 2 for row in rows) / len(rows)
    unit = MILLI.get(output.unit, output.unit)
    return math.sqrt(mean) * (1e3 if unit == f"m{output.unit}" else 1.0), unit


def spread(systems: Sequence[SystemRow], output: Output) -> float | None:
    """Standard deviation over the systems of an output that has one value for each; None of others, and of an output
    whose values differ by no more than noise, beside which nothing can be measured."""
    rows = [row.outputs[output.name] for row in systems if output.name in row.outputs]
    means = [row["mean"] for row in rows if "mean" in row and row.get("samples") == 1]
    if output.channels != 1 or len(means) < max(len(rows), 2):
        return None
    centre = sum(means) / len(means)
    found = math.sqrt(sum((value - centre) ** 2 for value in means) / len(means))
    return found if found > insignificant(output) else None


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
    whole; the rest, up to 1, is content of the right irrep that does not sit in the right components. What is not above
    noise and its own error is left out.
    """
    error = components(output) * output.rmse**2
    if not (error > 0 and math.isfinite(error)):
        return {}
    wrong, noise = torch.zeros_like(output.pooled_power), sector_floor(output)
    pieces = [(target, part.power) for target, part in output.parts.items()]
    if not pieces and len(targets(output)) == 1:
        pieces = [(next(iter(targets(output))), output.power)]
    for target, power in pieces:
        pooled = output.pooled(power).clone()
        if target in output.chart:
            pooled[output.chart.place(target)] = 0
        wrong += pooled
    wrong[wrong <= noise] = 0
    values = zip(output.chart.labels, wrong.reshape(-1).tolist(), strict=True)
    shares = {label: min(value / error, 1.0) for label, value in values}
    return dict(sorted(((s, v) for s, v in shares.items() if v > 0), key=lambda item: -item[1]))


def misplaced(output: Output) -> float:
    """Share of the squared error of `output` that its declared irreps hold in other components than theirs: what there
    is of them, less the symmetrised output. Nothing where they have one component alone."""
    error = components(output) * output.rmse**2
    if not (error > 0 and math.isfinite(error)):
        return 0.0
    pieces = [(target, part.power) for target, part in output.parts.items()]
    pieces = pieces or [(target, output.power) for target in targets(output)]
    held = sum(float(output.pooled(power)[output.chart.place(t)]) for t, power in pieces if t in output.chart)
    return max(held - components(output) * output.symmetrised**2, 0.0) / error


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
