"""GFN2-xTB of tblite: a quantum-mechanical method, of which only its results are seen."""

from tblite.ase import TBLite

from gallery.standard import audited

TITLE, PACKAGES, PUBLISHED = "GFN2-xTB (a method, not a network)", ("tblite",), True
outputs = {"molecules": ("energy", "forces", "dipole", "charges")}
audits, by_hand = audited(lambda: TBLite(method="GFN2-xTB", verbosity=0), outputs)
