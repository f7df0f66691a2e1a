"""SchNet of PyTorch Geometric: called as model(z, pos, batch), which are the names of what PyG collates."""

import torch
from ase.build import molecule
from torch_geometric.data import Data
from torch_geometric.nn import SchNet

import equiscope as eq


def neighbours(pos, batch):  # in the place of radius_graph, which wants a compiled extension
    distances = (pos[:, None] - pos).norm(dim=-1)
    i, j = ((batch[:, None] == batch) & (distances > 0)).nonzero().T
    return torch.stack([i, j]), distances[i, j]


torch.manual_seed(0)
molecules = [molecule(name) for name in ("H2O", "CH3OH")]
model = SchNet(hidden_channels=32, num_filters=32, num_interactions=2, interaction_graph=neighbours)
report = eq.audit(
    model,
    [Data(z=torch.tensor(atoms.numbers), pos=torch.tensor(atoms.positions).float()) for atoms in molecules],
    inputs={"pos": "vector"},
    outputs={"energy": "scalar"},
    layers="interactions.*",
    lmax=2,
)
print(report)
