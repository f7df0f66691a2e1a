"""Nested data as a list of named leaves, and how they are put together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch.utils import _pytree

from .base import Container, container_of

DEEPEST = 16
"""Containers within containers that are opened: one that holds itself has no end."""


@dataclass(frozen=True)
class Layout:
    """How leaves lie in nested containers. Equal ones take each other's leaves, whatever objects they came from."""

    spec: Any
    """Of the tuples, lists and dicts of torch's pytree; each leaf of it is a leaf, or a container of another type."""
    inner: tuple[tuple[type[Container], Layout] | None, ...]
    """For each leaf of `spec`: the type that opened it, and the layout of its parts."""
    items: tuple[Any, ...] = field(compare=False)
    """What was opened there; None for a leaf, which is not kept."""

    @property
    def container(self) -> type[Container] | None:
        """The type of the whole, where that is no tuple, list or dict."""
        opened = self.inner[0] if len(self.inner) == 1 and self.spec.is_leaf() else None
        return None if opened is None else opened[0]

    def rebuilt(self, leaves: Sequence[Any]) -> Any:
        """The containers again, with these leaves."""
        return self._rebuilt(iter(leaves))

    def _rebuilt(self, leaves: Iterator[Any]) -> Any:
        values = [
            next(leaves) if opened is None else opened[0].rebuilt(item, opened[1]._rebuilt(leaves))
            for opened, item in zip(self.inner, self.items, strict=True)
        ]
        return _pytree.tree_unflatten(values, self.spec)


def opened(value: Any, depth: int = 0) -> tuple[list[tuple[str, Any]], Layout]:
    """Names and leaves of nested containers, keys joined by dots, "" for a bare leaf; and their layout."""
    paths, spec = _pytree.tree_flatten_with_path(value, is_leaf=lambda item: container_of(item) is not None)
    named: list[tuple[str, Any]] = []
    inner: list[tuple[type[Container], Layout] | None] = []
    for path, leaf in paths:
        key = ".".join(part for entry in path if (part := _entry(entry)))
        container = container_of(leaf) if depth < DEEPEST else None
        if container is None:
            inner.append(None)
            named.append((key, leaf))
            continue
        parts, layout = opened(dict(container.parts(leaf)), depth + 1)
        inner.append((container, layout))
        named += [(f"{key}.{name}" if key else name, part) for name, part in parts]
    items = [None if kind is None else leaf for kind, (_, leaf) in zip(inner, paths, strict=True)]
    return named, Layout(spec, tuple(inner), tuple(items))


def _entry(entry: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return ""
