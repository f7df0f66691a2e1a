"""Is the error of one audit really larger than that of another? Both on the systems that they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from .data import AuditData, Output, SystemRow
from .judge import AT_NOISE

LEVEL = 0.05
"""Of the test over systems, and of the half widths of errors."""

FEWEST = 6
"""Systems from which a test of signed ranks can reach `LEVEL` at all: ``2 / 2^6 = 0.03``."""


class Standing(str, Enum):
    """What the difference of two errors amounts to."""

    NOISE = "both within noise"
    """Neither is above its noise floor."""
    UNSEEN = "no difference seen"
    """It lies within the errors with which both are known."""
    HERE = "differs on these systems"
    """It is larger than the errors of the measurement; but other systems might well show the opposite."""
    REAL = "differs"
    """It is larger than these errors, and systems agree on its sign beyond chance."""

    def __str__(self) -> str:
        return self.value

    @property
    def is_seen(self) -> bool:
        """Whether it is more than the measurement makes by itself."""
        return self in (Standing.HERE, Standing.REAL)


@dataclass(frozen=True)
class Difference:
    """The RMSE of an output in one audit minus that in the baseline, over the systems that both have."""

    systems: int
    baseline: float
    """RMSE over these systems."""
    other: float
    error: float
    """The true difference lies within this of ``other - baseline`` in 95 of 100 cases."""
    p: float | None
    """Of Wilcoxon's test of signed ranks over systems: the chance that systems in which both are equally likely to be
    the larger agree as much. None below `FEWEST` systems."""
    lower: int
    """Systems in which the other has the smaller error."""
    standing: Standing

    @property
    def value(self) -> float:
        """Other minus baseline: negative where the other is better."""
        return self.other - self.baseline


def variance_error(rmse: float, error: float) -> float:
    """Half width of a variance, from its root and the half width of that, ``max(r - low, high - r)``.

    Where the interval of the variance stays above 0 its lower end is the farther one. Where it does not, the half width
    is the root itself as long as the interval ends below four times the variance, and the largest such is taken.
    """
    if error < rmse:
        return rmse**2 - (rmse - error) ** 2
    return (rmse + error) ** 2 - rmse**2


def paired(baseline: AuditData, other: AuditData, name: str, systems: Sequence[str]) -> Difference:
    """The difference in the output `name` over `systems`, which both audits have.

    Both errors of measurement are taken to be independent, as they are for different seeds; with the same elements of
    the group those of similar models rise and fall together, and the difference is known better than is stated. It is
    seen where ``|A - A'|`` exceeds the root of the sum of the squares of both half widths and of both noises.
    """
    pairs = [(_rows(audit, systems), audit.outputs[name]) for audit in (baseline, other)]
    (a, ea), (b, eb) = (
        _pooled(audit, rows, output) for audit, (rows, output) in zip((baseline, other), pairs, strict=True)
    )
    each = [
        (left.outputs[name]["rmse"], right.outputs[name]["rmse"])
        for left, right in zip(pairs[0][0], pairs[1][0], strict=True)
    ]
    error, size = math.hypot(ea, eb), math.sqrt(a) + math.sqrt(b)
    noise = math.hypot(*((AT_NOISE * output.scatter) ** 2 for _, output in pairs))
    p = _signed_ranks([right - left for left, right in each])
    if all(math.sqrt(v) <= AT_NOISE * output.scatter for v, (_, output) in zip((a, b), pairs, strict=True)):
        standing = Standing.NOISE
    elif not abs(a - b) > math.hypot(error, noise):
        standing = Standing.UNSEEN
    else:
        standing = Standing.REAL if p is not None and p < LEVEL else Standing.HERE
    return Difference(
        systems=len(systems),
        baseline=math.sqrt(a),
        other=math.sqrt(b),
        error=error / size if size else 0.0,
        p=p,
        lower=sum(right < left for left, right in each),
        standing=standing,
    )


def shared_systems(audits: Sequence[AuditData], name: str) -> list[str]:
    """Names of the systems in which all of `audits` have a finite error of the output `name`, and the same size."""
    tables = [{row.name: row for row in audit.systems if name in row.outputs} for audit in audits]
    return [
        system
        for system, row in tables[0].items()
        if all(
            system in table
            and table[system].rows == row.rows
            and math.isfinite(table[system].outputs[name].get("rmse", math.nan))
            for table in tables
        )
    ]


def _rows(audit: AuditData, systems: Sequence[str]) -> list[SystemRow]:
    table = {row.name: row for row in audit.systems}
    return [table[system] for system in systems]


def _pooled(audit: AuditData, rows: Sequence[SystemRow], output: Output) -> tuple[float, float]:
    """A over `rows`, samples as weights, and its half width."""
    if len(rows) == sum(output.name in row.outputs for row in audit.systems):
        return output.rmse**2, variance_error(output.rmse, output.rmse_error)
    cells = [row.outputs[output.name] for row in rows]
    weights = [cell.get("samples", 1) for cell in cells]
    variance = sum(w * cell["rmse"] ** 2 for w, cell in zip(weights, cells, strict=True)) / sum(weights)
    errors = [
        w * variance_error(cell["rmse"], cell.get("rmse_error", math.inf))
        for w, cell in zip(weights, cells, strict=True)
    ]
    # the errors of grids have a part with a sign, which adds up; a row does not say how large it is
    joined = math.hypot(*errors) if audit.sampled else sum(errors)
    return variance, joined / sum(weights)


def _signed_ranks(differences: Sequence[float]) -> float | None:
    """Two-sided p of Wilcoxon's test that they are as often and as far above 0 as below."""
    if len(differences) < FEWEST:
        return None
    if not any(differences):
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue)
