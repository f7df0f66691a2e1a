"""Models and their data, one file per kind. Optional dependencies stay inside the files that need them."""

from .base import Adapter, Kind, Piece, Request, System
from .calculators import CalculatorAdapter
from .metatomic_models import is_metatomic
from .plain import PlainAdapter
from .registry import import_modules, kind_of, register, unregister
from .rounding import rounded

import_modules(__path__, __name__)

__all__ = [
    "Adapter",
    "CalculatorAdapter",
    "Kind",
    "Piece",
    "PlainAdapter",
    "Request",
    "System",
    "is_metatomic",
    "kind_of",
    "register",
    "rounded",
    "unregister",
]
