"""EMT of ASE, on a molecule and a crystal: a property that some structures lack, stress, is measured on the others."""

from ase.build import bulk, molecule
from ase.calculators.emt import EMT

import equiscope as eq

structures = [molecule("CO"), bulk("Cu")]
for atoms in structures:
    atoms.rattle(0.1, seed=1)
report = eq.audit(EMT(), structures, estimator="monte-carlo", rotations=64, lmax=1)
print(report)
