"""Symmetrised models: the average of any model over a group, with its spread beside it."""

from .entry import symmetrize
from .module import Averaged, SymmetrizedModule

__all__ = ["Averaged", "SymmetrizedModule", "symmetrize"]
