"""Which rows of a hidden value are real, where the others are padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ..adapters.base import System
from ..adapters.masks import along
from ..errors import ArgumentError, fail
from ..patterns import fits, stem
from .names import split

PADDING = "~"
"""Before the name of a tensor that is True where padding is."""

Ask = Callable[[str, System], torch.Tensor | None]
IsReal = Callable[[System, torch.Tensor], bool | None]


class Masks:
    """Masks of layers: those that an adapter knows (`Adapter.mask`), and those that are tensors inside the model.

    ask: the mask of a layer in a system, or None.
    inner: by pattern of places, the name of the captured tensor that is True where rows are real, or False there with
        `PADDING` before it. The last pattern that fits counts.
    is_real: whether rows may be those that are real (`Adapter.is_real`).
    """

    def __init__(
        self, ask: Ask, inner: Mapping[str, str] | None = None, is_real: IsReal = lambda system, rows: None
    ) -> None:
        self._ask = ask
        self._is_real = is_real
        self._inner = dict(inner or {})
        self.names = frozenset(name.removeprefix(PADDING) for name in self._inner.values())
        """Of the tensors inside the model."""
        self._seen: dict[str, dict[str, torch.Tensor | str]] = {}
        """By system and name of the tensor: the mask of one copy, or why there is none."""

    def learn(self, captured: Mapping[str, torch.Tensor], system: System, copies: int) -> None:
        """Rehearsal: take what the model itself holds for real in `copies` copies of a system; refuse it where it is
        the wrong way round."""
        self._seen[system.name] = {name: _of_one(name, captured.get(name), copies) for name in self.names}
        for pattern, name in self._inner.items():
            mask = self._named(name, system)
            if isinstance(mask, torch.Tensor) and self._is_real(system, mask) is False:
                expected = "a mask that is true where rows are real ('~name' turns one round)"
                fail(ArgumentError, f"masks[{pattern!r}]", expected, f"{name!r}, true for padding in {system.name!r}")

    def of(self, layer: str, system: System) -> torch.Tensor | str | None:
        """``(n,)`` or ``(n, m)`` bool, the leading axes of one copy's value; or why there is none; None without one."""
        fitting = [name for pattern, name in self._inner.items() if _covers(pattern, layer)]
        if not fitting:
            return self._ask(layer, system)
        return self._named(fitting[-1], system)

    def _named(self, asked: str, system: System) -> torch.Tensor | str:
        """The mask of one copy that was `asked` for, turned round where that was; or why there is none."""
        name = asked.removeprefix(PADDING)
        mask = self._seen[system.name][name]
        return ~mask if asked != name and isinstance(mask, torch.Tensor) else mask

    def names_exactly(self, layer: str) -> bool:
        """Whether the mask was given for this layer by name: then its values have the axes of the mask."""
        return layer in self._inner or stem(layer) in self._inner

    def forget(self, system: System) -> None:
        """The system was finished or dropped."""
        self._seen.pop(system.name, None)


def _covers(pattern: str, layer: str) -> bool:
    """Whether a pattern is that of a layer; one that names modules alone means all that passes there."""
    return fits(pattern, stem(layer) if ":" in pattern else split(layer)[0]) or pattern == layer


def _of_one(name: str, captured: torch.Tensor | None, copies: int) -> torch.Tensor | str:
    if captured is None:
        return f"its mask {name} was not heard in every call of the model"
    if captured.ndim == 0 or captured.shape[0] % copies:
        return f"the first axis of its mask {name}, of shape {tuple(captured.shape)}, does not run over the copies"
    if captured.is_floating_point() and not bool(((captured == 0) | (captured == 1)).all()):
        return f"its mask {name} holds other numbers than 0 and 1"
    every = (captured != 0).reshape(copies, captured.shape[0] // copies, *captured.shape[1:])
    if not bool((every == every[0]).all()):
        return f"its mask {name} differs from copy to copy"
    return every[0, 0] if every.shape[1] == 1 and every.ndim > 2 else every[0]


def shape_of_one(values: torch.Tensor) -> tuple[int, ...]:
    """The shape of the value of one copy, of values ``(copies, rows, ...)``, or ``(copies, 1, ...)`` where stacked."""
    return tuple(values.shape[2 if _stacked(values) else 1 :])


def _stacked(values: torch.Tensor) -> bool:
    return values.shape[1] == 1 and values.ndim > 2


def real_rows(
    values: torch.Tensor, mask: torch.Tensor, *, meant: bool = False, grown: tuple[int, ...] | None = None
) -> torch.Tensor | str | None:
    """The real rows ``(copies, k, ...)`` of values ``(copies, rows, ...)``; None where the mask does not fit.

    `grown` are the axes of the value of one copy that run over the rows of a mask ``(n,)``, which were longer when the
    system had one more row of padding. Where that is not known, a mask fits if the value of one copy begins with its
    shape, and a mask ``(n,)`` also fits maps ``(heads, n, n)`` between the rows, of which real rows and columns stay.
    Where as many heads or channels as rows let several axes fit, the answer is why that cannot be told. `meant`: the
    mask is known to be that of these values.
    """
    mask = mask.to(values.device)
    if mask.ndim == 1 and grown:
        kept = along(values[:, 0] if _stacked(values) else values, mask, grown)
        return kept.unsqueeze(-1) if kept.ndim == 2 else kept
    if mask.ndim == 1 and grown == () and not meant:
        return None
    for value in [values[:, 0], values] if values.shape[1] == 1 and values.ndim > 2 else [values]:
        own = tuple(value.shape[1:])
        if own[: mask.ndim] == tuple(mask.shape):
            if mask.ndim == 1 and len(own) > 2 and own[0] == own[1]:
                return (
                    f"a mask of {own[0]} rows fits more than one axis of its values {own}: give one of shape {own[:2]}"
                )
            if mask.ndim == len(own) and not meant:
                return (
                    f"a mask of shape {own} fits all axes of its values, of which the last may be channels: give the "
                    "mask under the very name of this layer if it is not"
                )
            kept = value[:, mask]
            return kept.unsqueeze(-1) if kept.ndim == 2 else kept
        if mask.ndim == 1 and len(own) == 3 and own[1:] == (len(mask), len(mask)):
            return value[:, :, mask][..., mask]
    return None
