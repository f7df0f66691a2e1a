"""What is measured of a segmenter: accuracy, audits as JSON values, and the examination at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import equiscope as eq

from ..shares import EachChannel
from .clouds import Clouds, all_groups, middle_cosine, turns
from .events import CLASSES
from .grouping import Groups
from .model import Segmenter

LAYERS = ("embed", "position", "blocks.*", "spread")
WITHIN = ("blocks.*.attention", "blocks.*.mlp")
"""Audited at the end beside `LAYERS`."""
_REAL = "blocks.0:input[1]"
BINS = 6
"""Of |cos b|, equal in Haar measure."""


def asked(lmax: int, layers: tuple[str, ...] = LAYERS) -> dict[str, Any]:
    """Arguments of `equiscope.audit` for a `Segmenter` and systems of `Clouds`."""
    return {
        "inputs": {"points": "vector"},
        "outputs": {"logits": "scalar", "probabilities": "scalar"},
        "targets": {"probabilities": "truth"},
        "layers": list(layers),
        "masks": {pattern: _REAL for pattern in layers if pattern != "spread"},
        "lmax": lmax,
        "degree": 2 * lmax,
        # some twenty copies of an event, so that distances of all its points stay in the cache of a core
        "batch_rows": 4096,
    }


def told(audit: eq.Audit) -> dict[str, Any]:
    """The numbers of an audit."""
    return {
        "outputs": {name: _output(output) for name, output in audit.outputs.items()},
        "layers": {name: _spectrum(layer) for name, layer in audit.layers.items()},
        "evaluations": audit.timings["evaluations"],
    }


def _spectrum(spectrum: Any) -> dict[str, Any]:
    return {
        "power": spectrum.pooled_power.tolist(),
        "power_error": spectrum.power_error.tolist(),
        "total": spectrum.pooled_total,
        "unresolved": spectrum.pooled_unresolved,
        "unresolved_error": spectrum.unresolved_error,
        "each_channel": spectrum.quantities[EachChannel.name]["shares"].tolist(),
        "noise_floor": spectrum.scatter,
    }


def _output(output: Any) -> dict[str, Any]:
    numbers = ("rmse", "rmse_error", "relative", "rmse_rotations", "inversion")
    found = {name: getattr(output, name) for name in numbers}
    target = output.target
    if target is not None:
        found |= {name: getattr(target, name) for name in ("mse", "mse_symmetrised", "mse_broken")}
        found["error_power"] = target.error_power.tolist()
    return {**_spectrum(output), **found, "verdict": str(output.verdict)}


@torch.no_grad()
def predicted(
    model: Segmenter, data: Clouds, rotations: Tensor, groups: Groups | None = None, size: int = 16
) -> Tensor:
    """``(E, N, 4)`` logits of events turned by one element each, ``(E, 3, 3)``."""
    training = model.training
    model.eval()
    made = []
    for i in range(0, len(data), size):
        rows = torch.arange(i, min(i + size, len(data)))
        points = data.points[rows] @ rotations[rows].mT
        own = None if groups is None else groups.batch(rows, points.shape[1])
        made.append(model(points, data.energy[rows], data.mask[rows], own)["logits"])
    model.train(training)
    return torch.cat(made)


def scored(logits: Tensor, data: Clouds) -> dict[str, Any]:
    """Accuracy, mean cross entropy, and F1 of every class and their mean, over all points."""
    label, found = data.label[data.mask], logits[data.mask]
    guess = found.argmax(-1)
    count = len(CLASSES)
    both = torch.bincount(label * count + guess, minlength=count**2).view(count, count).double()
    f1 = 2 * both.diagonal() / (both.sum(0) + both.sum(1)).clamp_min(1)
    return {
        "accuracy": float((guess == label).double().mean()),
        "cross_entropy": float(torch.nn.functional.cross_entropy(found, label)),
        "f1": float(f1.mean()),
        "f1_by_class": dict(zip(CLASSES, f1.tolist(), strict=True)),
    }


def scores(model: Segmenter, data: Clouds) -> dict[str, Any]:
    """Scores of events as they lie, and turned by one uniform element of O(3) each, always the same."""
    groups = all_groups(model, data) if model.shape.grouping.exact else None
    generator = torch.Generator().manual_seed(1)
    lying = turns("none", len(data), generator)
    turned = turns("o3", len(data), generator)
    return {
        "lying": scored(predicted(model, data, lying, groups), data),
        "turned": scored(predicted(model, data, turned, groups), data),
    }


def final(model: Segmenter, held: Clouds, run: Mapping[str, Any]) -> dict[str, Any]:
    """The examination at the end of every run: more layers than on the way, and other orientations."""
    parts = run["final"]
    model.eval()
    settings = {**asked(parts["lmax"], LAYERS + WITHIN), "progress": False}
    audit = eq.audit(model, held[: run["audited"]].systems(), **settings)
    return {"audit": told(audit), "orientations": orientations(model, held, parts["turns"])}


def orientations(model: Segmenter, data: Clouds, count: int) -> dict[str, Any]:
    """Over uniform rotations, `count` of each event, and the same with inversion: scores of proper and improper ones,
    and by |cos b| of the proper ones, cross entropy and mean square of logits about their mean over the turns."""
    groups = all_groups(model, data) if model.shape.grouping.exact else None
    generator = torch.Generator().manual_seed(2)
    rotations = turns("so3", count * len(data), generator).view(count, len(data), 3, 3)
    logits = torch.stack([predicted(model, data, R, groups) for R in rotations])
    inverted = torch.stack([predicted(model, data, -R, groups) for R in rotations])
    mask, label = data.mask, data.label.clamp_min(0)
    square = (logits - logits.mean(0)).square().mean(-1) * count / (count - 1)
    entropy = torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), label.expand(count, -1, -1).flatten(), reduction="none"
    ).view(square.shape)
    points = mask.sum(-1)
    per_event = {name: (x * mask).sum(-1) / points for name, x in (("square", square), ("cross_entropy", entropy))}
    # sin b is uniform over uniform rotations
    place = ((1 - middle_cosine(rotations).square()).sqrt() * BINS).long().clamp_max(BINS - 1)
    bins = {name: [float(x[place == i].mean()) for i in range(BINS)] for name, x in per_event.items()}
    repeated = Clouds(*(x.repeat(count, *[1] * (x.ndim - 1)) for x in vars(data).values()))
    return {
        "proper": scored(logits.flatten(0, 1), repeated),
        "improper": scored(inverted.flatten(0, 1), repeated),
        "by_sine": bins,
    }
