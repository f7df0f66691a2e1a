"""EGNN of egnn-pytorch with fresh weights, with its layers."""

import torch
from egnn_pytorch import EGNN_Network

import equiscope as eq

TITLE, PACKAGES, LAYERS = "EGNN, fresh weights", ("egnn-pytorch",), ("points",)
torch.manual_seed(0)
model = EGNN_Network(num_tokens=5, dim=16, depth=2, num_nearest_neighbors=4)
data = [{"feats": torch.randint(5, (6,)), "coors": torch.randn(6, 3)} for _ in range(2)]
outputs = {"0": "scalar", "1": "vector"}
asked = dict(inputs={"coors": "vector"}, layers=["layers.*.*", "layers.*.1.edge_mlp"], lmax=2, degree=6)
report = eq.audit(model, data, outputs=outputs, progress=False, **asked)
audits = {"points": report}


@torch.no_grad()
def turned(g):
    told = [model(d["feats"][None], (d["coors"].double() @ torch.tensor(g).T).float()[None]) for d in data]
    return {name: [values[int(name)][0] for values in told] for name in outputs}


by_hand = {"points": turned}
