"""O(3), all rotations and their negatives, and SO(3), the rotations alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from .group import Decomposition, Group, Isotypic, Label
from .irreps import Sector, parity, symbol_of
from .quadrature import Quadrature, next_degree, ring_grid
from .representation import Representation
from .rotations import haar_rotations, handedness

DEGREE_NAMES = ("scalar", "vector")
"""Of the irreps that physics has a word for, by l."""


class SO3(Group):
    """The rotations. Its irreps have labels l = 0, 1, ...; what inversion does is not asked, so there is no sigma."""

    name = "SO3"
    words = "SO(3)"
    cosets = 1
    axis = "l"

    def labels(self, lmax: int) -> tuple[Label, ...]:
        return tuple(range(lmax + 1))

    def character(self, label: Label, elements: torch.Tensor) -> torch.Tensor:
        assert isinstance(label, int)
        return _rotation_character(label, elements)

    def grid(self, degree: int) -> Quadrature:
        return ring_grid(self, degree)

    def draw(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
    ) -> torch.Tensor:
        return haar_rotations(n, generator, device)

    def next_degree(self, degree: int) -> int | None:
        return next_degree(degree)

    def label_name(self, label: Label) -> str:
        assert isinstance(label, int)
        return DEGREE_NAMES[label] if label < len(DEGREE_NAMES) else f"l={label}"

    def decompose(self, representation: Representation) -> Decomposition:
        return _by_blocks(representation, with_sigma=False)


class O3(Group):
    """Rotations and their negatives. Its irreps have labels (l, sigma): sigma = -1 marks the pseudo ones."""

    name = "O3"
    words = "O(3)"
    cosets = 2
    axis = "l"
    family_names = ("proper", "pseudo")

    def labels(self, lmax: int) -> tuple[Sector, ...]:
        return tuple((l, sigma) for l in range(lmax + 1) for sigma in (1, -1))

    def shape(self, lmax: int) -> tuple[int, ...]:
        return (lmax + 1, 2)

    def axes(self) -> tuple[str, ...]:
        return ("l", "sigma")

    def character(self, label: Label, elements: torch.Tensor) -> torch.Tensor:
        l, sigma = _sector(label)
        sign = handedness(elements)
        proper = _rotation_character(l, elements * sign[:, None, None])
        return proper if parity(l, sigma) > 0 else proper * sign

    def grid(self, degree: int) -> Quadrature:
        return ring_grid(self, degree)

    def draw(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
    ) -> torch.Tensor:
        rotations = haar_rotations(n, generator, device)
        coin = torch.rand(n, 1, 1, dtype=torch.float64, device=rotations.device, generator=generator)
        return torch.where(coin < 0.5, -rotations, rotations)

    def next_degree(self, degree: int) -> int | None:
        return next_degree(degree)

    def label_name(self, label: Label) -> str:
        l, sigma = _sector(label)
        if l < len(DEGREE_NAMES):
            return ("" if sigma > 0 else "pseudo") + DEGREE_NAMES[l]
        return f"l={l}" + ("" if sigma > 0 else " (pseudo)")

    def symbol(self, label: Label) -> str:
        return symbol_of(*_sector(label))

    def column(self, label: Label, labels: Sequence[Label]) -> int:
        return _sector(label)[0]

    def heading(self, label: Label) -> str:
        return str(_sector(label)[0])

    def family(self, label: Label) -> int:
        return 0 if _sector(label)[1] > 0 else 1

    def decompose(self, representation: Representation) -> Decomposition:
        return _by_blocks(representation, with_sigma=True)


def _sector(label: Label) -> Sector:
    assert isinstance(label, tuple)
    l, sigma = label
    return l, sigma


def _rotation_character(l: int, rotations: torch.Tensor) -> torch.Tensor:
    """1 + 2 sum_k cos k theta for k = 1..l, of the rotation angle theta."""
    trace = rotations.diagonal(dim1=-2, dim2=-1).sum(-1).to(torch.float64)
    theta = torch.arccos(((trace - 1.0) / 2.0).clamp(-1.0, 1.0))
    k = torch.arange(1, l + 1, dtype=torch.float64, device=rotations.device)
    return 1.0 + 2.0 * torch.cos(theta[:, None] * k).sum(-1)


@functools.lru_cache(maxsize=1024)
def _by_blocks(representation: Representation, with_sigma: bool) -> Decomposition:
    """The blocks that a representation of O(3) states itself; restricted to SO(3), blocks of equal l are one."""
    rows: dict[Label, tuple[int, ...]] = {}
    for block in representation.blocks:
        label: Label = (block.lam, block.sigma) if with_sigma else block.lam
        rows[label] = rows.get(label, ()) + block.rows
    parts = tuple(Isotypic(label, own) for label, own in rows.items())
    return Decomposition(None if representation.is_sorted else representation.matrix, parts)
