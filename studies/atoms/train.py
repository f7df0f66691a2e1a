"""Training of one model on one task, with audits on the way, from the untrained model on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from .batches import Batch, elements, training_batches
from .dataset import Molecule, Task
from .losses import broken_squares, mean_squares
from .pet import PetOnTensors

CHECKPOINT = "checkpoint.pt"
EVERY_STEPS = 200
"""Steps between checkpoints: what a kill may cost."""

WARMUP = 100
CLIP = 1.0
"""Largest norm of the gradient."""

EVALUATED = 16
"""Molecules in a batch where nothing is learned."""


class Trainer:
    """A model, its optimiser and how far they are; the state goes to ``scratch`` and comes back from there.

    Args:
        task: what is learned. The loss is the mean over outputs of their mean square errors, which are 1 for a model
            that says 0.
        configuration: "steps", "batch", "rate" (peak of a cosine), "augmentation", "edges", "hypers", "covariant_bias",
            "bias", "triples", "symmetry" (weight of A in the loss, 0 where it is not said), "device" (the CPU where it
            is not said).
        seed: of weights and batches.
        start: weights to begin with, in place of random ones.
    """

    def __init__(
        self,
        task: Task,
        configuration: Mapping[str, Any],
        seed: int,
        scratch: Path,
        start: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.task, self.configuration, self.seed = task, configuration, seed
        torch.manual_seed(seed)
        self.device = configuration.get("device", "cpu")
        self.model = new_model(task, configuration).to(self.device)
        if start is not None:
            self.model.load_state_dict(start)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), configuration["rate"], weight_decay=0.01, fused=True
        )
        self.step, self.steps = 0, int(configuration["steps"])
        self.seconds = 0.0
        """In steps, audits not counted, over all times that the run was resumed."""
        self._path = scratch / CHECKPOINT
        if self._path.is_file():
            self._load()

    def run(self, *watchers: Watcher) -> None:
        """All steps that are left."""
        batches = training_batches(
            self.task, self.configuration["batch"], self.configuration["augmentation"], self.seed, self.step
        )
        while self.step < self.steps:
            for watcher in watchers:
                watcher.step(self.model, self.step)
            begun = time.perf_counter()
            self._learn(next(batches).to(self.device))
            self.seconds += time.perf_counter() - begun
            self.step += 1
            if self.step % EVERY_STEPS == 0:
                self._save()
        for watcher in watchers:
            watcher.finish(self.model, self.steps)
        self._save()

    def _learn(self, batch: Batch) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.configuration["rate"] * self._share()
        self.optimiser.zero_grad()
        self._loss(batch).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimiser.step()

    def _loss(self, batch: Batch) -> torch.Tensor:
        loss = torch.stack(list(mean_squares(self.model, batch, self.task).values())).mean()
        weight = self.configuration.get("symmetry", 0.0)
        if weight:
            # of the seed and the step alone, as batches are
            generator = torch.Generator().manual_seed(1_000_003 * self.seed + 500_009 + self.step)
            broken = broken_squares(self.model, batch, self.task, generator)
            loss = loss + weight * torch.stack(list(broken.values())).mean()
        return loss

    def _share(self) -> float:
        """Of the peak rate: a linear rise, then a cosine down to 0."""
        warm = min(WARMUP, self.steps // 10)
        if self.step < warm:
            return (self.step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (self.step - warm) / (self.steps - warm)))

    def _save(self) -> None:
        growing = self._path.with_suffix(".new")
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save({**state, "step": self.step, "seconds": self.seconds}, growing)
        growing.replace(self._path)

    def _load(self) -> None:
        state = torch.load(self._path, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def new_model(task: Task, configuration: Mapping[str, Any]) -> PetOnTensors:
    """Untrained, with weights from the random state of torch."""
    return PetOnTensors(
        task.targets,
        configuration["hypers"],
        edges=configuration["edges"],
        per_system=task.per_system,
        present=task.present,
        covariant_bias=configuration.get("covariant_bias", True),
        bias=configuration.get("bias", True),
        triples=configuration.get("triples", False),
    )


class Watcher(Protocol):
    """Looks at a model in training."""

    def step(self, model: PetOnTensors, n: int) -> object:
        """To be called before every step."""

    def finish(self, model: PetOnTensors, n: int) -> object:
        """To be called after the last."""


class Curve:
    """What `measure` finds at some steps, by name. Points are kept in a file of ``scratch`` as they come."""

    def __init__(
        self, steps: Sequence[int], measure: Callable[[PetOnTensors], dict[str, float]], scratch: Path
    ) -> None:
        self.due, self._measure = set(steps), measure
        self._path = scratch / "curve.json"
        stored = json.loads(self._path.read_text()) if self._path.is_file() else {}
        self.points: dict[int, dict[str, float]] = {int(step): point for step, point in stored.items()}

    def step(self, model: PetOnTensors, n: int) -> None:
        """To be called before every step."""
        if n in self.due:
            self.points[n] = self._measure(model)
            self._path.write_text(json.dumps(self.points))

    finish = step


def held_out_batches(task: Task, molecules: list[Molecule]) -> list[Batch]:
    """Each in one random orientation, the same in every run."""
    ordered = sorted(molecules, key=lambda each: len(each.numbers))
    generator = torch.Generator().manual_seed(0)
    batches = [Batch(ordered[i : i + EVALUATED]) for i in range(0, len(ordered), EVALUATED)]
    return [batch.turned(elements(batch.molecules, "O3", generator), task) for batch in batches]


@torch.no_grad()
def unexplained(model: PetOnTensors, batches: list[Batch], task: Task) -> dict[str, float]:
    """By output, the square of the error over the square of the labels."""
    error = dict.fromkeys(task.outputs, 0.0)
    labels: dict[str, list[torch.Tensor]] = {name: [] for name in task.outputs}
    mode, device = model.training, next(model.parameters()).device
    model.eval()
    for batch in (each.to(device) for each in batches):
        found = model(batch.positions, batch.numbers, batch.batch)
        for name, values in found.items():
            error[name] += float((values - batch.labels[name]).double().square().sum())
            labels[name].append(batch.labels[name].double().cpu())
    model.train(mode)
    return {name: error[name] / float(torch.cat(labels[name]).square().sum()) for name in task.outputs}
