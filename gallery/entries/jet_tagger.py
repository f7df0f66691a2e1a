"""Taggers of jets trained with and without turns about the flight, in the frame of the jet, under two groups."""

import torch
from gallery.jets import KINDS, jets, tagger

import equiscope as eq

TITLE, PACKAGES = "Jet tagger, three augmentations", ()
asked = dict(inputs={"p4": "scalar+vector"}, outputs={"logit": "scalar"}, progress=False)
data, groups = jets(), {"SO2": dict(lmax=8, degree=16), "O3": dict(lmax=3, degree=6)}
words = {"none": "not augmented", "so2": "augmented by SO(2)", "o3": "augmented by O(3)"}
models = {f"{words[kind]}, under {group}": (tagger(kind), group) for kind in KINDS for group in groups}
audits = {name: eq.audit(model, data, group=group, **groups[group], **asked) for name, (model, group) in models.items()}


@torch.no_grad()
def turned(model, g):
    moved = [torch.cat([d["p4"][:, :1], (d["p4"][:, 1:].double() @ torch.tensor(g).T).float()], 1) for d in data]
    return {"logit": [model(p4[None], d["mask"][None])["logit"][0] for p4, d in zip(moved, data, strict=True)]}


by_hand = {name: lambda g, model=model: turned(model, g) for name, (model, _) in models.items()}
pictures = {"spectra": eq.compare({k: a for k, a in audits.items() if "under SO2" in k}).plot("spectra")}
