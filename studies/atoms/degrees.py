"""Stored models on finer grids: which shares of power converge, and where sigma = -1 arises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..runs import Place
from .audits import EVERYWHERE, audited, chosen, kept
from .learning import TASKS, stored_model
from .train import new_model

KEPT = ("shares", "share_errors", "above")
"""Of each layer."""


def refine(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Audits of the model of another run of the same seed, at every layer, on one molecule.

    "of" is that run, "degrees" are those of the grids, "molecule" is the name of a held-out one; "trained" False takes
    the untrained model.
    """
    torch.set_num_threads(1)
    name, store = configuration["of"], place.store
    if not store.has(name, place.seed):
        raise FileNotFoundError(f"{place.name}: expected the run {name}, seed {place.seed}, to be done before")
    base = store.load(name, place.seed)["configuration"]
    task = TASKS[base["task"]](place.data)
    if configuration["trained"]:
        model = stored_model(task, base, store.load_tensors(name, place.seed))
    else:
        torch.manual_seed(place.seed)
        model = new_model(task, base).eval()
    molecules = chosen(task, [configuration["molecule"]])
    found = {}
    for degree in configuration["degrees"]:
        audit = kept(audited(model, task, molecules, layers=EVERYWHERE, degree=degree))
        layers = {name: {key: layer[key] for key in KEPT} for name, layer in audit["layers"].items()}
        outputs = {name: {key: output[key] for key in ("A", "A_error")} for name, output in audit["outputs"].items()}
        found[degree] = {"layers": layers, "outputs": outputs}
    return {"degrees": found}
