"""The particle transformer of the study, before and after training with O(3) augmentation: classes of points."""

import torch
from studies.particles.clouds import clouds
from studies.particles.events import Detector, generate
from studies.particles.examine import asked
from studies.particles.model import Segmenter
from studies.store import Store

import equiscope as eq

TITLE, PACKAGES, LAYERS = "Particle transformer of the study", (), ("untrained", "trained under O(3)")
torch.manual_seed(0)
models = {name: Segmenter().eval() for name in LAYERS}
models[LAYERS[1]].load_state_dict(Store().load_tensors("particles-o3", 0))
events = clouds(generate(2, 20_001, Detector()), Detector())  # held out
data = [{name: d[name] for name in ("points", "energy", "mask")} for d in events.systems()]
settings = asked(lmax=3) | {"outputs": {"logits": "scalar"}, "targets": None, "progress": False}
audits = {name: eq.audit(model, data, **settings) for name, model in models.items()}


@torch.no_grad()
def turned(model, g):
    moved = [(d["points"].double() @ torch.tensor(g).T).float()[None] for d in data]
    told = [model(x, d["energy"][None], d["mask"][None]) for x, d in zip(moved, data, strict=True)]
    return {"logits": [values["logits"][0] for values in told]}


by_hand = {name: lambda g, model=model: turned(model, g) for name, model in models.items()}
pictures = {"layers": audits[LAYERS[1]].plot("layers")}
