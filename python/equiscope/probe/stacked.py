"""Values of many outputs and layers, those of one shape in one tensor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from typing import Any

import torch

STACKED_BYTES = 1 << 18
"""Of one copy, at most, in a stack of several: beyond, the price of a call counts for nothing, and memory does."""

Stack = tuple[tuple[str, ...], torch.Tensor]


class Stacked(Mapping[str, torch.Tensor]):
    """Values by name, the first axis of each over copies; those of one shape, dtype and device lie in one tensor
    ``(names, copies, ...)``, so that a question about all of them costs one call for each shape, and one wait for a
    device.
    """

    def __init__(self, stacks: Iterable[Stack], places: Mapping[str, tuple[int, int]]) -> None:
        self._stacks = list(stacks)
        self._places = places
        """By name, in order: its stack, and which one it is there."""
        self._views: list[tuple[torch.Tensor, ...] | None] = [None] * len(self._stacks)

    @classmethod
    def _in_order(cls, stacks: Iterable[Stack], order: Iterable[str]) -> Stacked:
        stacks = list(stacks)
        places = {name: (i, k) for i, (names, _) in enumerate(stacks) for k, name in enumerate(names)}
        return cls(stacks, {name: places[name] for name in order if name in places})

    @classmethod
    def of(cls, values: Mapping[str, torch.Tensor]) -> Stacked:
        """Copies of `values`."""
        groups: list[list[str]] = []
        free: dict[Any, tuple[list[str], int]] = {}
        for name, value in values.items():
            like = (value.shape, value.dtype, value.device)
            nbytes = value.nbytes // max(1, value.shape[0])
            group, held = free.get(like, ([], 0))
            if not group or held + nbytes > STACKED_BYTES:
                group, held = [], 0
                groups.append(group)
            group.append(name)
            free[like] = group, held + nbytes
        stacks = ((tuple(group), torch.stack([values[name] for name in group])) for group in groups)
        return cls._in_order(stacks, values)

    def __getitem__(self, name: str) -> torch.Tensor:
        stack, place = self._places[name]
        views = self._views[stack] = self._views[stack] or self._stacks[stack][1].unbind(0)
        return views[place]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def dtypes(self) -> dict[str, torch.dtype]:
        """By name."""
        return {name: self._stacks[stack][1].dtype for name, (stack, _) in self._places.items()}

    @property
    def stacks(self) -> list[Stack]:
        """Names and values ``(names, copies, ...)``."""
        return self._stacks

    def copies(self, which: slice | torch.Tensor) -> Stacked:
        """Some of the copies, by their indices; a slice is a view."""
        if isinstance(which, slice):
            return Stacked(((names, stack[:, which]) for names, stack in self._stacks), self._places)
        some = ((names, stack.index_select(1, which.to(stack.device))) for names, stack in self._stacks)
        return Stacked(some, self._places)

    def at(self, copy: int) -> Stacked:
        """The values of one copy, without an axis of copies; copied."""
        return Stacked(((names, stack[:, copy].clone()) for names, stack in self._stacks), self._places)

    def only(self, names: Container[str]) -> Stacked:
        """Those that are among `names`."""
        if all(name in names for name in self):
            return self
        kept = (tuple(name for name in own if name in names) for own, _ in self._stacks)
        return Stacked._in_order(((own, self._stack(own)) for own in kept if own), self)

    def without(self, names: Container[str]) -> Stacked:
        """Those that are not among `names`."""
        return self.only({name for name in self if name not in names})

    def joined(self, other: Stacked) -> Stacked:
        """What is in both, with the copies of the other behind."""
        pairs = self.paired(other)
        return Stacked._in_order(((names, torch.cat([mine, theirs], dim=1)) for names, mine, theirs in pairs), self)

    def paired(self, other: Stacked) -> Iterator[tuple[tuple[str, ...], torch.Tensor, torch.Tensor]]:
        """Of what is in both: names, and the values of each in one tensor."""
        for own, _ in self._stacks:
            names = tuple(name for name in own if name in other)
            if names:
                yield names, self._stack(names), other._stack(names)

    def _stack(self, names: tuple[str, ...]) -> torch.Tensor:
        """The values of `names`, which are of one shape."""
        (own, stack), place = self._stacks[self._places[names[0]][0]], self._places[names[0]][1]
        if own == names:
            return stack
        if own[place : place + len(names)] == names:
            return stack[place : place + len(names)]
        return torch.stack([self[name] for name in names])

    def ask(self, question: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Any]:
        """What `question` answers, a number for each name of values ``(names, copies, ...)``."""
        return fetched([(names, question(stack)) for names, stack in self._stacks])

    def compare(self, other: Stacked, question: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> dict[str, Any]:
        """The same of values here and there, for what is in both."""
        return fetched([(names, question(mine, theirs)) for names, mine, theirs in self.paired(other)])


def fetched(answers: Collection[Stack]) -> dict[str, Any]:
    """Numbers by name, fetched from their device at once."""
    if not answers:
        return {}
    device = next(iter(answers))[1].device
    numbers = torch.cat([answer.to(device) for _, answer in answers]).tolist()
    return dict(zip((name for names, _ in answers for name in names), numbers, strict=True))


def differ(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``(names,)``: whether any value does; what is not a number differs from all."""
    return (one != other).flatten(1).any(1)
