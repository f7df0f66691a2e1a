"""Types that data, results and hidden values come in, one file per family: how they are opened and made again."""

from ..registry import import_modules
from . import objects  # first: types are asked from the last registered to the first, and this is the least known
from .base import Container, container_of, register
from .layout import Layout, opened

import_modules(__path__, __name__)

__all__ = ["Container", "Layout", "container_of", "objects", "opened", "register"]
