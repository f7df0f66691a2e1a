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

__all__ = [
    "ELEMENTS", "INPUTS", "LAYERS", "REPRESENTATIONS", "ROTATION_RMSE", "UNITS", "VALIDATION_RMSE",
    "PointCloudTransformer", "load_model", "load_molecules", "load_references", "names",
]  # fmt: skip


def load_model() -> PointCloudTransformer:
    """The trained model in evaluation mode, float32, on the CPU. Every call returns a fresh copy."""
    from safetensors.torch import load_file

    model = PointCloudTransformer()
    with as_file(files(__name__) / "weights.safetensors") as path:
        model.load_state_dict(load_file(path))
    return model.eval()


def names() -> list[str]:
    """Names of the shipped molecules, in the order of `load_molecules`."""
    return [str(name) for name in _molecules()["name"]]


def load_molecules() -> list[dict[str, Tensor]]:
    """Inputs of the model for each shipped molecule, without a batch axis.

    ``positions`` is (n, 3) float32 in angstrom, relative to the centre of mass; ``species`` is (n,) int64,
    the atomic numbers. The geometries are those tabulated for the G2 set; the model was not trained on
    them.
    """
    data = _molecules()
    pieces = [slice(*bounds) for bounds in zip(data["offsets"][:-1], data["offsets"][1:], strict=True)]
    return [
        {"positions": torch.tensor(data["positions"][rows]), "species": torch.tensor(data["species"][rows])}
        for rows in pieces
    ]


def load_references() -> list[dict[str, Tensor]]:
    """What the model was trained to predict, from GFN2-xTB, for each shipped molecule, in float64.

    ``energy`` () in eV, ``dipole`` (3,) in e bohr, ``quadrupole`` (3, 3) in e bohr^2, traceless, about the
    centre of mass.
    """
    data = _molecules()
    return [{key: torch.tensor(data[key][i]) for key in REPRESENTATIONS} for i in range(len(data["name"]))]


@cache
def _molecules() -> dict[str, np.ndarray]:
    with as_file(files(__name__) / "molecules.npz") as path, np.load(path, allow_pickle=False) as stored:
        return dict(stored)
