"""Equiformer of equiformer-pytorch with fresh weights, on scalars and vectors, and deeper on tensors too."""

import torch
from equiformer_pytorch import Equiformer

import equiscope as eq

TITLE, PACKAGES = "Equiformer, fresh weights", ("equiformer-pytorch",)


def made(dim, depth):
    torch.manual_seed(0)
    sizes = dict(dim=dim, dim_head=dim, heads=tuple(2 for _ in dim), num_degrees=len(dim))
    return Equiformer(num_tokens=5, depth=depth, num_neighbors=4, **sizes)


models = {"types 0, 1, one layer": made((8, 4), 1), "types 0 to 2, two layers": made((8, 4, 4), 2)}
data = [{"inputs": torch.randint(5, (6,)), "coors": torch.randn(6, 3), "return_pooled": False} for _ in range(2)]
asked = dict(inputs={"coors": "vector"}, outputs={"type0": "scalar", "type1": "vector"}, lmax=3, degree=6)
audits = {name: eq.audit(model, data, progress=False, **asked) for name, model in models.items()}


@torch.no_grad()
def turned(model, g):
    moved = [(d["coors"].double() @ torch.tensor(g).T).float()[None] for d in data]
    told = [model(d["inputs"][None], x) for d, x in zip(data, moved, strict=True)]
    return {name: [getattr(values, name)[0] for values in told] for name in ("type0", "type1")}


by_hand = {name: lambda g, model=model: turned(model, g) for name, model in models.items()}
