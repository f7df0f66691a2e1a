"""A network without symmetry learns it from turned examples: its errors and irreps, from the untrained model on."""

import torch

import equiscope as eq


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(15, 64), torch.nn.SiLU())
        self.size, self.dipole = torch.nn.Linear(64, 1), torch.nn.Linear(64, 3)

    def forward(self, points):
        hidden = self.layers(points)
        return {"size": self.size(hidden)[:, 0], "dipole": self.dipole(hidden)}


model, held_out = Network(), [{"points": x} for x in torch.randn(2, 5, 3)]
optimiser = torch.optim.Adam(model.parameters(), 3e-3)
kinds = dict(inputs={"points": "vector"}, outputs={"size": "scalar", "dipole": "vector"}, layers="layers.*")
tracker = eq.training.SymmetryTracker(held_out, **kinds, budget=None, out="history")  # None: this run is short
for n in range(300):
    tracker.step(model, n)
    points = torch.randn(64, 5, 3)  # Gaussian, so in every orientation
    size, dipole, found = points.square().mean((1, 2)), torch.tensor([1.0, -1, 2, 0, -2]) @ points, model(points)
    loss = (found["size"] - size).square().mean() + (found["dipole"] - dipole).square().mean()
    optimiser.zero_grad(), loss.backward(), optimiser.step()
report = tracker.finish(model, 300).points[-1].audit  # the last of those on history/index.html
