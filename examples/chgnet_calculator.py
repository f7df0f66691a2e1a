"""CHGNet as a calculator of ASE: nothing to declare. Its stress turns rightly, and changes sign under inversion."""

from ase.build import bulk
from chgnet.model.dynamics import CHGNetCalculator

import equiscope as eq

crystal = bulk("NaCl", "rocksalt", 5.64)
crystal.rattle(0.1, seed=1)
calculator = CHGNetCalculator(use_device="cpu")
report = eq.audit(calculator, crystal, lmax=1)
print(report)
