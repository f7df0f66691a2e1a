"""The gated network of e3nn: it takes one dict, and batch among it; its layers say their irreps themselves."""

import torch
from e3nn.nn.models.v2106.gate_points_networks import SimpleNetwork

import equiscope as eq

torch.manual_seed(0)
model = SimpleNetwork("3x0e", "1x0e+1x1o", max_radius=3.0, num_neighbors=4.0, num_nodes=4.0, mul=4, layers=1)
data = [{"pos": torch.randn(5, 3), "x": torch.randn(5, 3)} for _ in range(2)]
report = eq.audit(
    model,
    data,
    inputs={"pos": "vector", "x": "invariant"},
    outputs={"output": "1x0e+1x1o"},
    layers="mp.layers.*",
    batching="concat",
    basis="e3nn",
    lmax=2,
)
print(report)
