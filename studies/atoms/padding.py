"""Whether a molecule sees the others of its batch, through the padding of its neighbours.

PET pads the neighbours of every atom to the longest list of a batch, and reads tokens of other molecules there. Its
attention weighs them by exp(logit) times a floor in place of 0, 1e-15, and nothing bounds the logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..runs import Place
from .audits import chosen
from .batches import Batch, elements
from .dataset import Molecule
from .density import density
from .pet import PetOnTensors
from .train import Curve, Trainer

ORIENTATIONS = 200
FLOOR = 1e-30
"""In place of PET's own: small enough for any logit, and not 0 in float32."""


def leak(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Train; at steps "watched_at": by how much the outputs of the second of two "watched" molecules alone and behind
    the first in one batch differ, also with `FLOOR`. See `studies.atoms.train.Trainer` for the rest."""
    torch.set_num_threads(1)
    task = density(place.data)
    trainer = Trainer(task, configuration, place.seed, place.scratch)
    first, second = chosen(task, configuration["watched"])
    at = [*(n for n in configuration["watched_at"] if n < trainer.steps), trainer.steps]
    curve = Curve(at, lambda model: both(model, first, second), place.scratch)
    trainer.run(curve)
    return {"parameters": sum(each.numel() for each in trainer.model.parameters()), "curve": curve.points}


def both(model: PetOnTensors, first: Molecule, second: Molecule) -> dict[str, float]:
    """`moved` with the floor that the model has, and with `FLOOR`."""
    blocks = [each for each in model.modules() if hasattr(each, "epsilon") and hasattr(each, "temperature")]
    own = [block.epsilon for block in blocks]
    found = moved(model, first, second)
    for block in blocks:
        block.epsilon = FLOOR
    without = moved(model, first, second)
    for block, epsilon in zip(blocks, own, strict=True):
        block.epsilon = epsilon
    return {**found, **{f"{name}, floor {FLOOR:g}": value for name, value in without.items()}}


@torch.no_grad()
def moved(model: PetOnTensors, first: Molecule, second: Molecule) -> dict[str, float]:
    """Of all outputs together, over the root mean square of those of `second` alone: root mean square over orientations
    of `first`, and the most of any entry, of what they change by when `first` is before it in the batch."""
    mode = model.training
    model.eval()
    alone = model(second.positions, second.numbers)
    pair = Batch([first, second])
    changes = []
    turns = elements(ORIENTATIONS, "O3", torch.Generator().manual_seed(0))
    assert turns is not None
    for turn in turns:
        found = model(torch.cat([first.positions @ turn.mT, second.positions]), pair.numbers, pair.batch)
        behind = {name: values[-len(second.numbers) :] for name, values in found.items()}
        changes.append(torch.cat([(behind[name] - alone[name]).flatten() for name in alone]))
    model.train(mode)
    change = torch.stack(changes).double()
    size = torch.cat([values.flatten() for values in alone.values()]).double().square().mean().sqrt()
    return {"rms": float(change.square().mean().sqrt() / size), "most": float(change.abs().max() / size)}
