"""MACE with fresh weights: made in double precision, and made in single precision and brought to double afterwards."""

import numpy as np
import torch
from e3nn.o3 import Irreps
from gallery.standard import audited
from mace.calculators import MACECalculator
from mace.modules import ScaleShiftMACE, interaction_classes

TITLE, PACKAGES = "MACE, fresh weights", ("mace-torch", "e3nn")
block = interaction_classes["RealAgnosticResidualInteractionBlock"]
elements = [1, 6, 8, 11, 14, 17, 26]


def made(dtype):
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    sizes = dict(r_max=4.0, num_bessel=4, num_polynomial_cutoff=5, max_ell=2, num_interactions=2, correlation=2)
    irreps = dict(hidden_irreps=Irreps("8x0e+8x1o"), MLP_irreps=Irreps("8x0e"), gate=torch.nn.functional.silu)
    shift = dict(atomic_energies=np.zeros(7), avg_num_neighbors=9, atomic_inter_scale=1.0, atomic_inter_shift=0.0)
    kinds = dict(interaction_cls=block, interaction_cls_first=block, num_elements=7, atomic_numbers=elements)
    model = ScaleShiftMACE(**sizes, **irreps, **shift, **kinds).double()
    return MACECalculator(models=model, device="cpu", default_dtype="float64")


outputs = {"molecules": ("energy", "forces"), "crystals": ("energy", "forces", "stress")}
audits, by_hand = audited(made(torch.float64), outputs)
late, late_by_hand = audited(made(torch.float32), {"molecules": ("energy", "forces")})
audits["molecules, constants of single precision"] = late["molecules"]
by_hand["molecules, constants of single precision"] = late_by_hand["molecules"]
