"""Captures what hidden modules are given and return, by the names of places, with hooks that are always removed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.hooks import RemovableHandle

from ..patterns import stem
from .calls import Calls
from .eager import eager
from .leaves import is_index, leaves, rows_of
from .names import (
    INPUT,
    is_compiler,
    is_function,
    modules_by_name,
    place_of,
    split,
    stands_for,
    uncounted,
)

Leaves = list[tuple[str, Any]]


class _Seen(NamedTuple):
    name: str
    value: torch.Tensor
    version: int | None
    """Of the tensor when it was seen; None for a copy, which nobody else can write to."""


class Capture:
    """Context manager: while open, what passes the places `names` leaves its floating-point tensors here. Names may be
    those of single tensors.

    A place that is passed several times in one forward pass gives ``name``, ``name#2``, ...; nested values give one
    entry per tensor (`leaves`). Values are references until a model is seen to overwrite one in place
    (`overwritten`); from then on that one is copied. With `copy` all are, at once: for a model that is called many
    times before `take`, and may use a buffer again in ways that torch does not see. `notes` names what could not be
    captured; a function that a module does not call is no loss unless its place is among those `asked` for by name, or
    nobody calls it. Of a pattern among these by which nothing came it is said once. Of `masks`, names of tensors, truth
    values are captured too.

    The model has to be called within `listening`. Calls are heard in the thread that opened it alone: others may use
    the module for work of their own, or run parts of one forward pass side by side, whose order says nothing of the
    copies. `elsewhere` names what was called there.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        names: Sequence[str],
        *,
        copy: bool = False,
        asked: Collection[str] = (),
        masks: Collection[str] = (),
    ) -> None:
        self._module = module
        self.names = tuple(names)
        self._copy = copy
        self._asked = frozenset(asked)
        self._masks = frozenset(masks)
        self._mask_leaves = frozenset(map(uncounted, masks))
        self._handles: list[RemovableHandle] = []
        self._spread: list[torch.nn.DataParallel[Any]] = []
        """Parts of the model that run on several devices."""
        self._calls = Calls(self._function)
        self._thread = 0
        self.elsewhere: set[str] = set()
        """Places that were passed in other threads."""
        self._given: list[list[Leaves]] = []
        """For each place, of the calls that have not returned, what they were given."""
        self._seen: list[_Seen] = []
        self._copied: set[str] = set()
        self._overwritten = False
        self._heard: set[str] = set()
        """Places that were passed."""
        self._belongs: dict[str, str | None] = {}
        """Of all tensors that came: which of `names` they came by."""
        self._known: set[str] | None = None
        self._left_out: dict[str, str] = {}

    def __enter__(self) -> Capture:
        self._thread = threading.get_ident()
        modules = modules_by_name(self._module)
        parallel = [part for part in self._module.modules() if isinstance(part, torch.nn.DataParallel)]
        self._spread = [part for part in parallel if len(part.device_ids) > 1]
        deaf = dict(_unhearable(modules))
        first: dict[tuple[int, str], str] = {}
        for place in self._places():
            name, what = split(place)
            module = modules[name]
            if name in deaf:
                self._left_out[place] = deaf[name]
            elif (id(module), what) in first:
                other = first[id(module), what]
                self._left_out[place] = f"it is the same module as {split(other)[0]}, where its calls are counted"
            else:
                first[id(module), what] = place
                self._listen(place, module)
        if self._calls:
            for name, module in modules.items():
                if name not in deaf:
                    self._handles += self._calls.follow(module)
        return self

    def _places(self) -> list[str]:
        """Where `names` and masks come from."""
        return list(dict.fromkeys(map(stem, [*self.names, *self._masks])))

    def _asks_for(self, leaf: str) -> str | None:
        """Which of `names` a tensor belongs to."""
        if leaf not in self._belongs:
            self._belongs[leaf] = place_of(leaf, self.names)
        return self._belongs[leaf]

    def _listen(self, place: str, module: torch.nn.Module) -> None:
        _, what = split(place)
        if is_function(what):
            self._calls.ask(module, place)
        elif what == INPUT:
            self._handles.append(
                module.register_forward_pre_hook(
                    lambda _module, args, kwargs: self._passed(place, lambda: _given(place, args, kwargs)),
                    with_kwargs=True,
                )
            )
        else:
            given: list[Leaves] = []
            self._given.append(given)
            self._handles += [
                module.register_forward_pre_hook(
                    lambda _module, args, kwargs: self._enters(place, given, args, kwargs), with_kwargs=True
                ),
                module.register_forward_hook(
                    lambda _module, _args, output: self._passed(place, lambda: self._made(place, given, output))
                ),
            ]

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._seen.clear()
        self._given.clear()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """While the model is called: without torch.compile, whose code calls no modules, and on one device."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(eager())
            for part in self._spread:
                stack.callback(setattr, part, "device_ids", part.device_ids)
                part.device_ids = part.device_ids[:1]
            if self._calls:
                stack.enter_context(self._calls)
            yield

    def _function(self, place: str, name: str, returned: Any) -> None:
        """A function was called in the forward of the module at `place`."""
        self._passed(place, lambda: list(leaves(f"{split(place)[0]}:{name}", returned)))

    def _enters(self, place: str, given: list[Leaves], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Remember what a call is given, before the module can write into it."""
        if threading.get_ident() == self._thread:
            with self._calls.deaf():
                containers = [own for own in (*args, *kwargs.values()) if not isinstance(own, torch.Tensor)]
                given.append([pair for own in containers for pair in leaves(place, own)])

    def _made(self, place: str, given: list[Leaves], output: Any) -> Leaves:
        """What a module returned, without what it hands on in its place in a container, as it was given it; all of it,
        where that is all."""
        found, own = list(leaves(place, output)), dict(given.pop())
        if not own:
            return found
        made = [
            (name, leaf) for name, leaf in found if name == place or name in self._asked or own.get(name) is not leaf
        ]
        return made or found

    def _passed(self, place: str, found: Callable[[], Leaves]) -> None:
        if threading.get_ident() != self._thread:
            self.elsewhere.add(place)
            return
        self._heard.add(place)
        with self._calls.deaf():
            self._record(place, found())

    def _record(self, place: str, found: Leaves) -> None:
        masks = [(name, leaf) for name, leaf in found if name in self._mask_leaves and isinstance(leaf, torch.Tensor)]
        self._seen += [self._kept(name, leaf) for name, leaf in masks]
        if not found:
            self._left_out.setdefault(place, f"it {_verb(place)} no tensors")
        rows = [(name, leaf, rows_of(leaf, _verb(place))) for name, leaf in found if name not in self._mask_leaves]
        some = any(isinstance(value, torch.Tensor) for _, _, value in rows)
        for name, leaf, value in rows:
            if isinstance(value, torch.Tensor):
                self._seen.append(self._kept(name, value))
            elif not (some and is_index(leaf)):
                self._left_out.setdefault(name, value)

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
        self._calls.clear()
        for given in self._given:
            given.clear()

    def take(self, calls: int | None = None) -> dict[str, torch.Tensor]:
        """What was captured since the last call, in order of execution.

        Where the model was called once per copy, `calls` of them, their tensors are stacked. A tensor that does not
        come every time, alike for every copy, is left out from then on.
        """
        calls_per_forward = 1 if calls is None else calls
        groups: dict[str, list[torch.Tensor]] = {}
        places: dict[str, list[int]] = {}
        for position, seen in enumerate(self._seen):
            if seen.version is not None and seen.value._version != seen.version:
                self._copied.add(seen.name)
                self._overwritten = True
            groups.setdefault(seen.name, []).append(seen.value)
            places.setdefault(seen.name, []).append(position)
        self._seen.clear()
        captured: dict[str, torch.Tensor] = {}
        order: dict[str, int] = {}
        for name, tensors in groups.items():
            repeats = len(tensors) // calls_per_forward
            if len(tensors) % calls_per_forward:
                self._left_out[name] = f"it came {len(tensors)} times in {calls_per_forward} calls of the model"
            for k in range(0 if name in self._left_out else repeats):
                own = tensors[k::repeats]
                leaf = name if k == 0 else f"{name}#{k + 1}"
                if leaf not in self._masks and (self._asks_for(leaf) is None or name in self._mask_leaves):
                    continue
                if len({tensor.shape for tensor in own}) > 1:
                    self._left_out[leaf] = "its shape differs from copy to copy"
                else:
                    captured[leaf] = own[0] if calls is None else torch.stack(own)
                    order[leaf] = places[name][k]
        captured = {leaf: captured[leaf] for leaf in sorted(captured, key=order.__getitem__)}
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
        """A list or dict of modules beside what is in it."""
        held = modules_by_name(self._module)[split(stem(name))[0]]
        return _is_container(held) and any(other.startswith(f"{name}.") for other in self.names)

    def _silent(self, name: str) -> str:
        """Why nothing came by a name."""
        place = stem(name)
        if place in self.elsewhere:
            return "its module is called in other threads than the audit's"
        if place in self._heard:
            came = ", ".join(leaf for leaf in self._belongs if stem(leaf) == place) or "none"
            return f"no such tensor passed there (those that did: {came})"
        module = modules_by_name(self._module)[split(place)[0]]
        if is_function(split(place)[1]) and self._calls.entered(module):
            called = ", ".join(self._calls.called(module)) or "none"
            return f"no such call was heard in the forward of its module (functions heard there: {called})"
        if _is_container(module):
            return f"its module was never called; {f'{split(place)[0]}.*'!r} hears the modules in it"
        return "its module was never called"

    def notes(self) -> dict[str, str]:
        """Names and tensors that were asked for and are left out, each with the reason, in order of the model."""
        used = {split(place)[1] for place in self._heard}
        came = {name for name in self._belongs.values() if name is not None}
        told = {name: reason for name, reason in self._left_out.items() if place_of(name, self.names) is not None}
        # what was said of a place holds for each of its tensors
        told |= {name: self._left_out[place] for name in self.names if (place := stem(name)) in self._left_out}
        by_place = set(map(stem, told))
        silent = {
            name: self._silent(name)
            for name in self.names
            if name not in came
            and stem(name) not in by_place
            and not (name == stem(name) and name in self._heard)
            and not self._stands_for_others(name)
            and (name in self._asked or not is_function(what := split(name)[1]) or what not in used)
        }
        order = {name: index for index, name in enumerate(self.names)}
        by_name = sorted(
            {**told, **silent}.items(), key=lambda item: order.get(place_of(item[0], self.names) or "", -1)
        )
        return self._at_once(dict(by_name), silent)

    def _at_once(self, notes: dict[str, str], silent: Collection[str]) -> dict[str, str]:
        """The same with one note for a pattern of functions or tensors by which nothing came, in place of its names."""
        for pattern in sorted(self._asked):
            own = [name for name in self.names if name != split(stem(name))[0] and stands_for(pattern, name)]
            if len(own) < 2 or not set(own) <= set(silent):
                continue
            modules = modules_by_name(self._module)
            reason = f"nothing came by it from the {len(own)} modules that it fits"
            if is_function(split(stem(pattern))[1]):
                entered = filter(self._calls.entered, (modules[split(stem(name))[0]] for name in own))
                called = dict.fromkeys(function for module in entered for function in self._calls.called(module))
                reason += f" (functions heard there: {', '.join(called) or 'none'})"
            first, *others = own
            told = {pattern if name == first else name: notes[name] for name in notes if name not in others}
            notes = {**told, pattern: reason}
        return notes

    @property
    def compiled(self) -> bool:
        """Whether parts of the model are compiled, and run as they were written for the time of the audit."""
        return any(is_compiler(part) or _compiled(part) for part in self._module.modules())


