"""What is measured of stored weights: ties of the grouping, audits against random elements, degrees of grids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch

import equiscope as eq

from ..runs import Place
from .byhand import by_hand
from .clouds import Clouds, turns
from .examine import asked as arguments
from .examine import told
from .model import Segmenter, shape
from .train import events_of

LMAX_BY_HAND, DEGREE_BY_HAND = 4, 12
EXACT, ROUND_OFF = "exact", "round-off"


def examined(asked: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The result as JSON values.

    `asked` has: ``of``, the run whose weights are examined, with its ``preset`` and ``changes``; ``held``, how many
    events; ``tied``, the first and the end of those that are audited with both kinds of groups, and ``lmax`` of these;
    ``audited``, how many are compared with random elements, and ``elements``, how many of those; ``degrees`` of grids,
    of seed 0 alone.
    """
    model = Segmenter(shape(asked["preset"], **asked["changes"])).eval()
    model.load_state_dict(place.store.load_tensors(asked["of"], place.seed))
    held = events_of("held", asked["held"], place)
    few = held[: asked["audited"]]
    found: dict[str, Any] = {
        "ties": ties(model, held[slice(*asked["tied"])], asked["lmax"]),
        "changed": {name: changed(other, held) for name, other in _grouped(model).items()},
        "by_hand": [compared(model, few[i : i + 1], asked["elements"]) for i in range(len(few))],
    }
    if place.seed == 0:
        found["degrees"] = degrees(model, held[:1], asked["degrees"])
    return found


def _grouped(model: Segmenter) -> dict[str, Segmenter]:
    """The same weights with groups that no rotation changes, and with groups that round-off does."""
    made = {}
    for name, exact in ((EXACT, True), (ROUND_OFF, False)):
        grouping = dataclasses.replace(model.shape.grouping, exact=exact)
        other = Segmenter(dataclasses.replace(model.shape, grouping=grouping))
        other.load_state_dict(model.state_dict())
        made[name] = other.eval()
    return made


def ties(model: Segmenter, data: Clouds, lmax: int) -> dict[str, Any]:
    """Outputs by an audit, for both kinds of groups."""
    settings = {**arguments(lmax, ()), "progress": False}
    return {name: told(eq.audit(other, data.systems(), **settings)) for name, other in _grouped(model).items()}


@torch.no_grad()
def changed(model: Segmenter, data: Clouds, count: int = 8) -> dict[str, float]:
    """Of events turned at random, how many have another group than lying, and how many logits another class."""
    generator = torch.Generator().manual_seed(3)
    lying = model.groups(data.points, data.mask)
    logits = model(data.points, data.energy, data.mask, lying)["logits"]
    groups, classes = [], []
    for _ in range(count):
        turned = data.points @ turns("o3", len(data), generator).mT
        found = model.groups(turned, data.mask)
        same = [(a == b).flatten(1).all(-1) for a, b in ((lying.centre, found.centre), (lying.filled, found.filled))]
        # members of a group are a set
        same.append((lying.member.sort(-1).values == found.member.sort(-1).values).flatten(1).all(-1))
        groups.append(1 - torch.stack(same).all(0).double().mean())
        other = model(data.points, data.energy, data.mask, found)["logits"]
        classes.append((other.argmax(-1) != logits.argmax(-1))[data.mask].double().mean())
    return {"events": float(torch.stack(groups).mean()), "classes": float(torch.stack(classes).mean())}


def compared(model: Segmenter, one: Clouds, elements: int) -> dict[str, Any]:
    """A and B of the logits of one event by an audit, and by independent random elements."""
    settings = {**arguments(LMAX_BY_HAND, ()), "degree": DEGREE_BY_HAND, "progress": False}
    audit = told(eq.audit(model, one.systems(), **settings))["outputs"]["logits"]
    return {"audit": audit, "by_hand": by_hand(model, one, elements)}


def degrees(model: Segmenter, one: Clouds, tried: Sequence[int]) -> dict[str, Any]:
    """Logits of one event by the degree of the grid, and by a second grid that is turned differently."""
    found = {}
    for degree in tried:
        for seed in (0, 1):
            settings = {**arguments(LMAX_BY_HAND, ()), "degree": degree, "seed": seed, "progress": False}
            audit = eq.audit(model, one.systems(), **settings)
            found[f"{degree}, grid {seed}"] = told(audit)["outputs"]["logits"]
    return found
