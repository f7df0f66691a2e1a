"""The gated network of e3nn's examples with fresh weights; its layers say their irreps themselves."""

import torch
from e3nn.nn.models.v2106.gate_points_networks import SimpleNetwork

import equiscope as eq

TITLE, PACKAGES, LAYERS, BASIS = "Gated network of e3nn, fresh weights", ("e3nn",), ("points",), "e3nn"
torch.manual_seed(0)
made = dict(max_radius=3.0, num_neighbors=4.0, num_nodes=4.0, mul=4, layers=1)
model = SimpleNetwork("3x0e", "1x0e+1x1o+1x1e", **made).double()
data = [{"pos": torch.randn(5, 3).double(), "x": torch.randn(5, 3).double()} for _ in range(2)]
asked = dict(inputs={"pos": "vector", "x": "invariant"}, layers="mp.layers.*", batching="concat", basis="e3nn", lmax=3)
report = eq.audit(model, data, outputs={"output": "1x0e+1x1o+1x1e"}, degree=8, progress=False, **asked)
audits = {"points": report}


def turned(g):
    moved = [{"pos": d["pos"] @ torch.tensor(g).T, "x": d["x"], "batch": torch.zeros(5).long()} for d in data]
    return {"output": [model(system) for system in moved]}


by_hand = {"points": turned}
pictures = {"layers": report.plot("layers")}
