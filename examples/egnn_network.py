"""EGNN of egnn-pytorch: inputs by keyword, a tuple of node features and coordinates back."""

import torch
from egnn_pytorch import EGNN_Network

import equiscope as eq

torch.manual_seed(0)
model = EGNN_Network(num_tokens=5, dim=16, depth=2, num_nearest_neighbors=4)
data = [{"feats": torch.randint(5, (6,)), "coors": torch.randn(6, 3)} for _ in range(2)]
report = eq.audit(
    model,
    data,
    inputs={"coors": "vector"},
    outputs={"0": "scalar", "1": "vector"},
    layers="layers.**",
    lmax=2,
)
print(report)
