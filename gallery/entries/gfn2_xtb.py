"""GFN2-xTB of tblite: a quantum-mechanical method, of which only its results are seen."""

from gallery.standard import audited
from tblite.ase import TBLite

TITLE, PACKAGES, PUBLISHED = "GFN2-xTB (a method, not a network)", ("tblite",), True
outputs = {"molecules": ("energy", "forces", "dipole", "charges")}
audits, by_hand = audited(TBLite(method="GFN2-xTB", verbosity=0), outputs)
