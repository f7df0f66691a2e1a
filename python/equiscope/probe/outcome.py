"""The numbers of a run as those of an audit, whoever evaluated its systems, and whether all of them ended or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..measure.measure import Found, Measure
from ..result.data import SystemRow
from ..result.verdict import spread
from .book import Notes
from .pooled import Pooled, most
from .refine import at_degree


@dataclass(frozen=True)
class Head:
    """What is known of a run before it begins: JSON values."""

    lmax: int
    outputs: Mapping[str, str]
    """Representations by output."""
    count: int | None
    """Systems, where it is known."""
    units: Mapping[str, str]
    reference_rmse: Mapping[str, float]
    settings: Mapping[str, Any]


def outcome(
    head: Head,
    measure: Measure,
    pooled: Pooled,
    rows: Sequence[SystemRow],
    notes: Sequence[Notes],
    convergence: list[dict[str, Any]],
) -> dict[str, Any]:
    """The fields of an `Audit`, but for its environment; `measure` is that with which the run began."""
    joined = Notes.joined(notes)
    found = pooled.results(joined.left.skipped)
    outputs, layers = found
    for name, output in outputs.items():
        output.unit = head.units.get(name)
        output.doubt = joined.doubts.get(name, "")
        measured = output.target.rmse if output.target is not None else None
        output.reference_rmse = head.reference_rmse.get(name, measured or None)
        output.spread = spread(rows, output)
    settled: dict[str, Any] = {}
    if measure.refines:
        degrees = {str(degree): pooled.ran[degree] for degree in sorted(pooled.ran, key=lambda degree: degree or 0)}
        settled = {"degrees": degrees, "unsettled": pooled.unsettled}
        measure = at_degree(measure, most(pooled.settled)) if pooled.settled else measure
        for entry in convergence:
            if entry["degree"] in pooled.ran:
                entry |= {"systems": pooled.ran[entry["degree"]], "settled": pooled.settled[entry["degree"]]}
    missing = pooled.unmeasured()
    # of what nobody asked for, and no system has, no number is missed
    unmissed = [name for name in head.settings.get("unasked", ()) if not pooled.is_given(name)]
    own, masking = joined.settings, joined.left.masking()
    settings = {
        **own.get("described", {}),
        "lmax": head.lmax,
        "lmax_asked": head.settings["lmax_asked"],
        "estimator": measure.name,
        **measure.settings(outputs),
        **settled,
        **({"masks_of_layers": masking} if masking else {}),
        "keep": head.settings["keep"],
        "batch_rows": own.get("batch_rows"),
        "batch_rows_asked": head.settings["batch_rows_asked"],
        "max_memory": head.settings["max_memory"],
        "computes_in": own.get("computes_in"),
        "dtype": next((r.dtype for r in (*outputs.values(), *layers.values())), None),
        "inputs": own.get("inputs", {}),
        "outputs": dict(head.outputs),
        "layers": list(layers),
        "hookable": head.settings["hookable"],
    }
    return {
        "outputs": outputs,
        "layers": layers,
        "systems": rows,
        "failures": pooled.failures,
        "warnings": _warnings(pooled, joined),
        "notes": [*joined.notes, *(f"`{name}` is {missing[name]}" for name in unmissed)],
        "convergence": convergence or [convergence_entry(measure, found, change=None)],
        "settings": settings,
        "timings": _timings(notes, joined),
        "unmeasured": {name: reason for name, reason in missing.items() if name not in unmissed},
    }


def _warnings(pooled: Pooled, joined: Notes) -> list[str]:
    random = ", ".join(f"`{name}`" for name in pooled.stochastic())
    return [
        *joined.warnings,
        *([f"{random}: {joined.unrepeatable}"] if random and joined.unrepeatable else []),
        *pooled.absent(),
        *joined.left.notes(joined.unheard),
    ]


def convergence_entry(measure: Measure, found: Found, **judged: float | None) -> dict[str, Any]:
    """For `AuditData.convergence`."""
    outputs, layers = found
    return {
        "degree": measure.degree,
        "rotations": len(measure),
        **judged,
        "variance": {name: output.rmse**2 for name, output in outputs.items()},
        "power": {name: r.pooled_power.tolist() for name, r in {**layers, **outputs}.items()},
    }


def _timings(notes: Sequence[Notes], joined: Notes) -> dict[str, float]:
    """Wall time is that of the first of several processes; what the model took is that in all of them."""
    return {
        "total": sum(part.seconds for part in notes if part.rank == 0),
        "model": joined.model_seconds,
        "rest": joined.seconds + joined.helpers_seconds - joined.model_seconds,
        "evaluations": joined.evaluations,
        "checks": joined.checks,
    }
