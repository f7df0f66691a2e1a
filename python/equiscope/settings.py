"""What was asked of an audit, as one value: checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from .errors import ArgumentError, fail
from .groups.group import Group
from .groups.quadrature import MAXIMUM_DEGREE, checked_degree
from .groups.registry import resolve
from .measure.measure import ESTIMATORS, Measure, Question


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keywords of `equiscope.audit` that do not concern model and data, as the user gave them; described there."""

    group: str | Group
    lmax: int
    degree: int | str | None
    tolerance: float
    estimator: str | Measure
    rotations: int | None
    precision: float | None
    seed: int
    keep: str | None
    batch_rows: int | str
    batch_bytes: int | None
    max_memory: int | None
    progress: bool | None
    out: str | Path | None

    def check(self) -> None:
        """Refuse what no audit can be asked, whatever the model."""
        _check_numbers(self)
        question = self.question(judged=True)
        if not isinstance(self.estimator, Measure):
            if not isinstance(self.estimator, str) or self.estimator not in ESTIMATORS:
                fail(ArgumentError, "estimator", " or ".join(f'"{name}"' for name in ESTIMATORS), repr(self.estimator))
            ESTIMATORS[self.estimator].check(question)

    def question(self, *, judged: bool) -> Question:
        """What an estimator is asked; `judged` says whether outputs are declared whose errors can be judged."""
        degree = int(self.degree) if isinstance(self.degree, Integral) else None
        return Question(
            group=resolve(self.group),
            lmax=int(self.lmax),
            degree=degree,
            tolerance=self.tolerance,
            rotations=None if self.rotations is None else int(self.rotations),
            precision=self.precision,
            seed=int(self.seed),
            judged=judged,
        )

    def measure(self, *, judged: bool) -> Measure:
        """The estimator with which the audit begins."""
        if isinstance(self.estimator, Measure):
            return self.estimator
        return ESTIMATORS[self.estimator].of(self.question(judged=judged))


def _check_numbers(asked: Settings) -> None:
    lmax, degree = asked.lmax, asked.degree
    if not _is_integer(lmax) or lmax < 0:
        fail(ArgumentError, "lmax", "a non-negative integer", repr(lmax))
    if 2 * lmax > MAXIMUM_DEGREE:
        fail(ArgumentError, "lmax", f"at most {MAXIMUM_DEGREE // 2}, half the degree of the finest grid", lmax)
    if degree not in (None, "auto"):
        if not _is_integer(degree):
            fail(ArgumentError, "degree", 'an integer from 0 to 131 or "auto"', repr(degree))
        if checked_degree(degree) < 2 * lmax:
            fail(ArgumentError, "degree", f"at least 2 lmax = {2 * lmax}, below which sectors mix", degree)
    if not 0 < asked.tolerance < 1:
        fail(ArgumentError, "tolerance", "a number between 0 and 1", repr(asked.tolerance))
    if asked.keep not in (None, "samples"):
        fail(ArgumentError, "keep", 'None or "samples"', repr(asked.keep))
    sizes: tuple[tuple[str, Any, str | None], ...] = (
        ("batch_rows", asked.batch_rows, "auto"),
        ("batch_bytes", asked.batch_bytes, None),
        ("max_memory", asked.max_memory, None),
    )
    for name, value, default in sizes:
        if value != default and not (_is_integer(value) and value >= 1):
            fail(ArgumentError, name, f"a positive integer or {default!r}", repr(value))
    if not _is_integer(asked.seed) or asked.seed < 0:
        fail(ArgumentError, "seed", "a non-negative integer", repr(asked.seed))
    precision = asked.precision
    if precision is not None and not (isinstance(precision, Real) and 0 < precision < 1):
        fail(ArgumentError, "precision", "a number between 0 and 1", repr(precision))
    if asked.rotations is not None and not _is_integer(asked.rotations):
        fail(ArgumentError, "rotations", "an integer", repr(asked.rotations))


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
