"""An audit in one line, and as JSON values for other programs."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Any

from ..result.data import AuditData, Output
from ..result.judge import Verdict
from ..result.limits import Check
from ..result.verdict import untested, untouched, worst_row
from .failures import failed_systems, lacking
from .format import percent, several, with_error
from .statements import messages

SUMMARY = 1
"""Version of the layout of the JSON summary; raised by every change that an older reader would misread."""

NAMED = 4
"""Outputs that the last line names one by one; of more, the number and the worst."""


def verdict_line(audit: AuditData, checks: Sequence[Check] = ()) -> str:
    """PASS or FAIL and what decided it; without limits how the outputs stand."""
    if not checks:
        return f"verdict: {_standing(audit)}"
    failed = [check for check in checks if not check.passed]
    lacks = _incomplete(audit, {check.output for check in checks})
    if failed or lacks:
        return "FAIL: " + "; ".join([*map(_said, failed), *lacks])
    shown = sorted(checks, key=_nearness, reverse=True)[:NAMED]
    more = f"; {len(checks) - len(shown)} more" if len(checks) > len(shown) else ""
    return "PASS: " + "; ".join(map(_said, shown)) + more


def passes(audit: AuditData, checks: Sequence[Check]) -> bool:
    """Whether every limit is kept, by an audit of all systems."""
    return all(check.passed for check in checks) and not (checks and _incomplete(audit))


def summary(audit: AuditData, checks: Sequence[Check] = ()) -> dict[str, Any]:
    """JSON values: what was audited, every output and declared layer with its error, the limits. Numbers that are not
    finite are null."""
    get = audit.settings.get
    return {
        "summary": SUMMARY,
        "model": get("model"),
        "data": get("data"),
        "group": get("group"),
        "lmax": get("lmax"),
        "degree": get("degree"),
        "rotations": get("rotations"),
        "systems": len(audit.systems),
        "stopped_after": get("stopped_after"),
        "failures": [
            {"system": f.system, "where": f.where, "reason": f.reason, "whole": f.whole} for f in audit.failures
        ],
        "warnings": list(audit.warnings),
        "messages": [{"severity": said.severity.value, "text": str(said)} for said in messages(audit)],
        "outputs": {name: _numbers(audit, output) for name, output in audit.listed.items()},
        "unmeasured": dict(audit.unmeasured),
        "layers": {name: _numbers(audit, layer) for name, layer in audit.declared_layers.items()},
        "limits": [
            {
                "output": check.output,
                "limit": check.limit.value,
                "relative": check.limit.relative,
                "value": _finite(check.value),
                "error": _finite(check.error),
                "passed": check.passed,
                "reason": check.reason,
            }
            for check in checks
        ],
        "passed": passes(audit, checks) if checks else None,
        "verdict": verdict_line(audit, checks),
    }


def _numbers(audit: AuditData, output: Output) -> dict[str, Any]:
    worst = worst_row(audit, output.name)
    total = output.pooled_total
    return {
        "representation": output.representation,
        "verdict": output.verdict.value,
        "depends": output.depends,
        "rmse": _finite(output.rmse),
        "rmse_error": _finite(output.rmse_error),
        "relative": _finite(output.relative),
        "unit": output.unit,
        "noise_floor": _finite(output.noise_floor),
        "unresolved": _finite(output.pooled_unresolved / total) if total > 0 else None,
        "worst_system": worst.name if worst else None,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _incomplete(audit: AuditData, told_of: Container[str] = ()) -> list[str]:
    """Why the audit is none of all systems, in all of its numbers; outputs that it lacks, but for those that are
    `told_of` elsewhere."""
    failed = len(failed_systems(audit))
    told = [f"{failed} system{'s' if failed != 1 else ''} failed"] if failed else []
    told += [f"{name} not measured ({why})" for name, why in audit.unmeasured.items() if name not in told_of]
    told += [f"{name} not finite on {n} system{'s' if n != 1 else ''}" for name, n in lacking(audit).items()]
    return [*told, *([f"stopped after {stopped}"] if (stopped := audit.settings.get("stopped_after")) else [])]


def _nearness(check: Check) -> float:
    return check.value / check.limit.value if check.limit.value else math.inf


def _said(check: Check) -> str:
    scale, unit = (100.0, "%") if check.limit.relative else (1.0, f" {check.unit}" if check.unit else "")
    written = f"{with_error(scale * check.value, scale * check.error)}{unit}"
    if not math.isfinite(check.value):
        return f"{check.output} {check.reason}"
    reason = f", {check.reason}" if check.reason else ""
    return f"{check.output} {written} (limit {scale * check.limit.value:g}{unit}{reason})"


def _standing(audit: AuditData) -> str:
    outputs = list(audit.listed.values())
    if not outputs:
        return f"{len(audit.layers)} layers, no declared output"
    broken = sorted((o for o in outputs if o.verdict.is_broken), key=lambda o: o.relative, reverse=True)
    if len(outputs) <= NAMED:
        told = "; ".join(f"{o.name} {_word(o)}" for o in outputs if o.name not in audit.unmeasured)
    elif broken:
        told = (
            f"{len(broken)} of {len(outputs)} outputs break their symmetry, most {broken[0].name}: {_word(broken[0])}"
        )
    else:
        told = f"none of {len(outputs)} outputs is seen to break its symmetry"
    empty = [o.name for o in outputs if untested(o)] if len(outputs) > NAMED else []
    silent = [f"{len(empty)} could show no error ({several(empty)})"] if empty else []
    return "; ".join([*filter(None, [told]), *silent, *_incomplete(audit)])


def _word(output: Output) -> str:
    state = output.verdict
    if untouched(output):
        return f"{state.value}, but depends on nothing that is turned"
    if state is Verdict.WRONG:
        return f"does not transform as declared ({percent(output.relative)})"
    return f"breaks by {percent(output.relative)}" if state is Verdict.BROKEN else state.value
