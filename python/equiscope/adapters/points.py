"""The points of a system, for pictures and files: what of its inputs are positions, what are types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from ..groups.cartesian import Cartesian
from ..groups.representation import Representation
from .structures import SYNONYMS

POSITIONS, TYPES, CELL, PERIODIC = SYNONYMS[:4]

HEAVIEST = 118
"""Whole numbers from 1 to this one are taken for atomic numbers where they are called types of atoms."""


@dataclass(frozen=True)
class Points:
    """One system as it is given; on the host."""

    name: str
    """Of the input that positions are."""
    positions: torch.Tensor
    """``(n, 3)`` float64."""
    types: torch.Tensor | None = None
    """``(n,)`` int64."""
    atomic: bool = False
    """Whether types are atomic numbers."""
    cell: torch.Tensor | None = None
    """``(3, 3)`` float64, one cell vector per row."""
    pbc: torch.Tensor | None = None
    """``(3,)`` bool."""

    def turned(self, rotation: torch.Tensor) -> Points:
        """The points and the cell under a rotation ``(3, 3)``."""
        cell = None if self.cell is None else self.cell @ rotation.T
        return Points(self.name, self.positions @ rotation.T, self.types, self.atomic, cell, self.pbc)


Real = Callable[[str, torch.Tensor], torch.Tensor]
"""The rows of an input that are no padding."""


def points_among(
    tensors: Mapping[str, torch.Tensor], kinds: Mapping[str, Representation], real: Real = lambda name, value: value
) -> Points | None:
    """The points among the inputs of a system; None where no input is one vector for each row.

    Positions are the vectors that are called so, or else the first ones, also those in a sum such as "scalar+vector".
    Types are whole numbers of as many rows that are called types.
    """
    vectors = {}
    for name, kind in kinds.items():
        part = _vector(kind)
        if part is None or _word(name) in CELL or name not in tensors:
            continue
        value = real(name, tensors[name])
        if kind.rest(tuple(value.shape)) in ((), (len(value),)):
            vectors[name] = kind.flatten(value)[..., part].reshape(-1, 3)
    chosen = next((name for name in vectors if _word(name) in POSITIONS), next(iter(vectors), None))
    if chosen is None:
        return None
    positions = _host(vectors[chosen]).to(torch.float64)
    types = next(
        (
            _host(own).to(torch.int64)
            for name, value in tensors.items()
            if _word(name) in TYPES and _whole(value)
            if (own := real(name, value)).shape == positions.shape[:1]
        ),
        None,
    )
    atomic = types is not None and bool(((types >= 1) & (types <= HEAVIEST)).all())
    cell = _named(tensors, CELL, (3, 3))
    pbc = _named(tensors, PERIODIC, (3,))
    return Points(
        chosen,
        positions,
        types,
        atomic,
        None if cell is None else cell.to(torch.float64),
        None if pbc is None else pbc != 0,
    )


def _named(tensors: Mapping[str, torch.Tensor], names: tuple[str, ...], shape: tuple[int, ...]) -> torch.Tensor | None:
    fitting = (value for name, value in tensors.items() if _word(name) in names and tuple(value.shape) == shape)
    return next((_host(value) for value in fitting), None)


def _word(name: str) -> str:
    """The last part of a name within containers."""
    return name.rpartition(".")[2].lower()


def _whole(value: torch.Tensor) -> bool:
    return not value.is_floating_point() and not value.is_complex() and value.dtype != torch.bool


def _host(value: torch.Tensor) -> torch.Tensor:
    return value.detach().cpu()


def _vector(kind: Representation) -> slice | None:
    """Where the first vector of a representation lies among its components."""
    for part in kind.parts:
        if isinstance(part.term, Cartesian) and part.term.rank == 1 and not part.term.pseudo:
            return slice(part.start, part.start + 3)
    return None
