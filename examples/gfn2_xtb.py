"""GFN2-xTB of tblite: self-consistent from where it stood last, so a function makes a calculator for every copy."""

from ase.build import molecule
from tblite.ase import TBLite

import equiscope as eq


def make():
    return TBLite(method="GFN2-xTB", verbosity=0)


ethanol = molecule("CH3CH2OH")
ethanol.rattle(0.05, seed=1)
report = eq.audit(make, ethanol, lmax=1)
print(report)
