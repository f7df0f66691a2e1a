"""Atoms: the PET of metatrain on the electron densities, energies and moments of small molecules."""
