"""One system of a plain model: its leaves by name, how each transforms, and how they are put together again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..groups.representation import Representation
from .containers import Layout

PLAIN = (bool, int, float, complex, str, bytes, type(None))
"""Types of constants that cannot be written into."""


@dataclass(frozen=True)
class Opened:
    """What was found in one system."""

    keys: tuple[str, ...]
    values: tuple[Any, ...]
    """Tensors, and constants of any type."""
    kinds: tuple[Representation | None, ...]
    """How declared leaves transform."""
    arrays: tuple[bool, ...]
    """The leaves that the model is given as NumPy arrays, as they came."""
    layout: Layout
    rows: int
    """Rows of one copy."""
    longer: bool = False
    """Whether it was given one more row of padding, to see what grows with it."""

    @property
    def tensors(self) -> Mapping[str, torch.Tensor]:
        """The leaves that are tensors, by name."""
        return {key: v for key, v in zip(self.keys, self.values, strict=True) if isinstance(v, torch.Tensor)}

    @property
    def turns(self) -> tuple[bool, ...]:
        """Which leaves rotate."""
        return tuple(kind is not None and not kind.is_invariant for kind in self.kinds)

    def rotates(self, part: str) -> bool:
        """Whether that key, or one within the container of that name, does."""
        own = (key for key, turns in zip(self.keys, self.turns, strict=True) if turns)
        return any(key == part or key.startswith(f"{part}.") for key in own)

    def argument(self, leaves: Sequence[Any], *, differentiable: bool) -> Any:
        """What the model is given in place of this system: `leaves` in its containers.

        Constants that could be written into are copied. What rotates can be differentiated by, if `differentiable`.
        """
        given = []
        for leaf, array, turns in zip(leaves, self.arrays, self.turns, strict=True):
            if not isinstance(leaf, torch.Tensor):
                given.append(leaf if isinstance(leaf, PLAIN) else copy.deepcopy(leaf))
            elif array:
                given.append(leaf.cpu().numpy())
            else:
                given.append(leaf.detach().requires_grad_() if differentiable and turns else leaf)
        return self.layout.rebuilt(given)
