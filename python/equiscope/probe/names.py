"""The names of what can be listened to inside a model, and the patterns that choose among them.

``block.3`` is what the module of that name returns, ``block.3:output`` the same where the short name is that of an
output of the model, ``block.3:input`` what it is given, ``block.3:relu`` what the calls of that function return that
stand in its forward. Tensors that pass these places have names of their own:
``block.3#2`` from the second call, ``block.3[0]`` and ``block.3['x']`` where there are several. A part of a module's
name that holds one of these signs itself stands in quotes: ``heads.'mtt::dos'``.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from ..errors import ArgumentError
from ..patterns import TAIL, fits, stem

INPUT = "input"
"""After the colon: what a module is given. No function of torch has that name."""

OUTPUT = "output"
"""After the colon: what a module returns, as without a colon."""

HELPER = "_compiled_"
"""What e3nn puts before the names of its TorchScript helpers: code of the module that holds them, and no layers."""

_PLACE = re.compile(r"(.*):([^:'\"]*)")
"""The name of a module and what stands after the colon, which is not in quotes."""

_SIGNS = re.compile(r"[\[\]#:]")
"""What a name is put in quotes for: without them it would be read as more than a name."""


def modules_by_name(module: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """All modules by all of their names: one that stands in two places has two. A wrapper is what is inside.

    Parts of names with brackets, colons or number signs are in quotes.
    """
    return dict(_named(module, ""))


def _named(module: torch.nn.Module, name: str) -> Iterator[tuple[str, torch.nn.Module]]:
    module = unwrapped(module)
    yield name, module
    for part, child in module._modules.items():
        if child is not None:
            yield from _named(child, f"{name}.{_quoted(part)}" if name else _quoted(part))


def _quoted(part: str) -> str:
    return repr(part) if _SIGNS.search(part) else part


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """The module that ``torch.compile``, ``DataParallel`` or ``DistributedDataParallel`` was given."""
    while True:
        if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
            module = module.module
        elif is_compiler(module):
            inside = module._modules["_orig_mod"]
            assert inside is not None
            module = inside
        else:
            return module


def is_compiler(module: torch.nn.Module) -> bool:
    """Whether ``torch.compile(module)`` made it."""
    # by its name: the compiler takes a second to import
    return type(module).__name__ == "OptimizedModule" and type(module).__module__.startswith("torch._dynamo")


@functools.lru_cache(maxsize=4096)
def split(name: str) -> tuple[str, str]:
    """Of a place or a tensor the name of the module, and what of it: nothing for what it returns, with `OUTPUT` or
    without, `INPUT`, or a function."""
    place = stem(name)
    found = _PLACE.fullmatch(place)
    return (found[1], "" if found[2] == OUTPUT else found[2]) if found else (place, "")


def is_function(what: str) -> bool:
    """Whether what stands after the colon is a function, or a pattern of functions."""
    return what not in ("", INPUT)


def matching_places(module: torch.nn.Module, patterns: Sequence[str]) -> list[str]:
    """The places that fit any pattern, in order of definition; of a module that has several names, each that fits.

    ``*`` stays within one level of the hierarchy, ``**`` crosses levels: ``encoder.*`` is encoder.0, encoder.1, ...;
    ``encoder.**`` is every module below encoder, ``encoder.*:input`` what its parts are given, ``encoder.*:relu`` the
    calls of that function in their forwards, and ``encoder.*:*`` those of any function of torch.nn.functional. Which
    functions a module calls shows only when it does, so in names of places such patterns stay what they are. Without a
    name before the colon the model itself is meant, which ``**`` fits too. `HELPER` fits no wildcard. A pattern may end
    as the name of a tensor does, ``encoder.*[0]``, which is then kept. Quotes may be left out where without them
    nothing fits.
    """
    names = list(modules_by_name(module))
    found: dict[str, list[str]] = {}
    for pattern in patterns:
        hits = _fitting(pattern, names)
        if not hits:
            quoted = ".".join(map(_quoted, pattern.split(".")))
            if hits := _fitting(quoted, names):
                pattern = quoted
        before, _ = split(pattern)
        if not hits:
            every = [name for name in names if name]
            near = difflib.get_close_matches(before.replace("*", ""), every, n=5, cutoff=0.3) or every[:8]
            raise ArgumentError(
                f"layers: expected patterns that fit a module, got {pattern!r}, which fits none of the "
                f"{len(every)} modules (nearest: {', '.join(near) or 'none'})"
            )
        what = stem(pattern)[len(before) :]
        if what not in ("", f":{INPUT}", f":{OUTPUT}"):
            _check_function(pattern, what[1:])
        for name in hits:
            found.setdefault(name, []).append(pattern[len(before) :])
    return [name + what for name in names for what in dict.fromkeys(sorted(found.get(name, ())))]


def apart(names: Iterable[str], outputs: Iterable[str]) -> list[str]:
    """Names of places, with `OUTPUT` where without it what a module returns would be called like one of `outputs`."""
    taken = set(outputs)
    return list(dict.fromkeys(f"{name}:{OUTPUT}" if name in taken else name for name in names))


def _fitting(pattern: str, names: Iterable[str]) -> list[str]:
    """The modules that a pattern of places or tensors means."""
    place = stem(pattern)
    before, _ = split(place)
    return [name for name in names if (name or before != place) and _fits(before, name)]


def stands_for(pattern: str, name: str) -> bool:
    """Whether `name`, of a place or of its tensors, is one of those that a pattern with wildcards became."""
    (before, _), (module, _) = split(stem(pattern)), split(stem(name))
    return _is_wild(before) and name[len(module) :] == pattern[len(before) :] and bool(_fitting(pattern, [module]))


def _fits(pattern: str, name: str) -> bool:
    if not name:
        return pattern in ("", "**")
    return fits(pattern, name) and (HELPER not in name or HELPER in pattern)


def _is_wild(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def place_of(leaf: str, places: Iterable[str]) -> str | None:
    """The place among `places` that a tensor of this name came from: "name", "name#2", "name[0]", "name['x']#3"."""
    fitting = [place for place in places if leaf.startswith(place) and TAIL.fullmatch(leaf, len(place))]
    if not fitting and ":" in leaf:
        own = stem(leaf)
        fitting = [place for place in places if _is_wild(place) and fits(place, own)]
    return max(fitting, key=len, default=None)


def uncounted(leaf: str) -> str:
    """The name of a tensor without the number of the call."""
    return re.sub(r"#\d+$", "", leaf)


# -- functions ----------------------------------------------------------------------------------------------------


@functools.cache
def functional() -> frozenset[str]:
    """The functions that a wildcard stands for: those of torch.nn.functional, wherever else torch has them too."""
    names = {name for name in vars(torch.nn.functional) if callable(getattr(torch.nn.functional, name))}
    return frozenset(name for name in names if not name.startswith("_") and name.islower())


@functools.cache
def _functions() -> frozenset[str]:
    spaces = {"linalg": torch.linalg, "special": torch.special, "fft": torch.fft}
    inner = [f"{space}_{name}" for space, module in spaces.items() for name in dir(module)]
    return functional() | {name for name in (*dir(torch), *dir(torch.Tensor), *inner) if not name.startswith("_")}


def _check_function(pattern: str, what: str) -> None:
    if _is_wild(what):
        if not any(fits(what, name) for name in functional()):
            raise ArgumentError(f"layers: expected functions of torch.nn.functional, got {pattern!r}, which fits none")
    elif what not in _functions():
        near = difflib.get_close_matches(what, [INPUT, OUTPUT, *_functions()], n=5, cutoff=0.3)
        raise ArgumentError(
            f"layers: expected {INPUT!r}, {OUTPUT!r} or the name of a function of torch after the colon, got "
            f"{pattern!r} (nearest: {', '.join(near) or 'none'})"
        )


def function_name(function: Callable[..., Any]) -> str | None:
    """Under which a call is heard, ``relu`` for ``F.relu``, ``torch.relu``, ``x.relu()`` and ``x.relu_()``.

    None for indexing and attributes, which are no functions.
    """
    name = str(getattr(function, "__name__", "")).partition(".")[0].rstrip("_")
    return None if not name or name.startswith("_") else name


def is_heard(what: str, name: str) -> bool:
    """Whether a call of the function `name` is meant by what stands after a colon."""
    return what == name or (("*" in what or "?" in what) and name in functional() and fits(what, name))
