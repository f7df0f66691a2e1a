"""One audit at a time for a module: it is put into evaluation mode, its hooks are heard, both are undone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .errors import ArgumentError, fail

_lock = threading.Lock()
_taken: set[int] = set()
"""The identities of modules in use, which live as long as they are."""


@contextmanager
def in_use(module: torch.nn.Module | None) -> Iterator[None]:
    """While open, `module` and all modules in it belong to one audit.

    Raises `ArgumentError` where one of them belongs to another audit already, in whatever thread: two would hear each
    other's calls, and the one that ends last would leave the module in the other's evaluation mode.
    """
    parts = {} if module is None else {id(part): (name, part) for name, part in module.named_modules()}
    with _lock:
        shared = [name or "all of it" for key, (name, _) in parts.items() if key in _taken]
        if not shared:
            _taken.update(parts)
    if shared:
        fail(
            ArgumentError,
            "model",
            "a module that no other audit is using (audit a copy, copy.deepcopy, in each thread)",
            f"{type(module).__name__}, in use: {shared[0]}",
        )
    try:
        yield
    finally:
        with _lock:
            _taken.difference_update(parts)


def _forget_others() -> None:
    """In the child of a fork the audits of other threads do not go on, and the lock may have been theirs."""
    global _lock
    _lock = threading.Lock()
    _taken.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_others)
