"""What was audited, and how, in two or three lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..result.data import AuditData
from .format import count, seconds

CONTAINERS = ("list", "tuple", "generator", "dict")
"""Names of data that tell a reader nothing."""


def data_name(audit: AuditData) -> str:
    """What the data are called; nothing where that is only a container."""
    data = audit.settings.get("data")
    return str(data) if data and data not in CONTAINERS else ""


def headline(audit: AuditData) -> list[str]:
    """Model and data, facts of the measurement, time."""
    model, data = audit.settings.get("model") or "a model", data_name(audit)
    lines = [f"equiscope audit of {model}" + (f" on {data}" if data else ""), ", ".join(_facts(audit))]
    time = audit.timings
    if "total" in time:
        lines.append(
            seconds(time["total"])
            + (f", {seconds(time['model'])} in the model" if "model" in time else "")
            + (f", {count(time['evaluations'])} evaluations" if "evaluations" in time else "")
        )
    return lines


def _facts(audit: AuditData) -> list[str]:
    get = audit.settings.get
    systems = f"{count(len(audit.systems))} system{'s' if len(audit.systems) != 1 else ''}"
    facts = [f"stopped after {get('stopped_after')}" if get("stopped_after") else systems]
    facts += [f"group {get('group')}"] if get("group") not in (None, "O3") else []
    facts += [f"lmax {get('lmax')}"] if get("lmax") is not None else []
    rotations = get("rotations")
    if get("degree") is not None:
        facts.append(f"grid degree {get('degree')}" + (f" ({count(rotations)} rotations)" if rotations else ""))
        facts += _finer(get("degree"), get("degrees") or {})
    elif audit.sampled:
        facts.append(f"Monte Carlo, {count(rotations or 0)} random rotations each (seed {get('seed')})")
    elif rotations:
        facts.append(f"all {count(rotations)} elements")
    inner = get("computes_in")
    if get("dtype"):
        facts.append(str(get("dtype")) + (f" (computed in {inner})" if inner not in (None, get("dtype")) else ""))
    return facts + ([str(get("device"))] if get("device") else [])


def _finer(most: Any, degrees: Mapping[str, int]) -> list[str]:
    """How many systems ran on finer grids than most did."""
    finer = {int(degree): systems for degree, systems in degrees.items() if int(degree) > most}
    if not finer:
        return []
    ran = finer[min(finer)]
    return [f"{count(ran)} of them up to degree {max(finer)}"]
