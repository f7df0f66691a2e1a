"""What a group is to the rest of the package: labels of irreps, a grid, random elements, and what carries which irrep.

A group holds structure. Acting on tensors fast is the work of the operators.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import ArgumentError, ShapeError, fail
from ..tolerance import orthogonality
from .generators import matrices
from .representation import Representation
from .rotations import deviation

Label = Hashable
"""Names one irrep of a group: an int, a str, or a tuple of these, so that it can be a key and be written to a file."""


@dataclass(frozen=True)
class Chart:
    """The irreps of a group up to some degree as plain values: how power is laid out, and how a reader meets it.

    Arrays of power are ``(*shape, ...)`` and hold the labels in order. A table or picture shows a label in column
    ``columns[i]``, in the panel of its family. Results keep their chart, so that views and files need no group.
    """

    group: str
    lmax: int
    labels: tuple[Label, ...]
    shape: tuple[int, ...]
    """Of power, with one place for each label: ``(lmax + 1, 2)`` for O(3), ``(labels,)`` for most."""
    axes: tuple[str, ...]
    """What each entry of `shape` counts. Where there are several, ("l", "sigma"), labels are tuples of these."""
    names: tuple[str, ...]
    """In words: "vector", "l=2 (pseudo)"."""
    symbols: tuple[str, ...]
    """As short as it goes: "1o"."""
    columns: tuple[int, ...]
    headings: tuple[str, ...]
    """Of the columns."""
    axis: str
    """What the columns count: "l"."""
    families: tuple[int, ...]
    """Of each label: its place in `family_names`."""
    family_names: tuple[str, ...]
    """Panels of a picture: "proper" and "pseudo" for O(3), one "" where labels come in no families."""

    @functools.cached_property
    def _places(self) -> dict[Label, tuple[int, ...]]:
        every = np.ndindex(*self.shape)
        return dict(zip(self.labels, every, strict=True))

    def __contains__(self, label: Label) -> bool:
        return label in self._places

    def place(self, label: Label) -> tuple[int, ...]:
        """Index of `label` in an array of power."""
        return self._places[label]

    def name(self, label: Label) -> str:
        """`label` in words."""
        return self.names[self.labels.index(label)]

    def symbol(self, label: Label) -> str:
        """`label` in short."""
        return self.symbols[self.labels.index(label)]

    def column(self, label: Label) -> int:
        """Column in which `label` is shown."""
        return self.columns[self.labels.index(label)]

    def family(self, label: Label) -> int:
        """Family of `label`: its place in `family_names`."""
        return self.families[self.labels.index(label)]

    @property
    def counts(self) -> bool:
        """Whether the columns are numbered, l = 0, 1, ..., and not named."""
        return all(heading.isdigit() for heading in self.headings)

    def title(self, column: int) -> str:
        """A column by itself: "l=2", or "A1"."""
        return f"{self.axis}={self.headings[column]}" if self.counts else self.headings[column]

    def by_column(self, power: torch.Tensor) -> torch.Tensor:
        """``(*shape, ...)`` summed over the labels of each column, ``(columns, ...)``."""
        flat = power.reshape(len(self.labels), *power.shape[len(self.shape) :])
        total = flat.new_zeros(len(self.headings), *flat.shape[1:])
        return total.index_add_(0, torch.tensor(self.columns, device=flat.device), flat)

    def by_family(self, power: torch.Tensor) -> torch.Tensor:
        """``(*shape)`` as ``(columns, families)``, each a sum over labels; NaN where a column lacks a family."""
        flat = power.reshape(-1)
        cells = [c * len(self.family_names) + f for c, f in zip(self.columns, self.families, strict=True)]
        total = flat.new_full((len(self.headings) * len(self.family_names),), float("nan"))
        where = torch.tensor(cells, device=flat.device)
        total[where] = 0.0
        return total.index_add_(0, where, flat).reshape(len(self.headings), len(self.family_names))


@dataclass(frozen=True)
class Isotypic:
    """All components of a representation that transform as one irrep."""

    label: Label
    rows: tuple[int, ...]
    """Among the components after `Decomposition.matrix`."""

    @property
    def components(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Decomposition:
    """A representation restricted to a group, sorted by irreps."""

    matrix: torch.Tensor | None
    """``(rows, components)`` float64, from flattened components to sorted ones; None: they lie sorted. Its rows are
    orthonormal, but for "voigt", whose sorted components have the norm of the full tensor."""
    parts: tuple[Isotypic, ...]


class Grid(ABC):
    """Elements of a group with weights: averages over them are averages over the group, up to `degree`.

    ``int f dg = sum_i weights[i] f(rotations[i])`` for products of matrix elements of irreps whose degrees sum to
    `degree` at most; where `degree` is None, of every function, as over all elements of a finite group.
    """

    group: Group
    degree: int | None

    @property
    @abstractmethod
    def weights(self) -> torch.Tensor:
        """``(G,)`` float64, sum 1."""

    @abstractmethod
    def __len__(self) -> int:
        """Number G of elements."""

    @abstractmethod
    def select(self, start: int, stop: int) -> torch.Tensor:
        """Elements ``start:stop``, ``(stop - start, 3, 3)`` float64, determinant +1 or -1."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Grid:
        """The same grid with its tensors on `device`."""

    def turned(self, left: torch.Tensor, right: torch.Tensor) -> Grid:
        """The grid ``left @ g @ right`` for two elements of the group ``(3, 3)``, as exact as this one.

        What a grid does not resolve depends on how its points lie to the axes of the data; with a random pair it is
        right on average, whatever the degree.
        """
        return ElementGrid(self.group, left @ self.select(0, len(self)) @ right, self.weights, self.degree)

    def description(self) -> dict[str, int]:
        """What a report says of it beyond degree and size."""
        return {}

    def __repr__(self) -> str:
        degree = "" if self.degree is None else f"degree {self.degree}, "
        return f"<{type(self).__name__} of {self.group}: {degree}{len(self)} elements>"


