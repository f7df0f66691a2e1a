"""The spectra and scalars of an audit as pandas and xarray tables (extra ``frames``)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingExtraError, fail
from ..groups.group import Chart
from ..result.data import AuditData, Output, Spectrum, widest
from ..result.encode import encode_audit
from .rows import SCALARS, entries, kind_of, rows, scalar

if TYPE_CHECKING:
    import pandas
    import xarray


def to_pandas(audit: AuditData, table: str = "layers") -> pandas.DataFrame:
    """One of the tables of `equiscope.report.rows`. Raises `MissingExtraError` without pandas."""
    module = _need("pandas")
    columns, found = rows(audit, table)
    return module.DataFrame(found, columns=columns)


def to_xarray(audit: AuditData) -> xarray.Dataset:
    """Dataset with dimensions ``layer`` (layers in order of execution, then outputs) and those of the irreps, for
    O(3) ``l`` and ``sigma``.

    Variables ``power``, ``power_error``, ``share`` (layer, l, sigma), ``total``,
    ``unresolved``, ``unresolved_error``, ``noise``, ``noise_floor``, ``rmse``, ``rmse_error``, ``relative``,
    ``rmse_rotations``, ``inversion``, ``symmetrised``, ``spread``, ``reference_rmse`` (layer; NaN where a layer has
    none); coordinates ``kind``, ``verdict`` and ``unit`` along ``layer``. Degrees that a spectrum does not reach are
    NaN. Attributes: settings, environment and timings as JSON text. Raises `MissingExtraError` without xarray.
    """
    module = _need("xarray")
    found = [*audit.layers.items(), *audit.listed.items()]
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
            "kind": ("layer", [kind_of(audit, name, spectrum) for name, spectrum in found]),
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
        for step, (axis, entry) in zip(chart.place(label), entries(chart, label).items(), strict=True):
            found[axis][step] = entry if isinstance(entry, int | str) else str(entry)
    return {axis: [steps[i] for i in sorted(steps)] for axis, steps in found.items()}


def _scalars(found: list[Spectrum]) -> dict[str, tuple[tuple[str], np.ndarray]]:
    values = {
        "total": [spectrum.pooled_total for spectrum in found],
        "unresolved": [spectrum.pooled_unresolved for spectrum in found],
        "unresolved_error": [spectrum.unresolved_error for spectrum in found],
        "noise": [spectrum.noise for spectrum in found],
        "noise_floor": [spectrum.noise_floor for spectrum in found],
        **{key: [scalar(spectrum, key) for spectrum in found] for key in SCALARS},
    }
    return {key: (("layer",), np.array(each, dtype=np.float64)) for key, each in values.items()}


def _need(name: str) -> Any:
    """The optional module called `name`."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        fail(MissingExtraError, name, f"an installed package (pip install {name})", "none")
