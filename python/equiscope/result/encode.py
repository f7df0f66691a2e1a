"""The data classes as JSON values and named tensors, and back."""

from __future__ import annotations

import dataclasses
import math
from typing import Any
from urllib.parse import quote

import torch

from ..errors import ArgumentError, fail
from .data import Audit, Failure, Output, Part, Spectrum, SystemRow, Worst

_JSON = ("warnings", "convergence", "settings", "environment", "timings")
"""Fields of `Audit` that hold plain values, not data classes."""

SAMPLED = {"standard_error"}
"""Fields that are written only where rotations were drawn at random."""

_NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encode_audit(audit: Audit) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """JSON values of everything but the tensors, and the tensors under names like ``layers:encoder.2:power``.

    JSON has no NaN and no infinity: they are null in their place, and ``nonfinite`` lists each with its path.
    What is no JSON value in the settings, environment, timings and convergence is written as text: no audit
    is lost for it.
    """
    tensors: dict[str, torch.Tensor] = {}
    nonfinite: list[list[Any]] = []
    body = {}
    for field in dataclasses.fields(audit):
        value = getattr(audit, field.name)
        if field.name in _JSON:
            value = _as_json(value)
        body[field.name] = _encode(value, [field.name], tensors, nonfinite)
    return {**body, "nonfinite": nonfinite}, tensors


def decode_audit(body: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Audit:
    """The inverse of `encode_audit`; any of the usual errors where `body` is not what it made."""
    for *path, key, value in body["nonfinite"]:
        place = body
        for step in path:
            place = place[step]
        if place[key] is not None:
            raise ValueError(f"a finite number at {[*path, key]}")
        place[key] = _NONFINITE[value]
    return Audit(
        outputs={name: _output(value, tensors) for name, value in _pairs(body["outputs"])},
        layers={name: _layer(value, tensors) for name, value in _pairs(body["layers"])},
        systems=[SystemRow(**_fields(SystemRow, value, tensors)) for value in body["systems"]],
        failures=[Failure(**_fields(Failure, value, tensors)) for value in body["failures"]],
        **{key: _typed(body, key) for key in _JSON},
    )


def _typed(body: dict[str, Any], key: str) -> Any:
    wanted = list if key in ("warnings", "convergence") else dict
    if not isinstance(body[key], wanted):
        raise TypeError(f"{key!r}")
    return body[key]


def _as_json(value: Any) -> Any:
    """`value` with its tensors and arrays as lists and everything that JSON does not know as text."""
    if isinstance(value, dict):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_json(inner) for inner in value]
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    return _as_json(value.tolist()) if hasattr(value, "tolist") else str(value)


def _encode(value: Any, path: list[Any], tensors: dict[str, torch.Tensor], nonfinite: list[list[Any]]) -> Any:
    """One value as JSON; `path` is where it goes, for the lists of tensors and of non-finite numbers."""
    if isinstance(value, torch.Tensor):
        name = ":".join(quote(str(step), safe="") for step in path)
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = _present(value)
        if "parts" in value:
            value["parts"] = [
                {
                    "lambda": lam,
                    "sigma": sigma,
                    **_present(part),
                }
                for (lam, sigma), part in value["parts"].items()
            ]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                fail(ArgumentError, ".".join(map(str, path)), "keys that are strings", repr(key))
        return {key: _encode(inner, [*path, key], tensors, nonfinite) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(inner, [*path, i], tensors, nonfinite) for i, inner in enumerate(value)]
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        nonfinite.append([*path, str(float(value))])
        return None
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return _encode(value.item(), path, tensors, nonfinite)
    fail(ArgumentError, ".".join(map(str, path)), "a JSON value or a tensor", type(value).__name__)


def _present(value: Any) -> dict[str, Any]:
    """The fields of a data class, without those of random rotations where there were none."""
    found = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: inner for name, inner in found.items() if inner is not None or name not in SAMPLED}


def _pairs(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise TypeError("a table of results")
    return list(value.items())


def _fields(kind: type, value: dict[str, Any], tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The arguments of `kind`, with the tensors in their places; exactly its fields, no more and no less."""
    known = {field.name for field in dataclasses.fields(kind)}
    if set(value) - SAMPLED != known - SAMPLED:
        raise KeyError(", ".join(sorted(set(value) ^ known)))
    return {key: _tensor(inner, tensors) for key, inner in value.items()}


def _tensor(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, dict) and set(value) == {"tensor"}:
        return tensors[value["tensor"]]
    return value


def _layer(value: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Spectrum:
    """A layer with a representation of its own is an `Output`."""
    return _output(value, tensors) if "representation" in value else Spectrum(**_fields(Spectrum, value, tensors))


def _output(value: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Output:
    fields = _fields(Output, value, tensors)
    worst = fields["worst"]
    fields["worst"] = None if worst is None else Worst(**_fields(Worst, worst, tensors))
    fields["parts"] = {
        (int(part.pop("lambda")), int(part.pop("sigma"))): Part(**_fields(Part, part, tensors))
        for part in map(dict, fields["parts"])
    }
    return Output(**fields)
