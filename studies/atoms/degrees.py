"""Stored models on finer grids: which shares of power converge, and where sigma = -1 arises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runs import Place
from .audits import EVERYWHERE, audited, chosen, kept
from .learning import another

KEPT = ("shares", "share_errors", "above")
"""Of each layer."""


def refine(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Audits of the model of another run of the same seed, at every layer, on one molecule.

    "of" is that run, "degrees" are those of the grids, "molecule" is the name of a held-out one; "trained" False takes
    the untrained model.
    """
    _, task, model = another(configuration, place)
    molecules = chosen(task, [configuration["molecule"]])
    found = {}
    for degree in configuration["degrees"]:
        audit = kept(audited(model, task, molecules, layers=EVERYWHERE, degree=degree))
        layers = {name: {key: layer[key] for key in KEPT} for name, layer in audit["layers"].items()}
        outputs = {name: {key: output[key] for key in ("A", "A_error")} for name, output in audit["outputs"].items()}
        found[degree] = {"layers": layers, "outputs": outputs}
    return {"degrees": found}
