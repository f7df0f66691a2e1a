"""How far an output may be from its declared symmetry, and whether an audit shows that it is farther."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import ArgumentError, fail
from .data import AuditData, Output
from .judge import Verdict
from .verdict import untested

WITHIN = {
    Verdict.EXACT: "within noise",
    Verdict.VANISHES: "vanishes within noise",
    Verdict.STOCHASTIC: "within the scatter of repeats",
    Verdict.JUMPS: "within its jumps by rounding of the input",
}
"""Verdicts that keep every limit, and why."""


@dataclass(frozen=True)
class Limit:
    """The largest error that passes: of one output, or of every output that has no limit of its own."""

    name: str | None
    value: float
    relative: bool
    """Whether it is a share of the root mean square of the output; else in its unit."""


@dataclass(frozen=True)
class Check:
    """One output, held against its limit."""

    output: str
    unit: str | None
    limit: Limit
    value: float
    """RMSE, or relative error, as the limit is."""
    error: float
    """Half width of an interval of 95 % about `value`."""
    passed: bool
    reason: str
    """Why, where the numbers alone do not say it."""


def parse_limit(text: str) -> Limit:
    """``1%``, a relative error that holds for every output; ``energy=1%``; or ``energy=1e-3``, in the unit of it."""
    name, sign, amount = text.rpartition("=")
    relative = amount.endswith("%")
    try:
        value = float(amount.removesuffix("%")) / (100.0 if relative else 1.0)
    except ValueError:
        value = math.nan
    if not (0 <= value < math.inf) or bool(sign) != bool(name) or not (relative or name):
        expected = "a share such as 1%, or NAME=1e-3 in the unit of an output, or NAME=1%"
        fail(ArgumentError, "--fail-above", expected, repr(text))
    return Limit(name or None, value, relative)


def check_names(argument: str, given: Iterable[str], names: Sequence[str]) -> None:
    """Refuse those `given` for `argument` that are none of `names`, the outputs."""
    unknown = [name for name in given if name not in names]
    if unknown:
        fail(ArgumentError, argument, f"names of outputs ({', '.join(names) or 'none'})", ", ".join(unknown))


def named(limits: Iterable[Limit]) -> list[str]:
    """The outputs that have a limit of their own."""
    return [limit.name for limit in limits if limit.name is not None]


def check(audit: AuditData, limits: Sequence[Limit], constant: Sequence[str] = ()) -> list[Check]:
    """Every output that has a limit, held against it; a limit by name goes before one for all.

    An error fails when all of its interval lies above the limit, ``value - error > limit``: what cannot be told from
    the limit passes, and is said to. What lies within measured noise passes. What shows nothing fails: an output that
    has no finite value, one that depends on an input which may hold directions and was not turned, and one that depends
    on nothing that is turned, 0 for every input too, unless `constant` names it as one that is meant to be so.
    """
    check_names("--fail-above", named(limits), list(audit.listed))
    check_names("--constant", constant, list(audit.listed))
    own = {limit.name: limit for limit in limits}
    held = [(output, own.get(name, own.get(None))) for name, output in audit.listed.items()]
    return [
        _held(output, limit, output.name in constant, audit.unmeasured.get(output.name))
        for output, limit in held
        if limit is not None
    ]


def _held(output: Output, limit: Limit, constant: bool, missed: str | None) -> Check:
    scale = output.size if limit.relative else 1.0
    value = output.relative if limit.relative else output.rmse
    error = output.rmse_error / scale if scale and not math.isnan(output.rmse_error) else 0.0
    verdict = output.verdict
    if verdict is Verdict.UNMEASURED:
        why = "could not be measured" if missed is None else f"was not measured: {missed}"
        return Check(output.name, output.unit, limit, value, error, False, why)
    if output.doubt:
        return Check(output.name, output.unit, limit, value, error, False, output.doubt)
    if (told := untested(output)) is not None:
        told = "constant, as it is meant to be" if constant else f"{told}; --constant {output.name} if that is meant"
        return Check(output.name, output.unit, limit, value, error, constant, told)
    if verdict in WITHIN:
        return Check(output.name, output.unit, limit, value, error, True, WITHIN[verdict])
    passed, reason = value - error <= limit.value, ""
    if passed and value > limit.value:
        reason = "above the limit, but not beyond its error"
    elif passed and value + error > limit.value:
        reason = "its error reaches above the limit"
    return Check(output.name, output.unit, limit, value, error, passed, reason)
