"""One run: a segmenter is trained, audited at logarithmic steps, and examined in its last state. It resumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import equiscope as eq

from ..runs import Place
from . import examine
from .clouds import Clouds, all_groups, batches, kept, turns
from .events import Detector
from .grouping import Groups
from .model import Segmenter, shape

FOCUS = 2.0
"""Exponent of the focal loss."""
WARM_UP = 0.05
"""Share of the steps in which the learning rate rises; from there it falls by a cosine."""
DATA_SEED = 20_000
"""Of the events, which are the same for every run; the seed of a run is that of weights, batches and turns."""


def focal_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Mean over points of ``-(1 - p)^2 log p`` of the probability of the true class (arXiv 1708.02002)."""
    log = logits.log_softmax(-1).gather(-1, label[:, None])[:, 0]
    return -((1 - log.exp()) ** FOCUS * log).mean()


def rate(step: int, steps: int) -> float:
    """Learning rate over its peak."""
    warm = max(WARM_UP * steps, 1.0)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * (step - warm) / max(steps - warm, 1)))))


def events_of(which: str, count: int, place: Place) -> Clouds:
    """Events to train on ("train") or held out ("held"), made once and kept."""
    path = place.store.scratch("particles-events", 0) / f"{which}-{count}.npz"
    return kept(path, count, DATA_SEED + ("train", "held").index(which), Detector())


class Trainer:
    """What a run holds while it goes on."""

    def __init__(self, asked: Mapping[str, Any], place: Place) -> None:
        self.asked, self.place = asked, place
        self.training = events_of("train", asked["train"], place)
        self.held = events_of("held", asked["held"], place)
        torch.manual_seed(place.seed)
        self.model = Segmenter(shape(asked["preset"], **asked.get("changes", {})))
        self.generator = torch.Generator().manual_seed(place.seed)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), asked["rate"], weight_decay=0.05, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, lambda n: rate(n, asked["steps"]))
        self.points = sorted({*asked["points"], asked["steps"]})
        self.step, self.loss = 0, 0.0
        self.records: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """From where the checkpoint is, or the beginning, to the end."""
        tracker = eq.training.SymmetryTracker(
            self.held[: self.asked["audited"]].systems(), **examine.asked(self.asked["lmax"]),
            every=self.points, budget=None, out=self.place.scratch / "history",
        )  # fmt: skip
        self._resume()
        groups = all_groups(self.model, self.training)
        order = batches(self.training.mask.sum(-1), self.asked["batch"], self.place.seed, self.step)
        while True:
            if self.step in self.points:
                self._checkpoint()
                self._record()
                tracker.step(self.model, self.step)
            if self.step == self.asked["steps"]:
                break
            self._train(next(order), groups)
            self.step += 1
        if self.asked["keep"]:
            self.place.store.save_tensors(self.place.name, self.place.seed, self.model.state_dict())
        for point in tracker.history.points:
            self.records[str(point.step)]["audit"] = examine.told(point.audit)
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "training": self.records,
            "final": examine.final(self.model, self.held, self.asked),
        }

    def _train(self, rows: Tensor, groups: Groups) -> None:
        """One step. Groups were found once: turning an event does not change them, if they are exact."""
        self.model.train()
        most = int(self.training.mask[rows].sum(-1).max())
        batch = Clouds(*(value[rows, :most] for value in vars(self.training).values()))
        turned = batch.points @ turns(self.asked["augment"], len(rows), self.generator).mT
        own = groups.batch(rows, most) if self.model.shape.grouping.exact else None
        logits = self.model(turned, batch.energy, batch.mask, own)["logits"]
        loss = focal_loss(logits[batch.mask], batch.label[batch.mask])
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.loss = float(loss.detach())

    def _record(self) -> None:
        """Accuracy on held-out events, as they lie and turned."""
        scores = examine.scores(self.model, self.held)
        self.records[str(self.step)] = {"loss": self.loss, **scores}

    def _checkpoint(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "loss": self.loss,
            "records": self.records,
        }
        growing = self.place.scratch / "checkpoint.new"
        torch.save(state, growing)
        growing.replace(self.place.scratch / "checkpoint.pt")

    def _resume(self) -> None:
        """Go on where a killed run had its last checkpoint."""
        path = self.place.scratch / "checkpoint.pt"
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        self.step, self.loss, self.records = state["step"], state["loss"], state["records"]


def trained(asked: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The result of a run as JSON values.

    `asked` has: ``preset`` and ``changes`` of the shape; ``augment``, a kind of `clouds.KINDS`; ``steps``, ``batch``,
    ``rate``; ``train`` and ``held``, numbers of events; ``audited``, how many of the held-out ones the audits see;
    ``points``, steps at which they are due; ``lmax``; ``final``, what is examined at the end; ``keep``,
    whether weights are stored.
    """
    return Trainer(asked, place).run()
