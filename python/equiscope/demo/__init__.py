"""A trained model and molecules to audit: a transformer that learned O(3) symmetry from turned examples only.

>>> from equiscope import demo
>>> model, (water, *_) = demo.load_model(), demo.load_molecules()
>>> model(**{key: value[None] for key, value in water.items()})["dipole"].shape
torch.Size([1, 3])
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

import numpy as np
import torch
from torch import Tensor

from .model import ELEMENTS, PointCloudTransformer

INPUTS = {"positions": "vector", "species": "invariant"}
"""How the keyword arguments of the model transform."""

REPRESENTATIONS = {"energy": "scalar", "dipole": "vector", "quadrupole": "tensor"}
"""How the outputs of the model ought to transform."""

UNITS = {"energy": "eV", "dipole": "e bohr", "quadrupole": "e bohr^2"}
"""Of the outputs."""

LAYERS = ("embedding", "encoder.*", "pool")
"""Hidden modules worth an audit, in order of execution."""

VALIDATION_RMSE = {"energy": 0.301, "dipole": 0.0395, "quadrupole": 0.108}
"""Root mean square per component on held-out geometries in random orientations, in `UNITS`."""

ROTATION_RMSE = {"energy": 0.0210, "dipole": 0.0073, "quadrupole": 0.0320}
"""The part of `VALIDATION_RMSE` that comes from the orientation: the spread of predictions turned back."""

AUDITED = 8
"""Molecules that come first in the file: an audit needs no more."""

__all__ = [
    "ELEMENTS", "INPUTS", "LAYERS", "REPRESENTATIONS", "ROTATION_RMSE", "UNITS", "VALIDATION_RMSE",
    "PointCloudTransformer", "load_labelled", "load_model", "load_molecules", "load_references", "names",
]  # fmt: skip


def load_model() -> PointCloudTransformer:
    """The trained model in evaluation mode, float32, on the CPU. Every call returns a fresh copy."""
    from safetensors.torch import load_file

    model = PointCloudTransformer()
    with as_file(files(__name__) / "weights.safetensors") as path:
        model.load_state_dict(load_file(path))
    return model.eval()


def names() -> list[str]:
    """Names of the molecules to audit, in the order of `load_molecules`."""
    return [str(name) for name in _molecules()["name"][:AUDITED]]


def load_molecules() -> list[dict[str, Tensor]]:
    """Inputs of the model for each molecule to audit, without a batch axis.

    ``positions`` is (n, 3) float32 in angstrom, relative to the centre of mass; ``species`` is (n,) int64,
    the atomic numbers. The geometries are those tabulated for the G2 set; the model was not trained on
    them.
    """
    return [_inputs(i) for i in range(AUDITED)]


def load_references() -> list[dict[str, Tensor]]:
    """What the model was trained to predict, from GFN2-xTB, for each molecule to audit, in float64.

    ``energy`` () in eV, ``dipole`` (3,) in e bohr, ``quadrupole`` (3, 3) in e bohr^2, traceless, about the
    centre of mass.
    """
    return [_references(i) for i in range(AUDITED)]


def load_labelled() -> list[tuple[str, dict[str, Tensor]]]:
    """All 78 molecules of the G2 set that the model knows the elements of, by name: inputs and references in one dict.

    Data for `equiscope.diagnose`, ``targets={"dipole": "dipole"}``, which needs more molecules than an audit. Those of
    `load_molecules` come first. References are float32 here, as the model is.
    """
    return [
        (str(name), _inputs(i) | {key: value.float() for key, value in _references(i).items()})
        for i, name in enumerate(_molecules()["name"])
    ]


def _inputs(i: int) -> dict[str, Tensor]:
    data = _molecules()
    rows = slice(*data["offsets"][i : i + 2])
    return {"positions": torch.tensor(data["positions"][rows]), "species": torch.tensor(data["species"][rows])}


def _references(i: int) -> dict[str, Tensor]:
    return {key: torch.tensor(_molecules()[key][i]) for key in REPRESENTATIONS}


@cache
def _molecules() -> dict[str, np.ndarray]:
    with as_file(files(__name__) / "molecules.npz") as path, np.load(path, allow_pickle=False) as stored:
        return dict(stored)
