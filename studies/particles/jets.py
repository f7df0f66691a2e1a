"""An extension, not the particle system of the paper: a tagger of jets on four-momenta, and two groups.

Constituents are brought to the rest frame of their jet, with z along its flight and x in the plane of flight and beam.
Turns about z leave the physics of a jet as it is but for what the beam does; all of O(3) also turns the flight away.
Whether a jet comes of a top quark changes with neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import equiscope as eq

from ..runs import Place
from ..shares import EachChannel
from ..store import data_directory
from .clouds import batches, turns

GEV = 100.0
"""Unit of the momenta that the network sees."""
HELD = 1000
"""Jets that are not trained on: the last ones of the file in an order drawn once."""
KINDS = ("none", "so2", "o3")


def boosted(constituents: Tensor, jet: Tensor) -> Tensor:
    """``(J, N, 4)`` as E, px, py, pz in the rest frame of the jet, of px, py, pz, E in the laboratory."""
    p, e = constituents[..., :3].double(), constituents[..., 3].double()
    axis = nn.functional.normalize(jet[:, :3].double(), dim=-1)
    beam = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand_as(axis)
    y = nn.functional.normalize(torch.linalg.cross(axis, beam), dim=-1)
    frame = torch.stack([torch.linalg.cross(y, axis), y, axis], -2)
    p = p @ frame.mT
    # the boost of what there is of constituents; the file keeps 48 of each jet
    whole, energy = p.sum(1), e.sum(1)
    beta = whole / energy[:, None]
    gamma = 1 / (1 - beta.square().sum(-1)).clamp_min(1e-12).sqrt()
    along = (p * beta[:, None]).sum(-1)
    factor = gamma**2 / (1 + gamma)
    moved = p + (factor[:, None] * along - gamma[:, None] * e)[..., None] * beta[:, None]
    return torch.cat([(gamma[:, None] * (e - along))[..., None], moved], -1)


class Tagger(nn.Module):
    """The logit of a top quark: two pre-norm blocks of attention on constituents, a masked mean, a perceptron."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(4, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, p4: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """``logit`` ``(B, 1)`` of ``(B, N, 4)`` in units of `GEV` and the mask ``(B, N)`` of constituents."""
        x = self.embed(p4)
        for block in self.blocks:
            x = block(x, src_key_padding_mask=~mask)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return {"logit": self.head(mean)}


def about_flight(kind: str, count: int, generator: torch.Generator) -> Tensor:
    """``(count, 3, 3)``: nothing, turns about z, or elements of O(3)."""
    if kind == "so2":
        return eq.groups.SO2().draw(count, generator).float()
    return turns(kind, count, generator)


def turned(p4: Tensor, R: Tensor) -> Tensor:
    """Momenta turned, energies as they are."""
    return torch.cat([p4[..., :1], p4[..., 1:] @ R.mT], -1)


def area(score: Tensor, label: Tensor) -> float:
    """Under the receiver's curve: how often a top jet has a higher score than another."""
    rank = score.argsort().argsort().double() + 1
    tops = int(label.sum())
    return float((rank[label].sum() - tops * (tops + 1) / 2) / (tops * (len(label) - tops)))


def tagged(asked: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """One run: ``augment`` of `KINDS`, ``steps``, ``batch``, ``rate``, ``audited`` jets, ``lmax``, ``turns``."""
    with np.load(data_directory(place.data) / "jets.npz") as file:
        order = np.random.default_rng(0).permutation(len(file["is_top"]))
        data = {name: torch.from_numpy(file[name][order]) for name in ("constituents", "jet", "is_top")}
    mask = data["constituents"][..., 3] > 0
    p4 = (boosted(data["constituents"], data["jet"]) / GEV).float() * mask[..., None]
    label = data["is_top"] > 0
    torch.manual_seed(place.seed)
    model = Tagger()
    generator = torch.Generator().manual_seed(place.seed)
    optimiser = torch.optim.AdamW(model.parameters(), asked["rate"], weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, asked["rate"], asked["steps"], cycle_momentum=False)
    rows_of = batches(mask[:-HELD].sum(-1), asked["batch"], place.seed)
    untrained = _measured(model, p4[-HELD:], mask[-HELD:], label[-HELD:], asked)
    for _ in range(asked["steps"]):
        rows = next(rows_of)
        R = about_flight(asked["augment"], len(rows), generator)
        logit = model(turned(p4[rows], R), mask[rows])["logit"][:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logit, label[rows].float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return {"untrained": untrained, "trained": _measured(model, p4[-HELD:], mask[-HELD:], label[-HELD:], asked)}


def _measured(model: Tagger, p4: Tensor, mask: Tensor, label: Tensor, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Areas under the curve lying and turned, and audits under both groups."""
    found: dict[str, Any] = {}
    model.eval()
    with torch.no_grad():
        for kind in KINDS:
            R = about_flight(kind, len(p4), torch.Generator().manual_seed(5))
            found[f"area {kind}"] = area(model(turned(p4, R), mask)["logit"][:, 0], label)
        systems = [{"p4": p4[i, mask[i]], "mask": mask[i, mask[i]]} for i in range(asked["audited"])]
        for group in ("SO2", "O3"):
            audit = eq.audit(
                model, systems, inputs={"p4": "scalar+vector"}, outputs={"logit": "scalar"}, group=group,
                layers=["embed", "blocks.*"], lmax=asked["lmax"], degree=2 * asked["lmax"], batch_rows=4096,
                progress=False,
            )  # fmt: skip
            logit = audit.outputs["logit"]
            found[group] = {
                "variance": logit.rmse**2,
                "rmse_error": logit.rmse_error,
                "power": logit.pooled_power.tolist(),
                "total": logit.pooled_total,
                "spread": logit.spread,
                "layers": {
                    name: layer.quantities[EachChannel.name]["shares"].tolist() for name, layer in audit.layers.items()
                },
            }
    model.train()
    return found
