"""A graph network of one's own on PyG Data, broken on purpose: its messages see the direction of an edge."""

import torch
from torch_geometric.data import Data

import equiscope as eq


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.edge, self.energy = torch.nn.Linear(4, 16), torch.nn.Linear(16, 1)

    def forward(self, data):
        i, j = data.edge_index
        vectors = data.pos[i] - data.pos[j]
        messages = self.edge(torch.cat([vectors, vectors.norm(dim=1, keepdim=True)], 1)).tanh()
        nodes = torch.zeros(len(data.pos), 16).index_add(0, i, messages)
        forces = torch.zeros_like(data.pos).index_add(0, i, messages.mean(1, keepdim=True) * vectors)
        return torch.zeros(data.num_graphs, 1).index_add(0, data.batch, self.energy(nodes)), forces


torch.manual_seed(0)
model = Net()
graphs = [Data(pos=torch.randn(n, 3), edge_index=(1 - torch.eye(n)).nonzero().T) for n in (4, 6)]
outputs = {"0": "scalar", "1": "vector"}
report = eq.audit(model, graphs, inputs={"pos": "vector"}, outputs=outputs, layers="**", lmax=4)
print(report)
