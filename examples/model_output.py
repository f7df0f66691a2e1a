"""A model in the manner of transformers, whose result is a ModelOutput: values are named by their place in it."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput

import equiscope as eq


@dataclass
class Output(ModelOutput):
    logits: torch.Tensor = None
    hidden_states: tuple = None


class Net(torch.nn.Sequential):
    def forward(self, points):
        hidden = self[0](points).tanh()
        return Output(logits=self[1](hidden).sum(1), hidden_states=(points, hidden))


torch.manual_seed(0)
model, clouds = Net(torch.nn.Linear(3, 8), torch.nn.Linear(8, 2)), [{"points": torch.randn(4, 3)}]
outputs = {"logits": "scalar", "hidden_states.0": "vector"}
report = eq.audit(model, clouds, inputs={"points": "vector"}, outputs=outputs, layers="*", lmax=4)
print(report)
