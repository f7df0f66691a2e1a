"""SE(3)-Transformer of se3-transformer-pytorch: exact under rotations, and no model of parity."""

import torch
from se3_transformer_pytorch import SE3Transformer

import equiscope as eq

torch.manual_seed(0)
sizes = {"dim": 4, "heads": 1, "depth": 1, "dim_head": 4, "num_neighbors": 3, "num_degrees": 2, "output_degrees": 2}
model = SE3Transformer(num_tokens=5, **sizes)
mask = torch.ones(5, dtype=torch.bool)
data = [{"feats": torch.randint(5, (5,)), "coors": torch.randn(5, 3), "mask": mask} for _ in range(2)]
report = eq.audit(
    model,
    data,
    inputs={"coors": "vector"},
    outputs={"0": "scalar", "1": "vector"},
    lmax=2,
)
print(report)
