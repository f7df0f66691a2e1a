"""The data classes as JSON values and named tensors, and back."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, TypeVar
from urllib.parse import quote

import torch

from ..errors import ArgumentError, fail
from ..groups.group import Chart, Label
from .data import AuditData, Failure, Output, Part, Spectrum, SystemRow, Worst
from .scene import Scene

_JSON = ("warnings", "convergence", "settings", "environment", "timings", "notes", "unmeasured")
"""Fields of `AuditData` that hold plain values, not data classes."""

_LATER: dict[str, Any] = {
    "notes": [], "scene": None, "depends": True, "jumps": False, "doubt": "", "whole": True, "unmeasured": {},
}  # fmt: skip
"""Fields that older files lack, and what stands for them."""

_NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

Kind = TypeVar("Kind", bound=AuditData)
Tensors = dict[str, torch.Tensor]


def encode_audit(audit: AuditData) -> tuple[dict[str, Any], Tensors]:
    """JSON values of everything but the tensors, and the tensors under names like ``layers:encoder.2:power``.

    JSON has no NaN and no infinity: they are null in their place, and ``nonfinite`` lists each with its path. Spectra
    name their chart by its place in ``charts``. What is no JSON value in the settings, environment, timings and
    convergence is written as text: no audit is lost for it.
    """
    encoder = _Encoder()
    body = {}
    for field in dataclasses.fields(audit):
        value = getattr(audit, field.name)
        body[field.name] = encoder.encode(_as_json(value) if field.name in _JSON else value, [field.name])
    charts = [encoder.encode(dataclasses.asdict(chart), ["charts"]) for chart in encoder.charts]
    return {"charts": charts, **body, "nonfinite": encoder.nonfinite}, encoder.tensors


class _Encoder:
    """What is met on the way through an audit: its tensors, its numbers that JSON lacks, and its charts."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.nonfinite: list[list[Any]] = []
        self.charts: dict[Chart, int] = {}

    def encode(self, value: Any, path: list[Any]) -> Any:
        """One value as JSON; `path` is where it goes, for the lists of tensors and of non-finite numbers."""
        if isinstance(value, torch.Tensor):
            name = ":".join(quote(str(step), safe="") for step in path)
            self.tensors[name] = value.detach().cpu().contiguous().clone()
            return {"tensor": name}
        if isinstance(value, Chart):
            return self.charts.setdefault(value, len(self.charts))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = _fields(value)
            if "parts" in value:
                value["parts"] = [{"label": label, **_fields(part)} for label, part in value["parts"].items()]
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    fail(ArgumentError, _written(path), "keys that are strings", repr(key))
            return {key: self.encode(inner, [*path, key]) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.encode(inner, [*path, i]) for i, inner in enumerate(value)]
        return self._scalar(value, path)

    def _scalar(self, value: Any, path: list[Any]) -> Any:
        if isinstance(value, bool | str) or value is None:
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            if math.isfinite(value):
                return float(value)
            self.nonfinite.append([*path, str(float(value))])
            return None
        if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
            return self._scalar(value.item(), path)
        fail(ArgumentError, _written(path), "a JSON value or a tensor", type(value).__name__)


def _written(path: list[Any]) -> str:
    return ".".join(map(str, path))


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _as_json(value: Any) -> Any:
    """`value` with its tensors and arrays as lists and everything that JSON does not know as text."""
    if isinstance(value, dict):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_json(inner) for inner in value]
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    return _as_json(value.tolist()) if hasattr(value, "tolist") else str(value)


def decode_audit(kind: type[Kind], body: dict[str, Any], tensors: Tensors) -> Kind:
    """The inverse of `encode_audit`, as a `kind`; any of the usual errors where `body` is not what it made."""
    for *path, key, value in body["nonfinite"]:
        place = body
        for step in path:
            place = place[step]
        if place[key] is not None:
            raise ValueError(f"a finite number at {[*path, key]}")
        place[key] = _NONFINITE[value]
    decoder = _Decoder(tensors, [_chart(value) for value in body["charts"]])
    return kind(
        outputs={name: decoder.output(value) for name, value in _pairs(body["outputs"])},
        layers={name: decoder.layer(value) for name, value in _pairs(body["layers"])},
        systems=[SystemRow(**decoder.fields(SystemRow, value)) for value in body["systems"]],
        failures=[decoder.failure(value) for value in body["failures"]],
        **{key: _typed(body, key) for key in _JSON},
    )


