"""A jet tagger on four-momenta (E, px, py, pz), built on pT, eta and phi about the jet: exact about the beam alone."""

import torch

import equiscope as eq


class Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.phi = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.GELU(), torch.nn.Linear(32, 32))
        self.head = torch.nn.Linear(32, 2)

    def forward(self, p4):
        x, y, z = p4[..., 1:].unbind(-1)
        axis = torch.atan2(y.sum(-1, keepdim=True), x.sum(-1, keepdim=True))
        away = torch.atan2(y, x) - axis
        pt = torch.hypot(x, y)
        seen = torch.stack([pt.log1p(), torch.asinh(z / pt), torch.atan2(away.sin(), away.cos())], -1)
        return self.head(self.phi(seen).sum(-2))


torch.manual_seed(0)
model, momenta = Tagger(), [torch.randn(n, 3) + torch.tensor([5.0, 2.0, 3.0]) for n in (8, 12)]
jets = [{"p4": torch.cat([p.norm(dim=1, keepdim=True), p], 1)} for p in momenta]
asked = {"inputs": {"p4": "scalar+vector"}, "outputs": {"logits": "scalar"}, "layers": "phi.*", "lmax": 4}
beam = eq.audit(model, jets, group="SO2", **asked)
report = eq.audit(model, jets, **asked)
print(beam, report, sep="\n\n")
