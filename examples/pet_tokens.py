"""PET of metatrain with random weights: an energy, and the tokens of nodes and edges at every block."""

import torch
from ase.build import molecule
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info

import equiscope as eq

torch.manual_seed(0)
hypers = get_default_hypers("pet")["model"]
hypers |= dict(d_pet=16, d_head=16, d_node=16, d_feedforward=16, num_heads=2, num_attention_layers=1)
energy = get_energy_target_info("energy", {"quantity": "energy", "unit": "eV"})
info = DatasetInfo(length_unit="angstrom", atomic_types=[1, 6, 8], targets={"energy": energy})
exported = PET(hypers, info).to(torch.float64).export()
report = eq.audit(
    exported,
    [molecule(name) for name in ("H2O", "CH3CH2OH")],
    outputs=["energy"],
    layers="backend.gnn_layers.**",
    lmax=4,
)
print(report)
