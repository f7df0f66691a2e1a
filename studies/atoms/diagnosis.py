"""Which sectors a trained PET fails to form, and where: `equiscope.diagnose` on the stored weights of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equiscope as eq

from ..runs import Place
from .audits import asked, chosen, systems
from .dataset import Task
from .learning import another
from .pet import PetOnTensors

NODES = [
    "backend.gnn_layers.*.trans.layers.*[0]",
    "backend.gnn_layers_post_mp_node.*",
    "backend.node_heads.*.*",
]
"""Tokens of atoms. Labels belong to atoms, so that tokens of edges cannot be read against them."""


def diagnose(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Of the model of another run of the same seed.

    "of" is that run; "trained" False takes its untrained model; "copies" is the number of displaced copies of each
    held-out molecule.
    """
    _, task, model = another(configuration, place)
    found = diagnosed(model, task, configuration["copies"])
    return {"sectors": [kept(sector) for sector in found.sectors], "settings": found.settings}


def diagnosed(model: PetOnTensors, task: Task, copies: int) -> eq.Diagnosis:
    """On all held-out molecules, of which no copies are parted."""
    molecules = chosen(task, sorted({each.name for each in task.parts["test"]}), copies)
    groups = [each.name for each in molecules]
    return eq.diagnose(model, systems(molecules), groups=groups, progress=False, **asked(task, NODES))


def kept(sector: Any) -> dict[str, Any]:
    """What is stored of a sector, as JSON values."""
    keys = ("output", "power", "samples", "explained", "symmetrised", "cosine", "gain", "predicted", "missed", "broken")
    layers = [
        {key: getattr(layer, key) for key in ("layer", "power", "share", "linear", "symmetrised", "control", "planted")}
        for layer in sector.layers
    ]
    return {
        **{key: getattr(sector, key) for key in keys},
        "label": list(sector.label),
        "fate": sector.fate.value,
        "verdict": sector.verdict,
        "layers": layers,
    }
