"""The spectra and scalars of an audit as pandas and xarray tables (extra ``frames``)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingExtraError, fail
from ..groups.group import Chart, Label
from ..result.data import AuditData, Output, Spectrum, widest
from ..result.encode import encode_audit
from ..result.floor import sector_floor

if TYPE_CHECKING:
    import pandas
    import xarray


def to_pandas(audit: AuditData) -> pandas.DataFrame:
    """Long table of the spectra: one row per layer or output and irrep; layers in order of execution, then outputs.

    Columns: ``name``, ``kind`` ("layer" or "output"), the label of the irrep (for O(3) ``l`` and ``sigma``),
    ``irrep`` (its symbol, for O(3) e3nn's name), ``power`` (unit of the quantity squared), ``share`` (of the total
    power), ``power_error`` (the true power lies within it in 95 of 100 cases), ``floor`` (power up to which it cannot
    be told from none). Raises `MissingExtraError` without pandas.
    """
    module = _need("pandas")
    rows = []
    for name, spectrum in audit.results():
        chart, power, share = spectrum.chart, spectrum.pooled_power, spectrum.fractions
        floor, error = sector_floor(spectrum), spectrum.power_error
        for label, symbol in zip(chart.labels, chart.symbols, strict=True):
            place = chart.place(label)
            values = {"power": float(power[place]), "power_error": float(error[place])}
            values |= {"share": float(share[place]), "floor": float(floor[place])}
            kind = _kind(audit, name, spectrum)
            rows.append({"name": name, "kind": kind, **_entries(chart, label), "irrep": symbol, **values})
    axes = widest(spectrum for _, spectrum in audit.results()).axes
    columns = dict.fromkeys(("name", "kind", *axes, "irrep", "power", "power_error", "share", "floor"))
    return module.DataFrame(rows, columns=list(columns))


def _kind(audit: AuditData, name: str, spectrum: Spectrum) -> str:
    return "output" if audit.outputs.get(name) is spectrum else "layer"


def _entries(chart: Chart, label: Label) -> dict[str, Any]:
    """What a label says about each axis of an array of power: ``{"l": 1, "sigma": -1}``."""
    entries = label if isinstance(label, tuple) and len(chart.axes) > 1 else (label,)
    return dict(zip(chart.axes, entries, strict=True))


def systems_to_pandas(audit: AuditData) -> pandas.DataFrame:
    """Long table of the systems: one row per system and output or layer, a column per scalar, NaN where it
    has none.

    Columns: ``system``, ``rows``, ``name``, ``kind``, then those of `SystemRow`. Raises `MissingExtraError`
    without pandas.
    """
    module = _need("pandas")
    rows = [
        {"system": row.name, "rows": row.rows, "name": name, "kind": kind, **values}
        for row in audit.systems
        for kind, table in (("output", row.outputs), ("layer", row.layers))
        for name, values in table.items()
    ]
    return module.DataFrame(rows) if rows else module.DataFrame(columns=["system", "rows", "name", "kind"])


def to_xarray(audit: AuditData) -> xarray.Dataset:
    """Dataset with dimensions ``layer`` (layers in order of execution, then outputs) and those of the irreps, for
    O(3) ``l`` and ``sigma``.

    Variables ``power``, ``power_error``, ``share`` (layer, l, sigma), ``total``,
    ``unresolved``, ``unresolved_error``, ``noise``, ``noise_floor``, ``rmse``, ``rmse_error``, ``relative``,
    ``rmse_rotations``, ``inversion``, ``symmetrised``, ``spread`` (layer; NaN where a layer has none); coordinates
    ``kind``, ``verdict`` and ``unit`` along ``layer``. Degrees that a spectrum does not reach are NaN. Attributes:
    settings, environment and timings as JSON text. Raises `MissingExtraError` without xarray.
    """
    module = _need("xarray")
    found = audit.results()
    chart = widest(spectrum for _, spectrum in found)
    coordinates = _coordinates(chart)
    if not found:
        coordinates[chart.axes[0]] = []
    shape = tuple(map(len, coordinates.values()))
    power, share, error = (np.full((len(found), *shape), np.nan) for _ in range(3))
    for i, (_, spectrum) in enumerate(found):
        own, own_power, own_share = spectrum.chart, spectrum.pooled_power, spectrum.fractions
        own_error = spectrum.power_error
        for label in own.labels:
            power[(i, *chart.place(label))] = own_power[own.place(label)]
            share[(i, *chart.place(label))] = own_share[own.place(label)]
            error[(i, *chart.place(label))] = own_error[own.place(label)]
    body, _ = encode_audit(audit)
    dataset: xarray.Dataset = module.Dataset(
        {
            "power": (("layer", *chart.axes), power),
            "share": (("layer", *chart.axes), share),
            "power_error": (("layer", *chart.axes), error),
            **_scalars([spectrum for _, spectrum in found]),
        },
        coords={
            "layer": [name for name, _ in found],
            "kind": ("layer", [_kind(audit, name, spectrum) for name, spectrum in found]),
            "verdict": ("layer", [str(s.verdict) if isinstance(s, Output) else "" for _, s in found]),
            "unit": ("layer", [s.unit or "" if isinstance(s, Output) else "" for _, s in found]),
            **coordinates,
        },
        attrs={key: json.dumps(body[key]) for key in ("settings", "environment", "timings")},
    )
    return dataset


def _coordinates(chart: Chart) -> dict[str, list[Any]]:
    """Along each axis of an array of power, what its steps are called."""
    found: dict[str, dict[int, Any]] = {axis: {} for axis in chart.axes}
    for label in chart.labels:
        for step, (axis, entry) in zip(chart.place(label), _entries(chart, label).items(), strict=True):
            found[axis][step] = entry if isinstance(entry, int | str) else str(entry)
    return {axis: [steps[i] for i in sorted(steps)] for axis, steps in found.items()}


def _scalars(found: list[Spectrum]) -> dict[str, tuple[tuple[str], np.ndarray]]:
    values = {
        "total": [spectrum.pooled_total for spectrum in found],
        "unresolved": [spectrum.pooled_unresolved for spectrum in found],
        "unresolved_error": [spectrum.unresolved_error for spectrum in found],
        "noise": [spectrum.noise for spectrum in found],
        "noise_floor": [spectrum.noise_floor for spectrum in found],
        "rmse_error": [spectrum.rmse_error if isinstance(spectrum, Output) else np.nan for spectrum in found],
        **{
            key: [_scalar(spectrum, key) if isinstance(spectrum, Output) else np.nan for spectrum in found]
            for key in ("rmse", "relative", "rmse_rotations", "inversion", "symmetrised", "spread")
        },
    }
    return {key: (("layer",), np.array(each, dtype=np.float64)) for key, each in values.items()}


def _scalar(output: Output, key: str) -> float:
    value = getattr(output, key)
    return np.nan if value is None else float(value)


def _need(name: str) -> Any:
    """The optional module called `name`."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        fail(MissingExtraError, name, "an installed package (pip install 'equiscope[frames]')", "none")
