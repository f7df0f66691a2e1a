"""The floating-point dtype that a model computes in, seen while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from ..adapters.rounding import watched

TF32 = 2.0**-10
"""Machine epsilon of TF32 products."""


_aten = torch.ops.aten
MOVES = (_aten.detach, _aten.clone, _aten.stack, _aten.cat, _aten.copy_)
"""Operations that compute nothing: results go through them after the model is done."""


class ComputesIn:
    """Context manager around one call of the model: `dtype` is the coarsest that rotated copies pass through on it.

    Every operation of torch whose arguments stem from a rotated copy is looked at, so that half precision inside of
    autocast or behind a cast is seen, and a table of another dtype that has nothing to do with the copies is not. A
    last cast of a result counts as rounding of the output, not here. Code that leaves torch is not seen.
    """

    def __init__(self) -> None:
        self.dtype: torch.dtype | None = None
        self.given: torch.dtype | None = None
        """The coarsest in which rotated copies are handed over."""
        self._descends = WeakIdKeyDictionary()
        self._mode = _WatchCompiled(self) if "torch._dynamo" in sys.modules else _Watch(self)
        self._watched = watched(self._start)

    def __enter__(self) -> ComputesIn:
        self._watched.__enter__()
        self._mode.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exc: Any) -> None:
        self._mode.__exit__(*exc)  # type: ignore[no-untyped-call]
        self._watched.__exit__(*exc)

    def _start(self, copies: torch.Tensor) -> None:
        self._descends[copies] = True
        self.dtype, self.given = coarser(self.dtype, copies.dtype), coarser(self.given, copies.dtype)

    def saw(self, operation: Any, arguments: Iterable[Any], result: Any) -> None:
        """An `operation` took `arguments` and gave `result`."""
        sources = [x for x in _tensors(arguments) if x in self._descends]
        if not sources:
            return
        made = [x for x in _tensors((result,)) if x.is_floating_point()]
        for tensor in made:
            self._descends[tensor] = True
        if made and not (operation.is_view or operation.overloadpacket in MOVES):
            for source in sources:
                if source.is_floating_point():
                    self.dtype = coarser(self.dtype, source.dtype)


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    """Operations take and give tensors, and lists and dicts of them."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple | dict):
            yield from _tensors(value.values() if isinstance(value, dict) else value)


class _Watch(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # to be kept from torch's compiler, it would import that at the first operation: a second or two
        return False

    def __init__(self, owner: ComputesIn) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._owner = owner

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._owner.saw(func, (*args, *(kwargs or {}).values()), result)
        return result


class _WatchCompiled(_Watch):
    """The same where the compiler is there already, and would compile what watches."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return True

    __torch_dispatch__ = _Watch.__torch_dispatch__


def coarser(one: torch.dtype | None, other: torch.dtype) -> torch.dtype:
    """The one of two floating dtypes that has fewer digits."""
    return other if one is None or torch.finfo(other).eps > torch.finfo(one).eps else one


def looks_like(values: list[torch.Tensor], dtype: torch.dtype) -> bool:
    """Whether numbers of a wider dtype are all numbers of `dtype`, as those of a model inside of a wrapper are.

    Whole numbers and halves are so as well, so their last bits must be in use.
    """
    held = torch.cat([value.detach().reshape(-1) for value in values]).double()
    held = held[held != 0]
    fits = bool((held.to(dtype).double() == held).all())
    mantissa, _ = torch.frexp(held)
    shorter = torch.ldexp(mantissa, torch.tensor(LAST_BITS)) / torch.finfo(dtype).eps
    return held.numel() > 0 and fits and not bool((shorter == shorter.round()).all())


LAST_BITS = -2
"""A number of `dtype` has 1 / eps as its scale, twice that of its mantissa; two bits fewer are asked for."""
