"""SevenNet-0 as a calculator of ASE: nothing to declare. It respects rotations, and was built without parity."""

from ase.build import molecule
from sevenn.calculator import SevenNetCalculator

import equiscope as eq

ethanol = molecule("CH3CH2OH")
ethanol.rattle(0.1, seed=1)
calculator = SevenNetCalculator("7net-0", device="cpu")
report = eq.audit(calculator, ethanol, outputs=["energy", "forces"], estimator="monte-carlo", rotations=100)
print(report)