def _verb(place: str) -> str:
    return "was given" if split(place)[1] == INPUT else "returned"


def _given(place: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Leaves:
    """What a module was given, by position and keyword; by the name of the place alone where one argument says all."""
    by_keyword, by_position = list(leaves(place, kwargs)), list(leaves(place, args))
    if not by_keyword and args and len(alone := list(leaves(place, args[0]))) == len(by_position):
        return alone
    return [*by_position, *by_keyword]


def _unhearable(modules: dict[str, torch.nn.Module]) -> Iterator[tuple[str, str]]:
    """Modules whose calls no hook hears, with the reason."""
    for name, module in modules.items():
        above = [modules[name[:end]] for end in (0, *(i for i, c in enumerate(name) if c == "."))] if name else []
        if any(isinstance(part, torch.jit.ScriptModule) for part in above) or _scripted(module):
            yield name, "it is TorchScript, whose calls cannot be heard; audit the Python module it was made from"
        elif any(_exported(part) for part in above):
            yield name, "it is in a program of torch.export, which calls no modules; audit the module it was made from"


def _scripted(module: torch.nn.Module) -> bool:
    """A traced module is heard itself, what is in it is not; a scripted one is not heard at all."""
    return isinstance(module, torch.jit.ScriptModule) and type(module).__name__ == "RecursiveScriptModule"


def _is_container(module: torch.nn.Module) -> bool:
    """Which nobody calls."""
    return isinstance(module, torch.nn.ModuleList | torch.nn.ModuleDict)


def _compiled(module: torch.nn.Module) -> bool:
    """By ``module.compile()``."""
    return getattr(module, "_compiled_call_impl", None) is not None


def _exported(module: torch.nn.Module) -> bool:
    """By ``torch.export.export(...).module()``: one graph of operations."""
    return any(cls.__name__ == "_StatefulGraphModule" for cls in type(module).__mro__)
