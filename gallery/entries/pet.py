"""PET of metatrain before and after training on electron densities of atoms, l = 0 to 4: the weights of the study."""

import torch
from ase.build import molecule
from gallery.density import CHIRAL, DENSITY, pet

import equiscope as eq

TITLE, PACKAGES, LAYERS = "PET before and after training", ("metatrain",), ("untrained", "trained")
outputs = DENSITY | CHIRAL
models = {"untrained": pet(None), "trained": pet("density-o3-linear")}
data = []
for name in ("HCOOH", "HCF3", "H2CCHCN"):  # not trained on
    atoms = molecule(name)
    atoms.rattle(0.08, seed=1)
    data.append((name, {"positions": torch.tensor(atoms.positions).float(), "numbers": torch.tensor(atoms.numbers)}))
layers = ["backend.gnn_layers.*.edge_embedder", "backend.gnn_layers.*.trans.layers.*"]
asked = dict(inputs={"positions": "vector"}, basis="standard", batching="concat", lmax=4, degree=8, batch_rows=2048)
asked |= dict(outputs=outputs, layers=layers, progress=False)
audits = {name: eq.audit(model, data, **asked) for name, model in models.items()}


def turned(model, g):
    told = [model((d["positions"].double() @ torch.tensor(g).T).float(), d["numbers"]) for _, d in data]
    return {name: [values[name] for values in told] for name in outputs}


by_hand = {name: lambda g, model=model: turned(model, g) for name, model in models.items()}
pictures = {"errors": eq.compare(audits).plot("errors"), "layers": audits["trained"].plot("layers")}
