"""Inputs of real numbers that are not turned: what is said of them, and which may have been meant to turn."""

from __future__ import annotations

from collections.abc import Collection

import torch

from ..groups.representation import Representation
from .checks import may_hold_vectors
from .rounding import DISPLACEMENT, Dither

COMPONENTS = range(3, 17)
"""Numbers in the last axis that may hold directions: a vector, one beside scalars, harmonics to l = 3. Longer rows are
embeddings as a rule."""


class Unturned:
    """Learns from the systems what stays as it is."""

    def __init__(self) -> None:
        self._vectors: dict[str, None] = {}
        """Inputs that may hold vectors and were declared invariant, in order."""
        self._undeclared: dict[str, tuple[int, ...]] = {}
        """Inputs of which nothing was said, with the shape of the first."""

    def see(self, key: str, value: object, kind: Representation | None) -> None:
        """Take note of one input of a system."""
        if kind is None and isinstance(value, torch.Tensor) and value.is_floating_point():
            self._undeclared.setdefault(key, tuple(value.shape))
        elif kind is not None and kind.is_invariant and may_hold_vectors(value):
            self._vectors[key] = None

    def remarks(self, aside: Collection[str]) -> list[str]:
        """What a report should tell of them, without inputs that stand `aside`."""
        said = []
        undeclared = [f"`{key}` {shape}" for key, shape in self._undeclared.items() if key not in aside]
        if undeclared:
            said.append(
                f"taken as invariant and not turned, since `inputs` says nothing of it: {', '.join(undeclared)}"
            )
        vectors = [f"`{key}`" for key in self._vectors if key not in aside]
        if vectors:
            were = "was" if len(vectors) == 1 else "were"
            said.append(
                f"{', '.join(vectors)} {were} declared invariant and not turned, with 3 numbers in the last axis: what "
                "holds vectors must be declared so"
            )
        return said


def may_hold_directions(value: object) -> bool:
    """Whether an input that nobody declared by its name could hold directions: whole numbers (one-hot types, lattice
    shifts) are none, and beside other numbers those of one sign alone (distances and functions of them) are none."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.ndim or not value.numel():
        return False
    known = value.nan_to_num(0.0, 0.0, 0.0)
    signed = value.shape[-1] == 3 or bool((known < 0).any() and (known > 0).any())
    return value.shape[-1] in COMPONENTS and signed and bool((known != known.round()).any())


def displaced(value: torch.Tensor) -> torch.Tensor:
    """The same with other numbers, as far off as where it is asked whether outputs depend on what is turned."""
    return Dither([0], DISPLACEMENT)(value.double().unsqueeze(0))[0].to(value.dtype)