class _Decoder:
    """Puts tensors and charts back into their places."""

    def __init__(self, tensors: Tensors, charts: list[Chart]) -> None:
        self._tensors = tensors
        self._charts = charts

    def layer(self, value: dict[str, Any]) -> Spectrum:
        """A layer with a representation of its own is an `Output`."""
        return self.output(value) if "representation" in value else Spectrum(**self._spectrum(Spectrum, value))

    def output(self, value: dict[str, Any]) -> Output:
        later = {key: _LATER[key] for key in ("scene", "depends", "jumps", "doubt")}
        fields = self._spectrum(Output, {**later, **value})
        worst = fields["worst"]
        fields["worst"] = None if worst is None else Worst(**self.fields(Worst, worst))
        scene = fields["scene"]
        fields["scene"] = None if scene is None else Scene(**self.fields(Scene, scene))
        fields["parts"] = {
            _label(part.pop("label")): Part(**self.fields(Part, part)) for part in map(dict, fields["parts"])
        }
        return Output(**fields)

    def failure(self, value: dict[str, Any]) -> Failure:
        """A system that failed, whole or in part."""
        return Failure(**self.fields(Failure, {"whole": _LATER["whole"], **value}))

    def fields(self, kind: type, value: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `kind`, with the tensors in their places; exactly its fields, no more and no less."""
        known = {field.name for field in dataclasses.fields(kind)}
        if set(value) != known:
            raise KeyError(", ".join(sorted(set(value) ^ known)))
        return {key: self._tensor(inner) for key, inner in value.items()}

    def _spectrum(self, kind: type, value: dict[str, Any]) -> dict[str, Any]:
        fields = self.fields(kind, value)
        fields["chart"] = chart = self._charts[fields["chart"]]
        fields["quantities"] = self._quantities(fields["quantities"])
        if fields["power"].shape[: len(chart.shape)] != chart.shape:
            raise ValueError(f"power of shape {tuple(fields['power'].shape)} on a chart of shape {chart.shape}")
        if fields["power_error"].shape != chart.shape:
            shape = tuple(fields["power_error"].shape)
            raise ValueError(f"power_error of shape {shape} on a chart of shape {chart.shape}")
        return fields

    def _tensor(self, value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"tensor"}:
            return self._tensors[value["tensor"]]
        return value

    def _quantities(self, value: dict[str, Any]) -> dict[str, Tensors]:
        return {name: {key: self._tensor(inner) for key, inner in _pairs(own)} for name, own in _pairs(value)}


def _chart(value: dict[str, Any]) -> Chart:
    if set(value) != {field.name for field in dataclasses.fields(Chart)}:
        raise KeyError("a chart")
    fields: dict[str, Any] = {key: _label(inner) for key, inner in value.items()}
    chart = Chart(**fields)
    lengths = {len(each) for each in (chart.names, chart.symbols, chart.columns, chart.families, chart.labels)}
    if lengths != {math.prod(chart.shape)} or len(chart.axes) != len(chart.shape):
        raise ValueError("a chart with a name, a column and a place for each label")
    if set(chart.columns) != set(range(len(chart.headings))):
        raise ValueError("a chart with a heading for each column")
    if not set(chart.families) <= set(range(len(chart.family_names))):
        raise ValueError("a chart with a name for each family")
    return chart


def _label(value: Any) -> Label:
    """What JSON holds as a list is a tuple, so that it can be a key."""
    return tuple(map(_label, value)) if isinstance(value, list) else value


def _pairs(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise TypeError("a table of results")
    return list(value.items())


def _typed(body: dict[str, Any], key: str) -> Any:
    value = {**_LATER, **body}[key]
    if not isinstance(value, list if key in ("warnings", "convergence", "notes") else dict):
        raise TypeError(f"{key!r}")
    return value
