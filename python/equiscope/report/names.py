"""Names of modules as they are shown: what they share is said once, and what lies in one block stands together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from .format import quote

LONG = 24
"""Letters of the longest name from which the part that most of them share is said once."""

_COMPONENT = re.compile(r"(?:^|\.)(?:[^.\[]|\[(?:'[^']*'|[^\]'])*\]?)+")
_BLOCK = re.compile(r"(\.*(?:[^.\[]+\.)*?\d+)(?=[.\[])")


@dataclass(frozen=True)
class Shown:
    """A name as it is shown."""

    name: str
    text: str
    """In its place: short, and no other name's."""
    block: str = ""
    """The part of `text` that it shares with its neighbours; empty where it stands alone."""

    @property
    def inner(self) -> str:
        """What is left of `text` below the heading `block`; of the block itself, its name."""
        return self.text[len(self.block) :].removeprefix(".") or self.text if self.block else self.text


class Names:
    """The names of all layers of an audit, in order of execution.

    Long names are written as Python writes relative imports. One dot stands for `prefix`, the module in which most of
    them lie, two for the module that this lies in, and so on: below ``model.stack.blocks``, ``.0.norm`` is
    ``model.stack.blocks.0.norm``, and ``..embed`` is ``model.stack.embed``. So two names never look the same.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(dict.fromkeys(names))
        self.prefix = _prefix(self._names)
        """Empty where names are short or have nothing in common: then all stand whole."""

    def __getitem__(self, name: str) -> Shown:
        """How `name` is shown; whole, where it is no name of a layer."""
        return self._shown.get(name, Shown(name, name))

    def groups(self) -> list[tuple[str, list[Shown]]]:
        """Neighbours in one block, such as the modules of ``blocks.0``, each with the heading of the block; the
        heading is empty over those that stand alone."""
        found = [self._shown[name] for name in self._names]
        return [(block, list(rows)) for block, rows in itertools.groupby(found, key=lambda row: row.block)]

    @property
    def statement(self) -> str:
        """What a reader is told of the names; empty where they are whole."""
        if not self.prefix:
            return ""
        above = any(row.text.startswith("..") for row in self._shown.values())
        more = ", two dots for the module above it, and so on" if above else ""
        return f"In names of layers a leading dot stands for {quote(self.prefix)}{more}."

    @cached_property
    def _shown(self) -> dict[str, Shown]:
        texts = {name: _relative(name, self.prefix) for name in self._names}
        blocks = {name: _block(text) for name, text in texts.items()}
        headings = set(blocks.values())
        own = {name: text if text in headings else blocks[name] for name, text in texts.items()}
        several = {block for block, rows in itertools.groupby(own.values()) if len(list(rows)) > 1}
        return {name: Shown(name, text, own[name] if own[name] in several else "") for name, text in texts.items()}


def _components(name: str) -> list[str]:
    """``a.b['x.y'].c`` as ``a``, ``.b['x.y']``, ``.c``: joined, the name."""
    found = _COMPONENT.findall(name)
    return found if "".join(found) == name else [name]


def _parents(name: str) -> list[str]:
    """Modules that `name` lies in, the innermost first; what is in brackets is an output of the module before them."""
    parts = _components(name)
    module, bracket, _ = parts[-1].partition("[")
    own = ["".join([*parts[:-1], module])] if bracket and module else []
    return own + ["".join(parts[:k]) for k in range(len(parts) - 1, 0, -1)]


def _prefix(names: Sequence[str]) -> str:
    """The module from which the names are shortest to write."""
    # a name with a dot too many would be read as a relative one
    if len(names) < 2 or max(map(len, names)) <= LONG or any(re.search(r"^\.|\.\.", name) for name in names):
        return ""
    candidates = dict.fromkeys(parent for name in names for parent in _parents(name) if "[" not in parent)
    # a module counts only where several lie below it: each of many candidates is weighed against all names
    below = {each: sum(name.startswith((f"{each}.", f"{each}[")) for name in names) for each in candidates}
    common = [each for each, count in below.items() if 2 * count > len(names)]
    lengths = {each: sum(len(_relative(name, each)) for name in names) for each in common}
    return min(lengths, key=lengths.__getitem__, default="")


def _relative(name: str, prefix: str) -> str:
    """`name` as seen from the module `prefix`; whole, where they have nothing in common."""
    if not prefix:
        return name
    parts = _components(prefix)
    for up in range(len(parts)):
        above = "".join(parts[: len(parts) - up])
        if name == above or name.startswith((f"{above}.", f"{above}[")):
            return "." * (up + 1) + name[len(above) :].removeprefix(".")
    return name


def _block(text: str) -> str:
    found = _BLOCK.match(text)
    return found[1] if found else ""
