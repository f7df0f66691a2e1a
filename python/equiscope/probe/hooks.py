"""Captures what hidden modules return, by name pattern, with hooks that are always removed."""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils import _pytree
from torch.utils.hooks import RemovableHandle

from ..errors import ArgumentError, ModelError


def leaf_name(prefix: str, path: Sequence[Any]) -> str:
    """Name of one tensor inside a nested output: ``prefix['attention'][0]``; `prefix` itself at the root."""
    return prefix + _pytree.keystr(tuple(path))


def matching_modules(module: torch.nn.Module, patterns: Sequence[str]) -> list[str]:
    """Qualified names that fit any pattern, in order of definition.

    ``*`` stays within one level of the hierarchy, ``**`` crosses levels: ``encoder.*`` is encoder.0, encoder.1, ...;
    ``encoder.**`` is every module below encoder.
    """
    names = [name for name, _ in module.named_modules() if name]
    found: set[str] = set()
    for pattern in patterns:
        regex = re.compile(_translate(pattern))
        hits = {name for name in names if regex.fullmatch(name)}
        if not hits:
            near = difflib.get_close_matches(pattern.replace("*", ""), names, n=5, cutoff=0.3) or names[:8]
            raise ArgumentError(
                f"layers: expected patterns that fit a module, got {pattern!r}, which fits none of the "
                f"{len(names)} modules (nearest: {', '.join(near) or 'none'})"
            )
        found |= hits
    return [name for name in names if name in found]


def _translate(pattern: str) -> str:
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    wild = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    return "".join(wild.get(part, re.escape(part)) for part in parts)


class Capture:
    """Context manager: while open, every call of a matching module leaves its floating-point outputs here.

    A module that is called several times in one forward pass gives ``name``, ``name#2``, ...; nested outputs give one
    entry per tensor (`leaf_name`). Values are references until a model is seen to overwrite one in place
    (`overwritten`); from then on that one is copied.

    Calls are heard in the thread that opened it alone: others may use the module for work of their own, or run parts of
    one forward pass side by side, whose order says nothing of the copies. `elsewhere` names what was called there.
    """

    def __init__(self, module: torch.nn.Module, names: Sequence[str]) -> None:
        self._module = module
        self.names = tuple(names)
        self._handles: list[RemovableHandle] = []
        self._thread = 0
        self.elsewhere: set[str] = set()
        """Modules that were called in other threads."""
        self._seen: list[tuple[str, torch.Tensor, int]] = []
        self._copied: set[str] = set()
        self._overwritten = False

    def __enter__(self) -> Capture:
        self._thread = threading.get_ident()
        modules = dict(self._module.named_modules())
        for name in self.names:
            self._handles.append(modules[name].register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._seen.clear()

    def _hook(self, module_name: str) -> Callable[[torch.nn.Module, Any, Any], None]:
        def record(_module: torch.nn.Module, _args: Any, output: Any) -> None:
            if threading.get_ident() != self._thread:
                self.elsewhere.add(module_name)
                return
            for path, leaf in _pytree.tree_flatten_with_path(output)[0]:
                if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
                    name = leaf_name(module_name, path)
                    value = leaf.detach().clone() if name in self._copied else leaf.detach()
                    self._seen.append((name, value, value._version))

        return record

    def clear(self) -> None:
        """Forget what was left by a call that did not end, or that was not made by the audit."""
        self._seen.clear()

    def take(self, calls_per_forward: int = 1) -> dict[str, torch.Tensor]:
        """What was captured since the last call, in order of execution.

        With ``calls_per_forward > 1`` (one call of the model per copy) the calls of each copy are stacked.
        """
        groups: dict[str, list[torch.Tensor]] = {}
        for name, value, version in self._seen:
            if value._version != version:
                self._copied.add(name)
                self._overwritten = True
            groups.setdefault(name, []).append(value)
        self._seen.clear()
        captured: dict[str, torch.Tensor] = {}
        for name, tensors in groups.items():
            repeats = max(1, len(tensors) // calls_per_forward)
            for k in range(repeats):
                own = tensors[k::repeats]
                value = own[0]
                if calls_per_forward > 1:
                    if len({t.shape for t in own}) > 1:
                        raise ModelError(f"{name}: expected one shape for every copy, got {[*{t.shape for t in own}]}")
                    value = torch.stack(own)
                captured[name if k == 0 else f"{name}#{k + 1}"] = value
        return captured

    def overwritten(self) -> bool:
        """Whether the last `take` held values that the model had already overwritten: evaluate again."""
        overwritten, self._overwritten = self._overwritten, False
        return overwritten
