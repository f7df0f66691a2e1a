"""PaiNN of schnetpack, forces derived in forward: its own collation makes the batches."""

# ruff: noqa: E402
import torch
from ase.build import molecule

torch.utils.data.dataloader.T_co = None  # a name that schnetpack 2.1.1 imports and torch 2.13 no longer has
from schnetpack import atomistic, model, nn, representation, transform
from schnetpack.data.loader import _atoms_collate_fn
from schnetpack.interfaces import AtomsConverter

import equiscope as eq

torch.manual_seed(0)
painn = representation.PaiNN(16, 2, radial_basis=nn.GaussianRBF(8, cutoff=5.0), cutoff_fn=nn.CosineCutoff(5.0))
heads = [atomistic.Atomwise(16, output_key="energy"), atomistic.Forces()]
potential = model.NeuralNetworkPotential(painn, [atomistic.PairwiseDistances()], heads)
convert = AtomsConverter(neighbor_list=transform.ASENeighborList(cutoff=5.0), dtype=torch.float32)
report = eq.audit(
    potential,
    [convert(molecule(name)) for name in ("H2O", "CH3OH")],
    inputs={"_positions": "vector", "_offsets": "vector", "_cell": eq.Representation.parse("vector")},  # (1, 3, 3)
    outputs={"energy": "scalar", "forces": "vector"},
    layers="representation.**",
    batching=_atoms_collate_fn,
    lmax=2,
)
print(report)
