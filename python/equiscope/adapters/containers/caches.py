"""What an object keeps of its parts for later: a copy with other parts must make it anew."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

T = TypeVar("T")


def cached(item: Any) -> list[str]:
    """Names of the cached properties that an object holds values of."""
    bases = [vars(base) for base in type(item).__mro__]
    names = getattr(item, "__dict__", ())
    return [name for name in names if any(isinstance(base.get(name), functools.cached_property) for base in bases)]


def without_caches(item: T) -> T:
    """`item` itself, which holds no such value any more."""
    for name in cached(item):
        del item.__dict__[name]
    return item
