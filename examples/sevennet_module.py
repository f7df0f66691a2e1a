"""SevenNet-0 as a torch module, with its interaction blocks: graphs are PyG Data, which PyG collates."""

from ase.build import molecule
from sevenn.atom_graph_data import AtomGraphData
from sevenn.train.dataload import unlabeled_atoms_to_graph
from sevenn.util import model_from_checkpoint, pretrained_name_to_path

import equiscope as eq

model, _ = model_from_checkpoint(pretrained_name_to_path("7net-0"))
model.set_is_batch_data(True)
molecules = [molecule(name) for name in ("H2O", "CH3OH")]
for atoms in molecules:
    atoms.rattle(0.1, seed=1)
report = eq.audit(
    model,
    [AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, 5.0)) for atoms in molecules],
    inputs={"pos": "vector", "edge_vec": "vector"},
    outputs={"inferred_total_energy": "scalar", "inferred_force": "vector"},
    layers="*_convolution['x']",
    lmax=2,
)
print(report)
