"""The estimators that an audit can name: one file each, found by being here."""

from __future__ import annotations

import pkgutil
from importlib import import_module

for _module in sorted(found.name for found in pkgutil.iter_modules(__path__)):
    import_module(f".{_module}", __name__)
