"""Equiformer of equiformer-pytorch: a constant beside the tensors, a named tuple back."""

import torch
from equiformer_pytorch import Equiformer

import equiscope as eq

torch.manual_seed(0)
real = {"mask": torch.ones(6, dtype=torch.bool), "return_pooled": False}
model = Equiformer(num_tokens=5, dim=(8, 4), dim_head=(8, 4), heads=(2, 2), num_degrees=2, depth=1, num_neighbors=4)
data = [{"inputs": torch.randint(5, (6,)), "coors": torch.randn(6, 3), **real} for _ in range(2)]
report = eq.audit(
    model,
    data,
    inputs={"coors": "vector"},
    outputs={"type0": "scalar", "type1": "vector"},
    lmax=2,
)
print(report)
