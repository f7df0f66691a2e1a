"""One assertion for test suites: a model is equivariant, or the message says where it is not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from .audit import audit
from .errors import ArgumentError, fail
from .result.data import Output


def assert_equivariant(
    model: Any,
    data: Any,
    *,
    outputs: Mapping[str, Any] | str,
    inputs: Mapping[str, Any] | str | None = None,
    layers: Any = None,
    tol: float = 1e-4,
    lmax: int = 2,
    degree: int = 6,
    **settings: Any,
) -> None:
    """Raise AssertionError where an output breaks its declared representation by more than `tol`, relative to its size.

    The message names every output that fails, its worst system, the target irreps that leak, and the first layer, in
    order of execution, whose own representation is broken (for layers that declare one; e3nn modules do). All other
    arguments are those of `equiscope.audit`. A grid of low degree is enough to see that an error is there; ask
    `audit` for its exact size.
    """
    if isinstance(tol, bool) or not isinstance(tol, Real) or not 0 <= tol < math.inf:
        fail(ArgumentError, "tol", "a number from 0 on", repr(tol))
    report = audit(
        model, data, inputs=inputs, outputs=outputs, layers=layers, lmax=lmax, degree=degree, progress=False, **settings
    )
    broken = [output for output in report.outputs.values() if output.relative > tol]
    if not broken and not report.failures:
        return
    lines = [f"{f.system}: {f.where}: {f.reason}" for f in report.failures]
    for output in broken:
        size = output.rmse / output.relative
        leaks = ", ".join(
            f"{output.chart.name(label)} {part.rmse / size:.2g}"
            for label, part in output.parts.items()
            if part.rmse > tol * size
        )
        where = f"; worst: system {output.worst.system!r}" if output.worst is not None else ""
        lines.append(f"{output.name} is {output.representation} only to {output.relative:.2g} ({leaks}){where}")
    first = next((x for x in report.layers.values() if isinstance(x, Output) and x.relative > tol), None)
    if first is not None:
        lines.append(f"first layer that leaks: {first.name}, relative error {first.relative:.2g}")
    raise AssertionError(f"not equivariant to {tol:g}:\n  " + "\n  ".join(lines))
