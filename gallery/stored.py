"""What is kept of an entry: a small JSON file with every number of its page, and how a fresh run is held against it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch

import equiscope as eq
from equiscope.result.floor import sector_floor

from .byhand import ByHand, measured
from .entry import HERE, Entry

RESULTS = HERE / "results"

DIGITS = 5
"""Of every stored number."""

NOISE = 4.0
"""Times the noise floor that an error which is called exact may have by hand, as a few elements scatter."""


def found(entry: Entry) -> dict[str, Any]:
    """JSON values of what an entry found. Raises `AssertionError` where elements by hand say something else."""
    audits = {name: _audit(audit, entry, name) for name, audit in entry.audits.items()}
    told = {"title": entry.title, "published": entry.published, "versions": entry.versions, "audits": audits}
    return json.loads(json.dumps(_short(told), allow_nan=False))


def load(name: str) -> dict[str, Any]:
    """The stored result of an entry."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def names() -> list[str]:
    """Of entries that have a result."""
    return sorted(path.stem for path in RESULTS.glob("*.json"))


def save(name: str, result: Mapping[str, Any]) -> None:
    """Write a result."""
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _audit(audit: eq.Audit, entry: Entry, name: str) -> dict[str, Any]:
    get = audit.settings.get
    kinds = {key: output.representation for key, output in audit.outputs.items()}
    group = str(get("group"))
    hand = measured(entry.by_hand[name], kinds, group, entry.basis)
    differ = list(disagreements(audit, hand))
    assert not differ, f"{entry.title}, {name}: " + "; ".join(differ)
    return {
        "group": group,
        "degree": get("degree"),
        "lmax": get("lmax"),
        "rotations": get("rotations"),
        "dtype": get("computes_in") or get("dtype"),
        "systems": [system.name.partition("@")[0] for system in audit.systems],
        "outputs": {key: _output(output, hand[key]) for key, output in audit.outputs.items()},
        "layers": {key: _layer(layer) for key, layer in audit.layers.items()} if name in entry.layers else {},
        "says": [str(finding) for finding in audit.findings()],
        "warns": list(audit.warnings),
    }


def disagreements(audit: eq.Audit, hand: Mapping[str, ByHand]) -> Iterator[str]:
    """Where elements by hand say something else."""
    for name, output in audit.outputs.items():
        noise, found = NOISE * _noise(output), hand[name]
        told = f"`{name}` is {output.verdict.value} with {output.rmse:.3g} +- {output.rmse_error:.2g}"
        if output.verdict.is_broken != (found.rmse > noise):
            yield f"{told}, by hand {found.rmse:.3g} of noise {_noise(output):.2g}"
        error = 2 * math.hypot(found.error, output.rmse_error) + noise
        if output.verdict.is_broken and abs(found.rmse - output.rmse) > error:
            yield f"{told}, by hand {found.rmse:.3g} +- {found.error:.2g}"
        alone = output.rmse_rotations
        if alone is not None and (alone > noise) != (found.rotations > noise):
            yield f"`{name}` has {alone:.3g} under rotations, by hand {found.rotations:.3g}"


def _noise(output: Any) -> float:
    """What was measured, and no less than the rounding of double precision, which few repeats may not show."""
    return max(output.scatter, output.size * float(torch.finfo(torch.float64).eps))


def _output(output: Any, hand: ByHand) -> dict[str, Any]:
    return {
        "representation": output.representation,
        "verdict": output.verdict.value,
        "unit": output.unit or "",
        "size": output.size,
        "rmse": output.rmse,
        "rmse_error": output.rmse_error,
        "relative": output.relative,
        "noise": _noise(output),
        "rotations": output.rmse_rotations,
        "inversion": output.inversion,
        "by_hand": hand.rmse,
        "by_hand_error": hand.error,
        "by_hand_rotations": hand.rotations,
    }


def _layer(layer: Any) -> dict[str, Any]:
    """Shares of the power of O(3), ``l: [sigma = 1, sigma = -1]``; 0 of what is no more than noise and its error."""
    total = layer.pooled_total or 1.0
    least = sector_floor(layer).maximum(layer.power_error) / total
    shares = torch.where(layer.fractions > least, layer.fractions, torch.zeros_like(least))
    above = layer.pooled_unresolved / total
    return {"shares": shares.tolist(), "above": above if above > layer.unresolved_error / total else 0.0}


def unequal(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> Iterator[str]:
    """Where two results of an entry differ by more than their errors and noise."""
    if stored["audits"].keys() != fresh["audits"].keys():
        yield f"audits {sorted(stored['audits'])} and {sorted(fresh['audits'])}"
        return
    for audit, told in stored["audits"].items():
        again = fresh["audits"][audit]
        if told["outputs"].keys() != again["outputs"].keys():
            yield f"{audit}: outputs {sorted(told['outputs'])} and {sorted(again['outputs'])}"
            continue
        for name, one in told["outputs"].items():
            other = again["outputs"][name]
            error = math.hypot(one["rmse_error"], other["rmse_error"]) + NOISE * max(one["noise"], other["noise"])
            if one["verdict"] != other["verdict"] or abs(one["rmse"] - other["rmse"]) > error:
                yield f"{audit}, {name}: {one['verdict']} {one['rmse']}, again {other['verdict']} {other['rmse']}"


def _short(value: Any) -> Any:
    """JSON values with `DIGITS` significant digits; null where there is no number."""
    if isinstance(value, Mapping):
        return {str(key): _short(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_short(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)
