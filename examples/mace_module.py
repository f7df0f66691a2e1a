"""A small MACE with random weights as a torch module, with all of its layers: irreps are read off e3nn's modules."""

import numpy as np
import torch
from ase.build import molecule
from e3nn.o3 import Irreps
from mace.data import AtomicData, config_from_atoms
from mace.modules import ScaleShiftMACE, interaction_classes
from mace.tools import AtomicNumberTable

import equiscope as eq

torch.set_default_dtype(torch.float64)  # before the model is made: it keeps the constants of its products
elements, block = AtomicNumberTable([1, 6, 8]), interaction_classes["RealAgnosticResidualInteractionBlock"]
model = ScaleShiftMACE(
    r_max=4.0, num_bessel=4, num_polynomial_cutoff=5, max_ell=2, num_interactions=2, num_elements=3, correlation=2,
    interaction_cls=block, interaction_cls_first=block, hidden_irreps=Irreps("8x0e+8x1o"), MLP_irreps=Irreps("8x0e"),
    gate=torch.nn.functional.silu, atomic_energies=np.zeros(3), atomic_numbers=elements.zs, avg_num_neighbors=5,
    atomic_inter_scale=1.0, atomic_inter_shift=0.0,
)  # fmt: skip
configurations = [config_from_atoms(molecule(name)) for name in ("H2O", "CH3OH")]
data = [AtomicData.from_config(c, z_table=elements, cutoff=4.0) for c in configurations]
vectors = dict.fromkeys(("positions", "shifts", "cell"), "vector")
outputs = {"energy": "scalar", "forces": "vector"}
report = eq.audit(model, data, inputs={**vectors, "*": "invariant"}, outputs=outputs, layers="products.**", lmax=2)
print(report)
