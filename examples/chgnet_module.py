"""CHGNet as a torch module: a list of crystal graphs in, lists of values out, gradients taken in forward."""

from ase.build import bulk
from chgnet.model import CHGNet
from pymatgen.io.ase import AseAtomsAdaptor

import equiscope as eq

crystal = bulk("NaCl", "rocksalt", 5.64)
crystal.rattle(0.1, seed=1)
model = CHGNet.load(use_device="cpu", verbose=False)
report = eq.audit(
    model,
    [model.graph_converter(AseAtomsAdaptor.get_structure(crystal))],
    inputs={"lattice": "vector", "atom_frac_coord": "invariant", "*": "invariant"},  # nor do images of atoms turn
    outputs={"e": "scalar", "f": "vector", "s": "tensor", "m": "scalar"},
    layers="atom_conv_layers.*",
    batching=list,
    call=lambda model, graphs: model(graphs, task="efsm"),
    lmax=2,
)
print(report)
