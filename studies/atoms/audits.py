"""Audits of a model in training and after it, and what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equiscope as eq

from ..shares import EachChannel
from .dataset import Molecule, Task
from .pet import PetOnTensors

LMAX = 4
DEGREE = 8
"""Of the grids: l = 4 picks up what l >= 5 has there; the errors that an audit states say how much."""

TOKENS = [
    "backend.gnn_layers.*.edge_embedder",
    "backend.gnn_layers.*.compress",
    "backend.gnn_layers.*.trans.layers.*",
    "backend.gnn_layers_post_mp_node.*",
    "backend.gnn_layers_post_mp_edge.*",
    "backend.node_heads.*.*",
    "backend.edge_heads.*.*",
]
"""Tokens of nodes and edges after the embedder, each attention block and each GNN layer, and the heads."""

EVERYWHERE = [
    *TOKENS,
    "backend.gnn_layers.*.trans.layers.*.*",
    "backend.gnn_layers.*.trans.layers.*.mlp.*",
    "backend.combination_mlps.*",
    "backend.node_heads.*.*.*",
    "backend.edge_heads.*.*.*",
    "backend.node_last_layers.*.*.*",
    "backend.edge_last_layers.*.*.*",
]
"""Also within the blocks: attention, norms, networks; and the last layers."""

WATCHED = ("HCOOH", "HCF3", "H2CCHCN")
"""Held-out molecules that are audited during training: all elements but S, 5 to 7 atoms."""


def chosen(task: Task, names: Sequence[str], copies: int = 1) -> list[Molecule]:
    """Displaced copies of these molecules of the test part, without the first of each, which is not displaced."""
    own = {name: [each for each in task.parts["test"] if each.name == name][1 : 1 + copies] for name in names}
    return [each for copied in own.values() for each in copied]


def systems(molecules: Sequence[Molecule]) -> list[dict[str, Any]]:
    """As an audit takes them, with labels."""
    return [
        {
            "positions": each.positions,
            "numbers": each.numbers,
            **{f"label_{name}": label for name, label in each.labels.items()},
        }
        for each in molecules
    ]


def asked(task: Task, layers: Sequence[str] | None = TOKENS, **settings: Any) -> dict[str, Any]:
    """Arguments of `equiscope.audit` that all audits of the study have in common."""
    return {
        "inputs": {"positions": "vector"},
        "outputs": task.outputs,
        "targets": {name: f"label_{name}" for name in task.outputs},
        "layers": layers,
        "basis": "standard",
        "batching": "concat",
        "lmax": LMAX,
        "degree": DEGREE,
        "batch_rows": 2048,
        **settings,
    }


def tracker(
    task: Task, steps: Sequence[int], out: Path, watched: Sequence[str], **settings: Any
) -> eq.training.SymmetryTracker:
    """Audits at these steps, kept in a directory as they come."""
    data = systems(chosen(task, watched))
    return eq.training.SymmetryTracker(data, every=list(steps), budget=None, out=out, **asked(task, **settings))


def audited(model: PetOnTensors, task: Task, molecules: Sequence[Molecule], **settings: Any) -> eq.Audit:
    """One audit of a model."""
    return eq.audit(model, systems(molecules), progress=False, **asked(task, **settings))


def kept(audit: eq.Audit) -> dict[str, Any]:
    """What is stored of an audit, as JSON values: of outputs their errors in units of the scaled labels, of layers and
    outputs the share of the power in each (l, sigma), and half widths of 95 % of all of these."""
    outputs = {}
    for name, output in audit.outputs.items():
        assert output.target is not None
        (sector,) = output.target.sectors.values()
        outputs[name] = {
            "A": output.rmse**2,
            "A_error": 2 * output.rmse * output.rmse_error,
            "mse": output.target.mse,
            "mse_symmetrised": output.target.mse_symmetrised,
            "target": sector.target / output.components,
            "predicted": sector.predicted / output.components,
            "cosine": sector.cosine,
            "floor": output.noise_floor,
            "error_power": output.target.error_power.tolist(),
            **_spectrum(output),
        }
    return {"outputs": outputs, "layers": {name: _spectrum(layer) for name, layer in audit.layers.items()}}


def _spectrum(spectrum: Any) -> dict[str, Any]:
    total = spectrum.pooled_total
    return {
        "total": total,
        "shares": spectrum.fractions.tolist(),
        "share_errors": (spectrum.power_error / total).tolist() if total > 0 else None,
        "above": spectrum.pooled_unresolved / total if total > 0 else None,
        "each_channel": spectrum.quantities[EachChannel.name]["shares"].tolist(),
    }
