"""A few jets, and taggers trained on many, with augmentation and without: ``python -m gallery.jets DIRECTORY`` makes
both of the data set of the study, whose model and frame these are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from studies.particles.clouds import batches
from studies.particles.jets import GEV, HELD, KINDS, Tagger, about_flight, area, boosted, turned
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

DATA = Path(__file__).parent / "data"

KEPT = 8
"""Jets that ship, which were not trained on."""

WIDTH, STEPS, BATCH, RATE = 24, 400, 64, 3e-3


def jets() -> list[dict[str, Tensor]]:
    """Momenta ``p4`` (E, px, py, pz) in the rest frame of each jet, z along its flight, in 100 GeV, and their mask."""
    stored = load_file(DATA / "jets.safetensors")
    return [{"p4": p4[mask], "mask": mask[mask]} for p4, mask in zip(stored["p4"], stored["mask"], strict=True)]


def tagger(kind: str) -> Tagger:
    """Trained with an augmentation of `KINDS`."""
    model = Tagger(WIDTH).eval()
    model.load_state_dict(
        {name: value.float() for name, value in load_file(DATA / f"tagger-{kind}.safetensors").items()}
    )
    return model


def main(data: Path) -> None:
    """Train, and write what ships; how well each tags is printed."""
    torch.set_num_threads(1)
    with np.load(data / "jets.npz") as file:
        order = np.random.default_rng(0).permutation(len(file["is_top"]))
        found = {name: torch.from_numpy(file[name][order]) for name in ("constituents", "jet", "is_top")}
    mask, label = found["constituents"][..., 3] > 0, found["is_top"] > 0
    p4 = (boosted(found["constituents"], found["jet"]) / GEV).float() * mask[..., None]
    save_file({"p4": p4[-KEPT:].clone(), "mask": mask[-KEPT:].clone()}, DATA / "jets.safetensors")
    for kind in KINDS:
        model = trained(kind, p4[:-HELD], mask[:-HELD], label[:-HELD])
        state = {name: value.half() for name, value in model.state_dict().items()}
        save_file(state, DATA / f"tagger-{kind}.safetensors")
        with torch.no_grad():
            print(kind, f"{area(model.eval()(p4[-HELD:], mask[-HELD:])['logit'][:, 0], label[-HELD:]):.3f}")


def trained(kind: str, p4: Tensor, mask: Tensor, label: Tensor) -> Tagger:
    """As the study trains, with a narrower model."""
    torch.manual_seed(0)
    model, generator = Tagger(WIDTH), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS, cycle_momentum=False)
    rows_of = batches(mask.sum(-1), BATCH, 0)
    for _ in range(STEPS):
        rows = next(rows_of)
        R = about_flight(kind, len(rows), generator)
        logit = model(turned(p4[rows], R), mask[rows])["logit"][:, 0]
        loss = binary_cross_entropy_with_logits(logit, label[rows].float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model


if __name__ == "__main__":
    main(Path(sys.argv[1]))
