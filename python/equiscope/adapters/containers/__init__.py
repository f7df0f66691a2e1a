"""Types that data, results and hidden values come in, one file per family: how they are opened and made again."""

import importlib

from .base import Container, container_of, register
from .layout import Layout, opened

# the least known first: they are asked from the last to the first
for _name in ("objects", "mappings", "graphs", "atoms"):
    importlib.import_module(f".{_name}", __name__)

__all__ = ["Container", "Layout", "container_of", "opened", "register"]
