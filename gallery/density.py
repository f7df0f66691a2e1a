"""The PET of the study on electron densities, with its stored weights, without the data that it was trained on."""

from __future__ import annotations

import torch
from studies.atoms.dataset import ELEMENTS
from studies.atoms.density import CHIRAL, DENSITY, SHELLS
from studies.atoms.pet import PetOnTensors
from studies.store import Store

SHELLS_OF = {z: (6, *SHELLS[1:]) for z in ELEMENTS} | {1: (3, 1, 1, 0, 0), 16: SHELLS}
"""By element, how many shells it has of each l."""


def pet(run: str | None, seed: int = 0) -> PetOnTensors:
    """With the weights of a run of the study; None: as it is before training."""
    torch.manual_seed(seed)
    model = PetOnTensors({"density": DENSITY, "chiral": CHIRAL}, present=_present()).eval()
    if run is not None:
        model.load_state_dict({name: value.float() for name, value in Store().load_tensors(run, seed).items()})
    return model


def _present() -> dict[str, torch.Tensor]:
    """By output ``(17, multiplicity)``: 0 where an element has no such shell."""
    found = {f"l{l}": torch.zeros(max(ELEMENTS) + 1, most) for l, most in enumerate(SHELLS)}
    for z, counts in SHELLS_OF.items():
        for l, count in enumerate(counts):
            found[f"l{l}"][z, :count] = 1
    heavy = (torch.arange(max(ELEMENTS) + 1) > 1)[:, None]
    return found | {name: found["l2"][:, :1] * heavy for name in CHIRAL}