class ElementGrid(Grid):
    """A grid that is given by its elements ``(G, 3, 3)`` and their weights ``(G,)``, sum 1."""

    def __init__(self, group: Group, rotations: torch.Tensor, weights: torch.Tensor, degree: int | None = None) -> None:
        if rotations.ndim != 3 or rotations.shape[1:] != (3, 3) or weights.shape != rotations.shape[:1]:
            shapes = f"{tuple(rotations.shape)} and {tuple(weights.shape)}"
            fail(ShapeError, "rotations, weights", "(G, 3, 3) and (G,)", shapes)
        self.group = group
        self.degree = degree
        self.rotations = rotations.to(torch.float64)
        self._weights = weights.to(torch.float64)
        off = float(deviation(self.rotations).max())
        if not off <= orthogonality(torch.float64):
            fail(ArgumentError, "rotations", "orthogonal matrices", f"|R R^T - 1| = {off:.3g}")
        total = float(self._weights.sum())
        if not abs(total - 1.0) <= 1e-12 * len(self._weights):
            fail(ArgumentError, "weights", "a sum of 1", total)

    @property
    def weights(self) -> torch.Tensor:
        return self._weights

    def __len__(self) -> int:
        return self.rotations.shape[0]

    def select(self, start: int, stop: int) -> torch.Tensor:
        check_range(start, stop, len(self))
        return self.rotations[start:stop]

    def turned(self, left: torch.Tensor, right: torch.Tensor) -> ElementGrid:
        return type(self)(self.group, left @ self.rotations @ right, self._weights, self.degree)

    def to(self, device: torch.device | str) -> ElementGrid:
        return type(self)(self.group, self.rotations.to(device), self._weights.to(device), self.degree)


def check_range(start: int, stop: int, size: int) -> None:
    """Refuse what is no range of places on a grid of `size` elements."""
    if not 0 <= start <= stop <= size:
        fail(ArgumentError, "start, stop", f"0 <= start <= stop <= {size}", (start, stop))


