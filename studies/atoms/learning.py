"""One run: a PET is trained on a task and audited on the way; what is left are curves, audits and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..runs import Place
from .audits import WATCHED, audited, chosen, kept, tracker
from .dataset import Task
from .density import density
from .gfn2 import gfn2
from .pet import PetOnTensors
from .train import Curve, Trainer, held_out_batches, new_model, unexplained

TASKS: dict[str, Callable[[Path | None], Task]] = {"density": density, "gfn2": gfn2}

AUDITED = (0, 10, 40, 150, 500, 1500, 5000, 15000)
"""Steps at which tokens are audited, beside the last one; each costs as much as a hundred steps."""

EVALUATED = (0, 10, 20, 40, 70, 100, 150, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10000, 15000)
"""Steps at which the error on all held-out molecules is measured."""

FITTED = 96
"""Molecules of the training part on which the error is measured in the end, about."""


def learn(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Train, or go on, to the last step; see `studies.atoms.train.Trainer` for the configuration.

    "task" is a key of `TASKS`; "start" is a run whose stored weights of the same seed are begun with; "watched" are
    molecules that are audited on the way, at the steps "audited" and, unless "tokens" is False, with their tokens;
    "final" are those of the last audit, of outputs alone, by default all that are held out; with "weights" the final
    ones are stored, for a diagnosis.
    """
    torch.set_num_threads(1)
    task = TASKS[configuration["task"]](place.data)
    device = {key: configuration[key] for key in ("device",) if key in configuration}
    start = place.store.load_tensors(configuration["start"], place.seed) if "start" in configuration else None
    trainer = Trainer(task, configuration, place.seed, place.scratch, start)
    points = (configuration.get("audited", AUDITED), EVALUATED)
    audits, errors = ([*(n for n in some if n < trainer.steps), trainer.steps] for some in points)
    told = device if configuration.get("tokens", True) else {**device, "layers": None}
    watch = tracker(task, audits, place.scratch / "history", watched(configuration), **told)
    batches = held_out_batches(task, task.parts["test"])
    curve = Curve(errors, lambda model: unexplained(model, batches, task), place.scratch)
    trainer.run(watch, curve)
    model = trainer.model.eval()
    test = chosen(task, configuration.get("final", sorted({each.name for each in task.parts["test"]})))
    final = audited(model, task, test, layers=None, **device)
    trained = task.parts["train"][:: max(len(task.parts["train"]) // FITTED, 1)]
    if configuration.get("weights", False):
        place.store.save_tensors(place.name, place.seed, model.state_dict())
    return {
        "parameters": sum(each.numel() for each in model.parameters()),
        "train_seconds": trainer.seconds,
        "curve": curve.points,
        "train_error": unexplained(model, held_out_batches(task, trained), task),
        "audits": {point.step: kept(point.audit) for point in watch.history},
        "final": kept(final)["outputs"],
    }


def watched(configuration: Mapping[str, Any]) -> Sequence[str]:
    """Molecules that are audited during training."""
    names: Sequence[str] = configuration.get("watched", WATCHED)
    return names


def stored_model(task: Task, configuration: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> PetOnTensors:
    """The model of a run that is done, from its stored weights."""
    model = new_model(task, configuration)
    model.load_state_dict(tensors)
    return model.eval()


def another(configuration: Mapping[str, Any], place: Place) -> tuple[dict[str, Any], Task, PetOnTensors]:
    """Result, task and model of another run of the same seed, "of"; untrained where "trained" is False."""
    torch.set_num_threads(1)
    name, store = configuration["of"], place.store
    if not store.has(name, place.seed):
        raise FileNotFoundError(f"{place.name}: expected the run {name}, seed {place.seed}, to be done before")
    result = store.load(name, place.seed)
    task = TASKS[result["configuration"]["task"]](place.data)
    if configuration.get("trained", True):
        return result, task, stored_model(task, result["configuration"], store.load_tensors(name, place.seed))
    torch.manual_seed(place.seed)
    return result, task, new_model(task, result["configuration"]).eval()
