"""SE(3)-Transformer of se3-transformer-pytorch with fresh weights: built for rotations, and no model of parity."""

import torch
from se3_transformer_pytorch import SE3Transformer

import equiscope as eq

TITLE, PACKAGES = "SE(3)-Transformer, fresh weights", ("se3-transformer-pytorch",)
torch.manual_seed(0)
sizes = {"dim": 4, "heads": 1, "depth": 1, "dim_head": 4, "num_neighbors": 3, "num_degrees": 2, "output_degrees": 2}
model, real = SE3Transformer(num_tokens=5, **sizes), torch.ones(5, dtype=torch.bool)
data = [{"feats": torch.randint(5, (5,)), "coors": torch.randn(5, 3), "mask": real} for _ in range(2)]
asked = dict(inputs={"coors": "vector"}, outputs={"0": "scalar", "1": "vector"}, lmax=3, degree=6, progress=False)
audits = {"under O(3)": eq.audit(model, data, **asked), "under SO(3)": eq.audit(model, data, group="SO3", **asked)}


@torch.no_grad()
def turned(g):
    moved = [(d["coors"].double() @ torch.tensor(g).T).float()[None] for d in data]
    told = [model(d["feats"][None], x, mask=real[None]) for d, x in zip(data, moved, strict=True)]
    return {name: [values[name][0] for values in told] for name in ("0", "1")}


by_hand = dict.fromkeys(audits, turned)
pictures = {"spectra": audits["under O(3)"].plot("spectra", ["0", "1"])}
