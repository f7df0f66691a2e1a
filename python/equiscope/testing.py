"""One assertion for test suites: a model is equivariant, or the message says where it is not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from .audit import audit
from .errors import ArgumentError, DTypeError, fail
from .report.format import percent
from .report.words import irrep_list
from .result.carrier import carrier
from .result.data import AuditData, Output
from .result.judge import Parity, Verdict
from .result.limits import check_names
from .result.verdict import rotations_alone, untested

UNTESTED = (
    "the inputs may not reach it (a mask the wrong way round, a dead head), or one that ought to turn is declared "
    "invariant or not at all"
)
"""What is most likely wrong with an output that could not have shown an error."""


def assert_equivariant(
    model: Any,
    data: Any,
    *,
    outputs: Mapping[str, Any] | Sequence[str] | str | None = None,
    inputs: Mapping[str, Any] | str | None = None,
    layers: Any = None,
    tol: float = 1e-4,
    lmax: int = 2,
    degree: int = 6,
    constant: Sequence[str] | str = (),
    **settings: Any,
) -> None:
    """Raise AssertionError where an output breaks its declared representation by more than `tol`, relative to its size.

    What lies within the measured noise passes whatever its relative size: verdicts "exact", "vanishes", "stochastic"
    and "jumps" (`equiscope.Verdict`); a RuntimeWarning names outputs of the last two whose noise is larger than
    `tol`, as of a model with dropout that is left on, of which nothing was tested. An output that depends on nothing
    that is turned, as one that is 0 for every input, fails whatever its error, since it shows nothing: a model whose
    inputs never reach it looks exact. `constant` names the outputs that are meant to be so. So does one that depends
    on an input of unnamed kind which may hold directions and was not turned: declare it. Systems on which the model
    returned NaN or infinity fail too. The message names every output that fails, what proper rotations alone do to
    it, its worst system and the target irreps that leak. Of the layers audited it names the first, in order of
    execution, whose own representation is broken, and its irreps that leak (for layers that declare one; e3nn modules
    do); where there is none, the first that carries the irrep in which most of the error of an invariant output lies.
    All other arguments are those of `equiscope.audit`. `outputs` too may be left out where the model itself says what
    it returns, as calculators and metatomic models do; where it does not, `ArgumentError` says so. A grid of low
    degree is enough to see that an error is there; ask `audit` for its exact size.
    """
    if isinstance(tol, bool) or not isinstance(tol, Real) or not 0 <= tol < math.inf:
        fail(ArgumentError, "tol", "a number from 0 on", repr(tol))
    constant = _names(constant)
    if isinstance(outputs, Mapping):
        check_names("constant", constant, list(map(str, outputs)))
    report = audit(
        model, data, inputs=inputs, outputs=outputs, layers=layers, lmax=lmax, degree=degree, progress=False, **settings
    )
    if not report.listed:
        fail(ArgumentError, "outputs", "what the model returns, by name and representation", "none that it says itself")
    check_names("constant", constant, list(report.listed))
    lines = [f"{name} was not measured: {reason}" for name, reason in report.unmeasured.items()]
    lines += [f"{f.system}: {f.where}: {f.reason}" for f in report.failures if f.where not in report.unmeasured]
    hidden: list[str] = []
    for output in report.outputs.values():
        if output.verdict is Verdict.UNMEASURED:
            lines.append(f"{output.name} could not be measured: its error is {output.rmse}")
        elif output.doubt:
            lines.append(f"{output.name} {output.doubt}")
        elif (told := untested(output)) is not None:
            if output.name not in constant:
                lines.append(f"{output.name} {told}: {UNTESTED}; constant={output.name!r} says that this is meant")
        elif _fails(output, tol):
            lines.append(_message(output, tol))
        elif _hides(output, tol):
            hidden.append(_hidden(output))
    if hidden:
        warnings.warn(f"not tested to {tol:g}: {'; '.join(hidden)}", RuntimeWarning, stacklevel=2)
    if not lines:
        return
    raise AssertionError(f"not equivariant to {tol:g}:\n  " + "\n  ".join([*lines, *_origin(report, tol)]))


def _names(constant: Sequence[str] | str) -> list[str]:
    """Names of outputs as they were given, one or several."""
    names = [constant] if isinstance(constant, str) else constant
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        fail(DTypeError, "constant", "a name of an output, or several", repr(constant))
    return list(names)


def _origin(report: AuditData, tol: float) -> list[str]:
    """Where in the network the errors begin, as far as the layers that were audited show it."""
    broken = next((layer for layer in report.declared_layers.values() if _fails(layer, tol)), None)
    if broken is not None:
        return [f"first layer that leaks: {broken.name}, relative error {broken.relative:.2g}{_leaks(broken, tol)}"]
    found = []
    for output in report.outputs.values():
        if _fails(output, tol) and (first := carrier(report, output)):
            carried = irrep_list(output.chart, {first.irrep})
            text = f"first layer that carries {carried}, in which {percent(first.share)} of the squared error of "
            text += f"{output.name} lies: {first.layer}"
            found.append(text + (f"; first that is not invariant: {first.earlier}" if first.earlier else ""))
    return found


def _fails(output: Output, tol: float) -> bool:
    return output.verdict.is_broken and output.relative > tol


def _hides(output: Output, tol: float) -> bool:
    """Whether `output` passes for noise that is more than round-off, and larger than what it was to be tested to."""
    return output.verdict in (Verdict.STOCHASTIC, Verdict.JUMPS) and output.scatter > tol * output.size


def _hidden(output: Output) -> str:
    relative = f"{output.scatter / output.size:.2g} of its size" if output.size > 0 else f"{output.scatter:.2g}"
    return f"{output.name} {output.verdict.value}, which hides errors up to {relative}"


def _message(output: Output, tol: float) -> str:
    """What is wrong with an output that fails."""
    size = output.size
    text = f"{output.name} is {output.representation} only to {output.relative:.2g}{_leaks(output, tol)}"
    text += f", RMSE {output.rmse:.3g}{f' {output.unit}' if output.unit else ''}, noise floor {output.noise_floor:.2g}"
    found = rotations_alone(output)
    if found is Parity.BROKEN:
        text += f"; breaks under rotations by {(output.rmse_rotations or 0.0) / size:.2g} already"
    elif found is not None:
        text += f"; {found}"
    return text + (f"; worst: system {output.worst.system!r}" if output.worst is not None else "")


def _leaks(output: Output, tol: float) -> str:
    """The target irreps that break by more than `tol`, with their amounts."""
    size = output.size
    leaks = ", ".join(
        f"{output.chart.name(label)} {part.rmse / size:.2g}"
        for label, part in output.parts.items()
        if part.rmse > tol * size and label in output.chart
    )
    return f" ({leaks})" if leaks else ""
