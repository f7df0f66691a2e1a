"""What can be read of the classes of points from their features, where, and what the model makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

import equiscope as eq

from ..runs import Place
from .examine import asked as arguments
from .model import Segmenter, shape
from .train import events_of

POINTS = ("spread", "head.local")
"""Labels belong to points, and only these layers have features of points; the others have tokens of groups."""


def diagnosed(asked: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The result as JSON values.

    `asked` has: ``of``, the run whose weights are examined, with its ``preset`` and ``changes``; ``held``, how many
    events there are, and ``read``, of how many of them; ``lmax``.
    """
    torch.manual_seed(place.seed)
    model = Segmenter(shape(asked["preset"], **asked["changes"])).eval()
    data = events_of("held", asked["held"], place)[: asked["read"]].systems()
    found = {"untrained": _diagnosis(model, data, asked["lmax"])}
    model.load_state_dict(place.store.load_tensors(asked["of"], place.seed))
    return {**found, "trained": _diagnosis(model, data, asked["lmax"])}


def _diagnosis(model: Segmenter, data: list[dict[str, torch.Tensor]], lmax: int) -> dict[str, Any]:
    settings = {**arguments(lmax, POINTS), "outputs": {"probabilities": "scalar"}, "progress": False}
    (sector,) = eq.diagnose(model, data, **settings).sectors
    layers = {
        layer.layer: {key: getattr(layer, key) for key in ("share", "linear", "symmetrised", "control", "planted")}
        for layer in sector.layers
    }
    given = {key: getattr(sector, key) for key in ("explained", "symmetrised", "broken")}
    return {"layers": layers, **given, "fate": sector.fate.value, "verdict": sector.verdict}