class Group(ABC):
    """A closed subgroup of O(3), acting on vectors through 3x3 matrices.

    To add one, give `name`, `labels`, `character`, `grid` and `draw`; all else follows from these, by projectors.
    Instances hold no state that changes, and equal each other, and their own name, by name.

    >>> from equiscope import groups
    >>> groups.O3().chart(1).names
    ('scalar', 'pseudoscalar', 'vector', 'pseudovector')
    """

    name: str
    """Short and unique: what ``audit(group=...)`` and files call it."""
    words: str
    """As it is written: "O(3)"."""
    cosets: int = 0
    """How many cosets of SO(3) it consists of: 2 where it holds every rotation and its negative, 1 where it holds just
    the rotations. Such a group has grids of rings and irreps of its rotations of degree l, and the operators project
    its functions. 0: power comes from samples, by characters."""
    axis: str = "irrep"
    """What the columns of its tables and pictures count."""
    input: str | None = None
    """The input that holds the axis of each system, where they differ: z in their frames, and that of the group."""
    finest: int = 41
    """Highest degree that ``degree="auto"`` tries: 39 thousand elements of O(3)."""
    family_names: tuple[str, ...] = ("",)

    @abstractmethod
    def labels(self, lmax: int) -> tuple[Label, ...]:
        """The irreps that representations of degree `lmax` of O(3) and below contain, the trivial one first."""

    @abstractmethod
    def character(self, label: Label, elements: torch.Tensor) -> torch.Tensor:
        """``(n,)`` float64: trace of the irrep at elements ``(n, 3, 3)``."""

    @abstractmethod
    def grid(self, degree: int) -> Grid:
        """A grid that is exact to `degree` at least (see `Grid`)."""

    @abstractmethod
    def draw(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
    ) -> torch.Tensor:
        """``(n, 3, 3)`` float64: independent elements, uniform in Haar measure."""

    # -- names, which a group may better -------------------------------------------------------------------------

    def label_name(self, label: Label) -> str:
        """One irrep in words."""
        return str(label)

    def symbol(self, label: Label) -> str:
        """One irrep in short."""
        return str(label)

    def column(self, label: Label, labels: Sequence[Label]) -> int:
        """Where a table shows it: by default each label has a column."""
        return labels.index(label)

    def heading(self, label: Label) -> str:
        """Of that column."""
        return self.symbol(label)

    def family(self, label: Label) -> int:
        """Its place in `family_names`."""
        return 0

    def shape(self, lmax: int) -> tuple[int, ...]:
        """Of arrays of power."""
        return (len(self.labels(lmax)),)

    def axes(self) -> tuple[str, ...]:
        """What each entry of `shape` counts."""
        return (self.axis,)

    def chart(self, lmax: int) -> Chart:
        """The irreps up to `lmax` as plain values."""
        return _chart(type(self), self, lmax)

    # -- grids ---------------------------------------------------------------------------------------------------

    def next_degree(self, degree: int) -> int | None:
        """The next degree worth trying after `degree`; None where there is none."""
        return degree + 2

    # -- what carries which irrep --------------------------------------------------------------------------------

    def dimension(self, label: Label) -> int:
        """Of one irrep, over the reals."""
        return round(float(self.character(label, torch.eye(3, dtype=torch.float64).unsqueeze(0))))

    def multiplicity(self, label: Label) -> int:
        """``int chi^2 dg``: 1 for an irrep that stays one over the complex numbers, 2 where it becomes a pair."""
        return _multiplicity(type(self), self, label)

    def power(self, values: torch.Tensor, grid: Grid, lmax: int) -> torch.Tensor:
        """``(*shape, channels)`` of values ``(G, channels)``: squared norm of the part in each irrep.

        With the projector ``P u(g) = d / m int chi(h) u(h^-1 g) dh`` (d the dimension, m the multiplicity of the
        character), power is ``<u, P u> = d / m sum_ij w_i w_j chi(g_i g_j^-1) u_i u_j``. The readable definition: it
        takes G^2 characters for each irrep.
        """
        return self.sample_power(values, grid.select(0, len(grid)), grid.weights[:, None], lmax)

    def sample_power(
        self, values: torch.Tensor, elements: torch.Tensor, weights: torch.Tensor | float, lmax: int
    ) -> torch.Tensor:
        """The same of values ``(G, channels)`` at any elements ``(G, 3, 3)``, with weights ``(G, 1)`` or one of all."""
        u = values.to(torch.float64) * weights
        quotients = (elements[:, None] @ elements.mT[None]).reshape(-1, 3, 3)
        power = []
        for label in self.labels(lmax):
            chi = self.character(label, quotients).reshape(len(elements), len(elements))
            factor = self.dimension(label) / self.multiplicity(label)
            power.append(factor * (u * (chi @ u)).sum(0))
        return torch.stack(power).reshape(*self.shape(lmax), -1)

    def decompose(self, representation: Representation) -> Decomposition:
        """The components of `representation`, sorted by the irreps of this group.

        By projectors: ``d / m int chi(h) rho(h) dh`` is the projector onto all copies of an irrep, and its
        eigenvectors of eigenvalue 1 are its components.
        """
        return _decompose(type(self), self, representation)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return self.name == (other.name if isinstance(other, Group) else other)

    def __hash__(self) -> int:
        return hash(self.name)


