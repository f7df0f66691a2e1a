"""The spectra and scalars of an audit as pandas and xarray tables (extra ``frames``)."""

from __future__ import annotations

import json
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingExtraError, fail
from ..result.data import Audit, Output
from ..result.encode import encode_audit
from ..result.floor import results, sector_floor
from .format import e3nn_name

if TYPE_CHECKING:
    import pandas
    import xarray

SIGMAS = (1, -1)


def to_pandas(audit: Audit) -> pandas.DataFrame:
    """Long table of the spectra: one row per layer or output, l and sigma; layers in order of execution, then
    outputs.

    Columns: ``name``, ``kind`` ("layer" or "output"), ``l``, ``sigma``, ``irrep`` (e3nn's name), ``power``
    (unit of the quantity squared), ``share`` (of the total power), ``floor`` (power up to which it is noise
    or aliasing). Raises `MissingExtraError` without pandas.
    """
    pandas = _need("pandas")
    columns = ("name", "kind", "l", "sigma", "irrep", "power", "share", "floor")
    rows = []
    for name, spectrum in results(audit):
        power, share, floor = spectrum.pooled_power, spectrum.fractions, sector_floor(spectrum)
        kind = "output" if audit.outputs.get(name) is spectrum else "layer"
        for lam in range(spectrum.lmax + 1):
            for i, sigma in enumerate(SIGMAS):
                rows.append(
                    (
                        name,
                        kind,
                        lam,
                        sigma,
                        e3nn_name(lam, sigma),
                        float(power[lam, i]),
                        float(share[lam, i]),
                        float(floor[lam]),
                    )
                )
    return pandas.DataFrame(rows, columns=list(columns))


def systems_to_pandas(audit: Audit) -> pandas.DataFrame:
    """Long table of the systems: one row per system and output or layer, a column per scalar, NaN where it
    has none.

    Columns: ``system``, ``rows``, ``name``, ``kind``, then those of `SystemRow`. Raises `MissingExtraError`
    without pandas.
    """
    pandas = _need("pandas")
    rows = [
        {"system": row.name, "rows": row.rows, "name": name, "kind": kind, **values}
        for row in audit.systems
        for kind, table in (("output", row.outputs), ("layer", row.layers))
        for name, values in table.items()
    ]
    return pandas.DataFrame(rows) if rows else pandas.DataFrame(columns=["system", "rows", "name", "kind"])


def to_xarray(audit: Audit) -> xarray.Dataset:
    """Dataset with dimensions ``layer`` (layers in order of execution, then outputs), ``l`` and ``sigma``.

    Variables ``power``, ``share`` (layer, l, sigma), ``aliasing`` (layer, l), ``total``, ``unresolved``,
    ``noise``, ``rmse``, ``relative``, ``noise_floor`` (layer; NaN where a layer has none); coordinate
    ``kind`` along ``layer``. Degrees that a spectrum does not reach are NaN. Attributes: settings,
    environment and timings as JSON text. Raises `MissingExtraError` without xarray.
    """
    xarray = _need("xarray")
    found = results(audit)
    lmax = max((spectrum.lmax for _, spectrum in found), default=-1)
    shape = (len(found), lmax + 1)
    power, share, aliasing = (
        np.full((*shape, 2), np.nan),
        np.full((*shape, 2), np.nan),
        np.full(shape, np.nan),
    )
    scalars = {
        key: np.full(len(found), np.nan) for key in ("total", "unresolved", "noise", "rmse", "relative", "noise_floor")
    }
    for i, (_, spectrum) in enumerate(found):
        size = spectrum.lmax + 1
        power[i, :size] = spectrum.pooled_power.numpy()
        share[i, :size] = spectrum.fractions.numpy()
        aliasing[i, :size] = spectrum.aliasing.numpy()
        scalars["total"][i], scalars["unresolved"][i] = spectrum.pooled_total, spectrum.pooled_unresolved
        scalars["noise"][i] = spectrum.noise
        for key in ("rmse", "relative", "noise_floor") if isinstance(spectrum, Output) else ():
            scalars[key][i] = getattr(spectrum, key)
    body, _ = encode_audit(audit)
    return xarray.Dataset(
        {
            "power": (("layer", "l", "sigma"), power),
            "share": (("layer", "l", "sigma"), share),
            "aliasing": (("layer", "l"), aliasing),
            **{key: (("layer",), values) for key, values in scalars.items()},
        },
        coords={
            "layer": [name for name, _ in found],
            "kind": (
                "layer",
                ["output" if audit.outputs.get(name) is spectrum else "layer" for name, spectrum in found],
            ),
            "l": np.arange(lmax + 1),
            "sigma": list(SIGMAS),
        },
        attrs={key: json.dumps(body[key]) for key in ("settings", "environment", "timings")},
    )


def _need(name: str) -> ModuleType | Any:
    """The optional module called `name`."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        fail(MissingExtraError, name, "an installed package (pip install 'equiscope[frames]')", "none")
