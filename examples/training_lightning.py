"""Under Lightning the tracker of symmetry over training is a callback of the trainer (pip install lightning)."""

import lightning
import torch

import equiscope as eq


class Network(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(15, 64), torch.nn.SiLU(), torch.nn.Linear(64, 4))

    def forward(self, points):
        return dict(zip(("size", "dipole"), self.net(points.flatten(1)).split((1, 3), 1), strict=True))

    def training_step(self, points):
        size, dipole = points.square().mean((1, 2)), torch.tensor([1.0, -1, 2, 0, -2]) @ points
        return (self.net(points.flatten(1)) - torch.cat([size[:, None], dipole], 1)).square().mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 3e-3)


model, held_out = Network(), [{"points": x} for x in torch.randn(2, 5, 3)]
kinds = dict(inputs={"points": "vector"}, outputs={"size": "scalar", "dipole": "vector"}, layers="net.*")
tracker = eq.training.SymmetryTracker(held_out, **kinds, budget=None, out="history")  # None: this run is short
trainer = lightning.Trainer(max_epochs=4, callbacks=[tracker.callback()], enable_checkpointing=False, logger=False)
trainer.fit(model, torch.utils.data.DataLoader(torch.randn(6400, 5, 3), batch_size=64))
report = tracker.history.points[-1].audit  # the last of those on history/index.html
