"""What was asked of an audit, as one value: checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from .errors import ArgumentError, DTypeError, fail
from .fingerprint import told
from .groups.group import Group
from .groups.registry import resolve
from .groups.rings import MAXIMUM_DEGREE, checked_degree
from .measure.estimators.grid import MINIMUM_DEGREE
from .measure.measure import ESTIMATORS, Measure, Question
from .report.render import check_formats

ERRORS_LMAX = 8
"""Highest l that is shown where errors alone are asked: what a grid holds beyond would cost memory."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keywords of `equiscope.audit` that do not concern model and data, as the user gave them; described there."""

    group: str | Group
    lmax: int | None
    degree: int | str | None
    tolerance: float
    estimator: str | Measure
    rotations: int | None
    precision: float | None
    precision_of_model: torch.dtype | None
    seed: int
    shift: str | None
    keep: str | None
    batch_rows: int | str
    batch_bytes: int | None
    max_memory: int | None
    progress: bool | None
    out: str | Path | None
    formats: Sequence[str] = ("png",)
    units: Mapping[str, str] | None = None
    reference_rmse: Mapping[str, float] | None = None
    resume: bool = False
    distributed: bool | None = None

    @property
    def resolved(self) -> int:
        """lmax of the spectrum: as asked, or half the degree from which errors alone are found."""
        if self.lmax is not None:
            return int(self.lmax)
        degree = self.degree if isinstance(self.degree, Integral) else MINIMUM_DEGREE
        return min(int(degree) // 2, ERRORS_LMAX)

    def check(self) -> None:
        """Refuse what no audit can be asked, whatever the model."""
        _check_numbers(self)
        _check_scales(self)
        question = self.question(judged=True)
        if isinstance(self.estimator, Measure):
            self._check_instance(self.estimator, question)
        elif isinstance(self.estimator, str) and self.estimator in ESTIMATORS:
            ESTIMATORS[self.estimator].check(question)
        else:
            fail(ArgumentError, "estimator", " or ".join(f'"{name}"' for name in ESTIMATORS), repr(self.estimator))

    def _check_instance(self, measure: Measure, question: Question) -> None:
        """A measure that was handed over has its own group and elements: nothing else may be asked of them."""
        for name in ("degree", "rotations", "precision"):
            if (value := getattr(self, name)) not in (None, "auto"):
                fail(ArgumentError, name, f"None beside an estimator that is a {type(measure).__name__}", repr(value))
        if question.group != measure.group and self.group != "O3":
            fail(ArgumentError, "group", f"that of the estimator, {measure.group}", question.group)
        if measure.degree is not None and measure.degree < 2 * question.lmax:
            fail(
                ArgumentError,
                "estimator",
                f"a grid of degree 2 lmax = {2 * question.lmax} at least, below which sectors mix",
                f"degree {measure.degree}",
            )

    def question(self, *, judged: bool) -> Question:
        """What an estimator is asked; `judged` says whether outputs are declared whose errors can be judged."""
        degree = int(self.degree) if isinstance(self.degree, Integral) else None
        return Question(
            group=resolve(self.group),
            lmax=self.resolved,
            degree=degree,
            tolerance=self.tolerance,
            rotations=None if self.rotations is None else int(self.rotations),
            precision=self.precision,
            seed=int(self.seed),
            judged=judged,
            shift=self.shift,
            spectrum=self.lmax is not None,
        )

    def identity(self) -> dict[str, Any]:
        """What decides the numbers, as JSON values by name."""
        aside = ("out", "formats", "progress", "resume", "distributed", "max_memory")
        return {name: told(value) for name, value in vars(self).items() if name not in aside}

    def check_outputs(self, names: Collection[str]) -> None:
        """Refuse a unit or a reference error of an output that is none of `names`."""
        for argument, given in (("units", self.units), ("reference_rmse", self.reference_rmse)):
            unknown = [name for name in given or {} if name not in names]
            if unknown:
                expected = f"names of declared outputs ({', '.join(names) or 'none'})"
                fail(ArgumentError, argument, expected, ", ".join(map(repr, unknown)))

    def measure(self, *, judged: bool) -> Measure:
        """The estimator with which the audit begins."""
        if self.lmax is None and not judged:
            fail(ArgumentError, "lmax", "an integer where no output is declared, whose errors could be found", None)
        if isinstance(self.estimator, Measure):
            return self.estimator
        return ESTIMATORS[self.estimator].of(self.question(judged=judged))


def _check_numbers(asked: Settings) -> None:
    for name, value in vars(asked).items():
        if getattr(value, "ndim", 0):
            fail(DTypeError, name, "one value", f"an array of shape {tuple(value.shape)}")
    lmax, degree = asked.lmax, asked.degree
    if lmax is not None and not (_is_integer(lmax) and lmax >= 0):
        fail(ArgumentError, "lmax", "a non-negative integer, or None for errors alone", repr(lmax))
    lmax = asked.resolved
    if 2 * lmax > MAXIMUM_DEGREE:
        fail(ArgumentError, "lmax", f"at most {MAXIMUM_DEGREE // 2}, half the degree of the finest grid", lmax)
    if degree not in (None, "auto"):
        if not _is_integer(degree):
            fail(ArgumentError, "degree", 'an integer from 0 to 131 or "auto"', repr(degree))
        if checked_degree(degree) < 2 * lmax:
            fail(ArgumentError, "degree", f"at least 2 lmax = {2 * lmax}, below which sectors mix", degree)
    if not (isinstance(asked.tolerance, Real) and 0 < asked.tolerance < 1):
        fail(ArgumentError, "tolerance", "a number between 0 and 1", repr(asked.tolerance))
    if asked.shift not in (None, "system"):
        fail(ArgumentError, "shift", 'None or "system"', repr(asked.shift))
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
    stated = asked.precision_of_model
    if stated is not None and not (isinstance(stated, torch.dtype) and stated.is_floating_point):
        fail(DTypeError, "precision_of_model", "None or a floating-point torch.dtype", repr(stated))
    if asked.out is not None and not (isinstance(asked.out, str | PathLike) and str(asked.out)):
        fail(ArgumentError, "out", "the path of a directory", repr(asked.out))
    check_formats(asked.formats)
    if asked.progress not in (None, True, False):
        fail(ArgumentError, "progress", "True, False or None", repr(asked.progress))
    if asked.resume not in (True, False) or (asked.resume and asked.out is None):
        expected = "True or False, and True with the directory `out` of a run that was stopped"
        fail(ArgumentError, "resume", expected, f"{asked.resume!r} with out={asked.out!r}")
    if asked.distributed not in (None, False):
        fail(ArgumentError, "distributed", "None, or False for this process alone", repr(asked.distributed))
    if asked.rotations is not None and not _is_integer(asked.rotations):
        fail(ArgumentError, "rotations", "an integer", repr(asked.rotations))


def _check_scales(asked: Settings) -> None:
    """Refuse units that are no text, and reference errors that are no positive numbers."""
    scales: tuple[tuple[str, Any, str], ...] = (
        ("units", asked.units, "a unit, as text"),
        ("reference_rmse", asked.reference_rmse, "a positive number"),
    )
    for argument, given, expected in scales:
        if given is not None and not isinstance(given, Mapping):
            fail(DTypeError, argument, f"a dict from output name to {expected}", type(given).__name__)
        for name, value in (given or {}).items():
            numeric = isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < math.inf
            if not (numeric if argument == "reference_rmse" else isinstance(value, str) and value):
                fail(ArgumentError, f"{argument}[{name!r}]", expected, repr(value))


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
