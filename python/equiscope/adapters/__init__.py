"""One file per kind of model or data. Optional dependencies are imported inside the file that needs them."""

from .base import Adapter, Piece, System
from .plain import PlainAdapter
from .select import is_metatomic

__all__ = ["Adapter", "Piece", "PlainAdapter", "System", "is_metatomic"]