_EXACT = 8
"""Degree of the grid on which multiplicities of characters and projectors onto components are taken: products of two
irreps of l <= 4, which carry every declared kind."""


# What follows is kept. The class is part of the key, since one that is written anew in a notebook keeps its name.


@functools.lru_cache(maxsize=256)
def _chart(kind: type[Group], group: Group, lmax: int) -> Chart:
    labels = group.labels(lmax)
    columns = tuple(group.column(label, labels) for label in labels)
    headings = {column: group.heading(label) for column, label in zip(columns, labels, strict=True)}
    return Chart(
        group=group.name,
        lmax=lmax,
        labels=labels,
        shape=group.shape(lmax),
        axes=group.axes(),
        names=tuple(map(group.label_name, labels)),
        symbols=tuple(map(group.symbol, labels)),
        columns=columns,
        headings=tuple(headings[column] for column in sorted(headings)),
        axis=group.axis,
        families=tuple(map(group.family, labels)),
        family_names=group.family_names,
    )


@functools.lru_cache(maxsize=256)
def _multiplicity(kind: type[Group], group: Group, label: Label) -> int:
    grid = group.grid(_EXACT)
    return round(float(grid.weights @ group.character(label, grid.select(0, len(grid))).square()))


@functools.lru_cache(maxsize=256)
def _decompose(kind: type[Group], group: Group, representation: Representation) -> Decomposition:
    grid = group.grid(max(_EXACT, 2 * representation.degree))
    elements = grid.select(0, len(grid))
    dense = matrices(representation, elements)
    rows: list[torch.Tensor] = []
    parts: list[Isotypic] = []
    for label in group.labels(representation.degree):
        factor = group.dimension(label) / group.multiplicity(label)
        weighted = factor * grid.weights * group.character(label, elements)
        values, vectors = torch.linalg.eigh(torch.einsum("g,gij->ij", weighted, dense))
        own = vectors[:, values > 0.5].T
        if own.shape[0]:
            start = sum(map(len, rows))
            parts.append(Isotypic(label, tuple(range(start, start + own.shape[0]))))
            rows.append(own)
    expected = representation.matrix.shape[0]
    if sum(map(len, rows)) != expected:
        fail(
            ArgumentError,
            "group",
            f"labels that carry all {expected} components of {representation.name!r}",
            f"{sum(map(len, rows))} in the irreps of {group.name}",
        )
    return Decomposition(torch.cat(rows) @ representation.matrix, tuple(parts))
