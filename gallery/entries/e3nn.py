"""The gated network of e3nn's examples with fresh weights, made in double precision, and brought there afterwards."""

import torch
from e3nn.nn.models.v2106.gate_points_networks import SimpleNetwork

import equiscope as eq

TITLE, PACKAGES, LAYERS, BASIS = "Gated network of e3nn, fresh weights", ("e3nn",), ("made in double",), "e3nn"


def made(dtype):
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    sizes = dict(max_radius=3.0, num_neighbors=4.0, num_nodes=4.0, mul=4, layers=1)
    return SimpleNetwork("3x0e", "1x0e+1x1o+1x1e", **sizes).double()


models = {"made in double": made(torch.float64), "made in single, then .double()": made(torch.float32)}
data = [{"pos": torch.randn(5, 3).double(), "x": torch.randn(5, 3).double()} for _ in range(2)]
asked = dict(inputs={"pos": "vector", "x": "invariant"}, outputs={"output": "1x0e+1x1o+1x1e"}, layers="mp.layers.*")
asked |= dict(batching="concat", basis="e3nn", lmax=3, degree=8, progress=False)
audits = {name: eq.audit(model, data, **asked) for name, model in models.items()}


def turned(model, g):
    moved = [{"pos": d["pos"] @ torch.tensor(g).T, "x": d["x"], "batch": torch.zeros(5).long()} for d in data]
    return {"output": [model(system) for system in moved]}


by_hand = {name: lambda g, model=model: turned(model, g) for name, model in models.items()}
