"""Models and their data, one file per kind. Optional dependencies stay inside the files that need them.

Every module of this folder is imported here, so that an adapter in it registers itself; sub-packages are left alone,
and imported by the light module that opens what is in them.
"""

import importlib
import pkgutil

from .base import Adapter, Kind, Piece, Request, System
from .metatomic_models import is_metatomic
from .plain import PlainAdapter
from .registry import kind_of, register, unregister

for _found in pkgutil.iter_modules(__path__):
    if not _found.ispkg:
        importlib.import_module(f"{__name__}.{_found.name}")

__all__ = [
    "Adapter",
    "Kind",
    "Piece",
    "PlainAdapter",
    "Request",
    "System",
    "is_metatomic",
    "kind_of",
    "register",
    "unregister",
]
