"""Symmetrised models: the average of any model over a group, with its spread beside it."""

from .module import Averaged, SymmetrizedModule
from .symmetrize import symmetrize

__all__ = ["Averaged", "SymmetrizedModule", "symmetrize"]
