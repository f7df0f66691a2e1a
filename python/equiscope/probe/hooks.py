"""Captures what hidden modules return, by name pattern, with hooks that are always removed."""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from ..errors import ArgumentError
from .leaves import is_index, leaves, module_of, rows_of


def modules_by_name(module: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """All modules by all of their names: one that stands in two places has two."""
    return dict(module.named_modules(remove_duplicate=False))


def matching_modules(module: torch.nn.Module, patterns: Sequence[str]) -> list[str]:
    """Qualified names that fit any pattern, in order of definition; of a module that has several, each that fits.

    ``*`` stays within one level of the hierarchy, ``**`` crosses levels: ``encoder.*`` is encoder.0, encoder.1, ...;
    ``encoder.**`` is every module below encoder.
    """
    names = [name for name in modules_by_name(module) if name]
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


@dataclass(frozen=True)
class _Seen:
    name: str
    value: torch.Tensor
    version: int | None
    """Of the tensor when it was seen; None for a copy, which nobody else can write to."""


class Capture:
    """Context manager: while open, every call of a matching module leaves its floating-point outputs here.

    A module that is called several times in one forward pass gives ``name``, ``name#2``, ...; nested outputs give one
    entry per tensor (`leaves`). Values are references until a model is seen to overwrite one in place
    (`overwritten`); from then on that one is copied. With `copy` all are, at once: for a model that is called many
    times before `take`, and may use a buffer again in ways that torch does not see. `notes` names what could not be
    captured.

    Calls are heard in the thread that opened it alone: others may use the module for work of their own, or run parts of
    one forward pass side by side, whose order says nothing of the copies. `elsewhere` names what was called there.
    """

    def __init__(self, module: torch.nn.Module, names: Sequence[str], *, copy: bool = False) -> None:
        self._module = module
        self.names = tuple(names)
        self._copy = copy
        self._handles: list[RemovableHandle] = []
        self._thread = 0
        self.elsewhere: set[str] = set()
        """Modules that were called in other threads."""
        self._seen: list[_Seen] = []
        self._copied: set[str] = set()
        self._overwritten = False
        self._heard: set[str] = set()
        self._known: set[str] | None = None
        self._left_out: dict[str, str] = {}

    def __enter__(self) -> Capture:
        self._thread = threading.get_ident()
        modules = modules_by_name(self._module)
        deaf = dict(_unhearable(modules))
        first: dict[int, str] = {}
        for name in self.names:
            module = modules[name]
            if name in deaf:
                self._left_out[name] = deaf[name]
            elif id(module) in first:
                self._left_out[name] = f"it is the same module as {first[id(module)]}, where its calls are counted"
            else:
                first[id(module)] = name
                self._handles.append(module.register_forward_hook(self._hook(name)))
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
            self._heard.add(module_name)
            found = [(name, leaf, rows_of(leaf)) for name, leaf in leaves(module_name, output)]
            if not found:
                self._left_out.setdefault(module_name, "it returned no numbers")
            some = any(isinstance(rows, torch.Tensor) for _, _, rows in found)
            for name, leaf, rows in found:
                if isinstance(rows, torch.Tensor):
                    self._seen.append(self._kept(name, rows))
                elif not (some and is_index(leaf)):
                    self._left_out.setdefault(name, rows)

        return record

    def _kept(self, name: str, value: torch.Tensor) -> _Seen:
        value = value.detach()
        # inference tensors have no version that would tell of writes
        if not (self._copy or name in self._copied or value.is_inference()):
            return _Seen(name, value, value._version)
        with torch.inference_mode(False):
            return _Seen(name, value.clone(), None)

    def clear(self) -> None:
        """Forget what was left by a call that did not end, or that was not made by the audit."""
        self._seen.clear()

    def take(self, calls: int | None = None) -> dict[str, torch.Tensor]:
        """What was captured since the last call, in order of execution.

        Where the model was called once per copy, `calls` of them, their tensors are stacked. A tensor that does not
        come every time, alike for every copy, is left out from then on.
        """
        calls_per_forward = 1 if calls is None else calls
        groups: dict[str, list[torch.Tensor]] = {}
        for seen in self._seen:
            if seen.version is not None and seen.value._version != seen.version:
                self._copied.add(seen.name)
                self._overwritten = True
            groups.setdefault(seen.name, []).append(seen.value)
        self._seen.clear()
        captured: dict[str, torch.Tensor] = {}
        for name, tensors in groups.items():
            repeats = len(tensors) // calls_per_forward
            if len(tensors) % calls_per_forward:
                self._left_out[name] = f"it came {len(tensors)} times in {calls_per_forward} calls of the model"
            for k in range(0 if name in self._left_out else repeats):
                own = tensors[k::repeats]
                leaf = name if k == 0 else f"{name}#{k + 1}"
                if len({tensor.shape for tensor in own}) > 1:
                    self._left_out[leaf] = "its shape differs from copy to copy"
                else:
                    captured[leaf] = own[0] if calls is None else torch.stack(own)
        return {name: value for name, value in self._steady(captured) if name not in self._left_out}

    def _steady(self, captured: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """All of `captured`, after what did not come every time was noted."""
        if self._known is None:
            self._known = set(captured)
        for name in self._known ^ set(captured):
            self._left_out.setdefault(name, "its module is not called the same number of times in every batch")
        return iter(captured.items())

    def overwritten(self) -> bool:
        """Whether the last `take` held values that the model had already overwritten: evaluate again."""
        overwritten, self._overwritten = self._overwritten, False
        return overwritten

    def _stands_for_others(self, name: str) -> bool:
        """A list or dict of modules, which nobody calls, beside what is in it."""
        held = modules_by_name(self._module)[name]
        return isinstance(held, torch.nn.ModuleList | torch.nn.ModuleDict) and any(
            other.startswith(f"{name}.") for other in self.names
        )

    def notes(self) -> dict[str, str]:
        """Modules and tensors that were asked for and are left out, each with the reason, in order of the model."""
        silent = {
            name: "its module was never called"
            if name not in self.elsewhere
            else "its module is called in other threads than the audit's"
            for name in self.names
            if name not in self._heard and name not in self._left_out and not self._stands_for_others(name)
        }
        found = {**self._left_out, **silent}
        order = {name: index for index, name in enumerate(self.names)}
        return dict(sorted(found.items(), key=lambda item: order.get(module_of(item[0], self.names) or "", -1)))


def _unhearable(modules: dict[str, torch.nn.Module]) -> Iterator[tuple[str, str]]:
    """Modules whose calls no hook hears, with the reason."""
    for name, module in modules.items():
        above = [modules[name[:end]] for end in (0, *(i for i, c in enumerate(name) if c == "."))] if name else []
        if any(isinstance(part, torch.jit.ScriptModule) for part in above) or _scripted(module):
            yield name, "it is TorchScript, whose calls cannot be heard; audit the Python module it was made from"
        elif any(_compiled(part) or _is_wrapper(part) for part in above) or _compiled(module):
            yield name, "it is compiled, and its calls cannot be heard; audit the module as it was before torch.compile"


def _scripted(module: torch.nn.Module) -> bool:
    """A traced module is heard itself, what is in it is not; a scripted one is not heard at all."""
    return isinstance(module, torch.jit.ScriptModule) and type(module).__name__ == "RecursiveScriptModule"


def _compiled(module: torch.nn.Module) -> bool:
    """By ``module.compile()``."""
    return getattr(module, "_compiled_call_impl", None) is not None


def _is_wrapper(module: torch.nn.Module) -> bool:
    """By ``torch.compile(module)``: heard itself, what is in it is not."""
    # by its name: the compiler takes a second to import
    return type(module).__name__ == "OptimizedModule" and type(module).__module__.startswith("torch._dynamo")
