"""What a model is trained to make small: squares of its errors, and of what breaks its symmetry."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from .batches import Batch, elements, turned
from .dataset import Task
from .pet import PetOnTensors


def mean_squares(model: PetOnTensors, batch: Batch, task: Task) -> dict[str, torch.Tensor]:
    """By output, of its error over the components that there are."""
    found = model(batch.positions, batch.numbers, batch.batch)
    return _means({name: values - batch.labels[name] for name, values in found.items()}, batch, task)


def broken_squares(
    model: PetOnTensors, batch: Batch, task: Task, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """By output, an estimate without bias of its A over the components that there are, which takes no label: half of
    the mean square of z(g) - z(h), z(g) = rho(g^-1) f(g x), with two random elements of O(3) for each molecule."""
    g, h = (elements(batch.molecules, "O3", generator) for _ in range(2))
    assert g is not None and h is not None
    one, other = (model(batch.turned(each, task).positions, batch.numbers, batch.batch) for each in (g, h))
    back = turned(other, g @ h.mT, batch.batch, task)
    return _means({name: 0.5**0.5 * (one[name] - back[name]) for name in one}, batch, task)


def _means(differences: Mapping[str, torch.Tensor], batch: Batch, task: Task) -> dict[str, torch.Tensor]:
    means = {}
    for name, difference in differences.items():
        components = difference.shape[-1]
        count = (
            difference.numel()
            if name not in task.present
            else components / task.present[name].shape[-1] * float(task.present[name][batch.numbers].sum())
        )
        means[name] = difference.square().sum() / max(count, 1.0)
    return means
