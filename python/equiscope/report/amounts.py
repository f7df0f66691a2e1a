"""The error of one output in words: how large, by what it can be read, what it consists of, where it is worst."""

from __future__ import annotations

import math

from ..result.data import AuditData, Output
from ..result.floor import assumed, seen_above
from ..result.verdict import error_sectors, insignificant, misplaced, per_row, system_error, worst_row
from .format import margin, number, percent, quantity, quote
from .words import highest, irrep_place

HIDDEN, NOTICED_RELATIVE = 10.0, 1e-3
"""A relative error of one system is worth a word where it is so many times the pooled one, which systems with large
values decide, and at least so large."""

MANY = 10.0
"""From here on a ratio is written as so many times, not as per cent."""

OUTLIER = 3.0
"""A system this many times above the pooled error is an outlier: by Markov's inequality at most 1 in 9 is."""


def size(output: Output) -> str:
    """``RMSE 0.0114 eV +- 0.0002, noise floor 1.00e-07``."""
    error = output.rmse_error
    resting = " by assumption" if assumed(output) else ""
    around = f" +- {margin(output.rmse, error)}{resting}" if error else ""
    return f"RMSE {quantity(output, output.rmse)}{around}, noise floor {number(output.noise_floor)}"


def scales(audit: AuditData, output: Output) -> str:
    """The error against what else it can be read by."""
    found = ""
    if output.spread:
        found += f"; {_part(output.rmse / output.spread)} its spread over the systems"
    if per := per_row(audit, output.name):
        found += f"; {number(per[0])} {per[1]} per atom"
    if output.reference_rmse:
        found += f"; {_part(output.rmse / output.reference_rmse)} the model's own error"
    return found


def _part(ratio: float) -> str:
    """``11.4% of`` something, or ``15 times``."""
    return f"{percent(ratio)} of" if ratio < MANY else f"{number(ratio)} times"


def noun(output: Output) -> str:
    """What is broken: ``invariance``, ``equivariance as a vector``."""
    return law(output).replace("invariant", "invariance").replace("equivariant", "equivariance")


def law(output: Output) -> str:
    """What the declaration asks: ``invariant``, ``equivariant as a vector``."""
    if output.representation in ("scalar", "invariant"):
        return "invariant"
    if output.representation in ("pseudoscalar", "vector", "pseudovector", "tensor"):
        return f"equivariant as a {output.representation}"
    if output.representation == "voigt":
        return "equivariant as a tensor (voigt)"
    return f"equivariant as {output.representation}"


def consists(output: Output) -> str:
    """Which irrep the error sits in, where one explains most of it."""
    shares = error_sectors(output)
    if not shares:
        return ""
    above = seen_above(output) * output.pooled_total / (output.components * output.rmse**2)
    if above > 0.5:
        return f" {percent(min(above, 1.0))} of the squared error is content above {highest(output.chart)}."
    sector, share = next(iter(shares.items()))
    if share < 0.5:
        if 1 - sum(shares.values()) > 0.5 and misplaced(output) > 0.5:
            return " Most of the error is content of the right irrep in the wrong components."
        return ""
    return f" {percent(share)} of the squared error is content that turns like {irrep_place(output.chart, sector)}."


def worst(audit: AuditData, output: Output) -> str:
    """The system with the largest error, where there are several."""
    row = worst_row(audit, output.name)
    if row is None or len(audit.systems) < 2:
        return ""
    rmse = system_error(row, output.name)
    ratio = rmse / output.rmse
    return (
        f" Worst system: {quote(row.name)}, RMSE {quantity(output, rmse)}"
        + (f", {number(ratio, 2)} times the pooled error: an outlier." if ratio >= OUTLIER else ".")
        + _small(audit, output)
    )


def _small(audit: AuditData, output: Output) -> str:
    """The system whose error is the largest part of its own size, where the pooled relative error hides it."""
    loud = [row for row in audit.systems if system_error(row, output.name) > insignificant(output)]
    own = {row.name: row.outputs.get(output.name, {}).get("relative", math.nan) for row in loud}
    finite = {name: relative for name, relative in own.items() if math.isfinite(relative)}
    if not finite:
        return ""
    name = max(finite, key=finite.__getitem__)
    if finite[name] < max(HIDDEN * output.relative, NOTICED_RELATIVE):
        return ""
    return f" Relative to its own size the largest is that of {quote(name)}, {percent(finite[name])}."
