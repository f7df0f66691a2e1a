"""A transformer on padded point clouds: rows of padding are no samples, in outputs and layers alike."""

import torch
from torch import nn

import equiscope as eq


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(3, 16), nn.Linear(16, 3)
        self.blocks = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)

    def forward(self, points, padding):
        return self.head(self.blocks(self.embed(points), src_key_padding_mask=padding))


def padded(n):
    return {"points": torch.cat([torch.randn(n, 3), torch.zeros(8 - n, 3)]), "padding": torch.arange(8) >= n}


torch.manual_seed(0)
model, clouds = Net(), [padded(5), padded(8)]
layers, settings = ["embed", "blocks.layers.*"], {"masks": "~padding", "lmax": 4}
report = eq.audit(model, clouds, inputs={"points": "vector"}, outputs={"moved": "vector"}, layers=layers, **settings)
print(report)
