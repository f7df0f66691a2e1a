"""PET of metatrain before and after training on electron densities of atoms, l = 0 to 4: the weights of the study."""

import torch
from ase.build import molecule
from studies.atoms.density import CHIRAL, DENSITY, SHELLS
from studies.atoms.pet import PetOnTensors
from studies.store import Store

import equiscope as eq

TITLE, PACKAGES, LAYERS = "PET before and after training", ("metatrain",), ("untrained", "trained")
own = {1: (3, 1, 1, 0, 0), **dict.fromkeys((6, 7, 8, 9), (6, *SHELLS[1:])), 16: SHELLS}  # shells of elements, by l
present = {f"l{l}": torch.tensor([[k < own.get(z, SHELLS)[l] for k in range(n)] for z in range(17)])
           for l, n in enumerate(SHELLS)}  # fmt: skip
present |= {name: (torch.arange(17) > 1)[:, None] for name in CHIRAL}
data = {name: molecule(name) for name in ("HCOOH", "HCF3", "H2CCHCN")}  # not trained on
[atoms.rattle(0.08, seed=1) for atoms in data.values()]
models, data = {}, {n: {"positions": torch.tensor(a.positions).float(), "numbers": torch.tensor(a.numbers)} for n, a in data.items()}
for name in ("untrained", "trained"):
    torch.manual_seed(0)
    models[name] = PetOnTensors({"density": DENSITY, "chiral": CHIRAL}, present=present).eval()
state = Store().load_tensors("density-o3-linear", 0)
models["trained"].load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
tokens = ["backend.gnn_layers.*.edge_embedder", "backend.gnn_layers.*.trans.layers.*"]
asked = dict(inputs={"positions": "vector"}, basis="standard", batching="concat", lmax=4, degree=8, batch_rows=2048)
asked |= dict(outputs=DENSITY | CHIRAL, layers=tokens, progress=False)
audits = {name: eq.audit(model, list(data.items()), **asked) for name, model in models.items()}


def turned(model, g):
    told = [model((d["positions"].double() @ torch.tensor(g).T).float(), d["numbers"]) for d in data.values()]
    return {name: [values[name] for values in told] for name in DENSITY | CHIRAL}


by_hand = {name: lambda g, model=model: turned(model, g) for name, model in models.items()}
compared = eq.compare(audits)
pictures = {"errors": compared.plot("errors"), "layers": audits["trained"].plot("layers")}
