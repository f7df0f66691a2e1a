"""SevenNet-0 as a calculator of ASE: nothing to declare. It respects rotations, and was built without parity."""

from ase.build import bulk
from sevenn.calculator import SevenNetCalculator

import equiscope as eq

crystal = bulk("NaCl", "rocksalt", 5.64)
crystal.rattle(0.1, seed=1)
calculator = SevenNetCalculator("7net-0", device="cpu")
report = eq.audit(calculator, crystal, estimator="monte-carlo", rotations=100, lmax=1)
print(report)
