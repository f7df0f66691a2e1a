"""Equiformer of equiformer-pytorch with fresh weights."""

import torch
from equiformer_pytorch import Equiformer

import equiscope as eq

TITLE, PACKAGES = "Equiformer, fresh weights", ("equiformer-pytorch",)
torch.manual_seed(0)
sizes = dict(dim=(8, 4), dim_head=(8, 4), heads=(2, 2), num_degrees=2, depth=1, num_neighbors=4)
model, real = Equiformer(num_tokens=5, **sizes), torch.ones(6, dtype=torch.bool)
asked = dict(inputs={"coors": "vector"}, outputs={"type0": "scalar", "type1": "vector"}, lmax=3, degree=6)
data = [{"inputs": torch.randint(5, (6,)), "coors": torch.randn(6, 3), "mask": real} for _ in range(2)]
audits = {"points": eq.audit(model, [d | {"return_pooled": False} for d in data], progress=False, **asked)}


@torch.no_grad()
def turned(g):
    moved = [(d["coors"].double() @ torch.tensor(g).T).float()[None] for d in data]
    told = [model(d["inputs"][None], x, mask=real[None]) for d, x in zip(data, moved)]
    return {name: [getattr(values, name)[0] for values in told] for name in ("type0", "type1")}


by_hand = {"points": turned}
