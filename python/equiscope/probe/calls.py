"""The functions of torch that modules call, heard while they do."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from .names import function_name, is_heard, split


class Calls(TorchFunctionMode):
    """Hears the functions of torch that are called in the forwards of modules: which module's, says a stack of them.

    A function that calls others is heard alone. False where nobody asked.
    """

    def __init__(self, tell: Callable[[str, str, Any], None]) -> None:
        super().__init__()
        self._tell = tell
        self._asked: dict[torch.nn.Module, list[str]] = {}
        self._called: dict[torch.nn.Module, dict[str, None]] = {}
        self._stack: list[torch.nn.Module] = []
        self._deaf = False

    def __bool__(self) -> bool:
        return bool(self._asked)

    def ask(self, module: torch.nn.Module, place: str) -> None:
        """Tell of the calls in the forward of `module` that `place` names."""
        self._asked.setdefault(module, []).append(place)

    def follow(self, module: torch.nn.Module) -> Iterable[RemovableHandle]:
        """Have the stack know when `module` is called."""
        owner = threading.get_ident()

        def enter(entered: torch.nn.Module, _args: Any) -> None:
            if threading.get_ident() == owner:
                self._stack.append(entered)
                self._called.setdefault(entered, {})

        def leave(left: torch.nn.Module, _args: Any, _output: Any) -> None:
            if threading.get_ident() == owner and left in self._stack:
                while self._stack.pop() is not left:
                    pass

        yield module.register_forward_pre_hook(enter, prepend=True)
        yield module.register_forward_hook(leave, prepend=True, always_call=True)

    @contextlib.contextmanager
    def deaf(self) -> Iterator[None]:
        """What is called meanwhile is no part of the model."""
        self._deaf = True
        yield
        self._deaf = False

    def clear(self) -> None:
        """No module is being called."""
        self._stack.clear()
        self._deaf = False

    def entered(self, module: torch.nn.Module) -> bool:
        return module in self._called

    def called(self, module: torch.nn.Module) -> list[str]:
        """The functions that were heard in its forward."""
        return list(self._called[module])

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        module = self._stack[-1] if self._stack and not self._deaf else None
        returned = func(*args, **(kwargs or {}))
        name = function_name(func) if module in self._asked else None
        if module is not None and name is not None and _holds_tensors(returned):
            self._called[module][name] = None
            place = next((place for place in self._asked[module] if is_heard(split(place)[1], name)), None)
            if place is not None:
                self._tell(place, name, returned)
        return returned


def _holds_tensors(returned: Any) -> bool:
    """Whether there is anything to hear: not of `dim`, `size` or `is_floating_point`."""
    several = returned if isinstance(returned, tuple | list) else (returned,)
    return any(isinstance(part, torch.Tensor) for part in several)
