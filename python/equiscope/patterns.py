"""Glob patterns on qualified names: ``*`` stays within one level and before a colon, ``**`` crosses levels.

What is in quotes is part of one level.
"""

from __future__ import annotations

import functools
import re

WILD = {"**": ".*", "*": r"""(?:'[^']*'|"[^"]*"|[^.:])*""", "?": r"[^.:]"}

TAIL = re.compile(r"""(\[('[^']*'|"[^"]*"|[^\]]*)\])*(#\d+)?""")
"""What follows the name of a place in the name of a tensor: where the tensor lay, and in which call."""


@functools.lru_cache(maxsize=4096)
def stem(leaf: str) -> str:
    """The place alone in the name of a tensor."""
    return re.sub(rf"{TAIL.pattern}$", "", leaf, count=1)


def fits(pattern: str, name: str) -> bool:
    """Whether the whole of `name` fits: ``encoder.*`` is encoder.0, encoder.1; ``encoder.**`` all below encoder."""
    return _compiled(pattern).fullmatch(name) is not None


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    return re.compile("".join(WILD.get(part, re.escape(part)) for part in parts))
