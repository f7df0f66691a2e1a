"""Cartesian tensors of any rank and index symmetry, and the irreps that they split into."""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError, fail
from ._kept import kept
from .irreps import Block, parity
from .ladders import generators

if TYPE_CHECKING:
    import torch

HIGHEST_RANK = 6
"""729 entries. The split of a rank holds the square of as many numbers."""

ASE_ORDER = ("xx", "yy", "zz", "yz", "xz", "xy")
"""Of "voigt" where no order is said."""

SHEAR = {"voigt": 1.0, "voigt-strain": 2.0, "mandel": 2.0**0.5}
"""What a stored shear component is, in entries of the tensor: engineering shear is twice, Mandel's keeps the norm."""

STANDARD_VECTOR = (1, 2, 0)
"""(y, z, x): the order of a vector in the standard basis, m = -1, 0, 1."""

SYNTAX = re.compile(r"(pseudo)?(scalar|vector|tensor)(?:\((.*)\))?|(voigt|voigt-strain|mandel)(?:\((.*)\))?")

Relation = tuple[tuple[int, ...], int]
"""An order of the indices, and the sign with which the tensor is the same in it."""

Share = tuple[int, float]
"""Where a number comes from, and times what."""


@dataclass(frozen=True)
class Cartesian:
    """A tensor with `rank` indices, each of which turns as a vector; times the determinant where it is `pseudo`.

    `relations` are the symmetries of its indices, and `stored` says which entries are there at all.
    """

    name: str
    rank: int
    pseudo: bool = False
    relations: tuple[Relation, ...] = ()
    stored: tuple[tuple[int, int], ...] | None = None
    """The entries (i, j) that are stored of a symmetric tensor of rank 2; None: all, with an axis for each index."""
    shear: float = 1.0
    """Stored entries with i != j are as many times the entry of the tensor."""

    @classmethod
    def parse(cls, text: str) -> Cartesian | None:
        """The tensor that is written "vector", "tensor(3)", "tensor(ij=-ji)", "voigt(xx,yy,...)"; None: it is none."""
        found = SYNTAX.fullmatch("scalar" if text == "invariant" else text)
        if found is None:
            return None
        pseudo, word, said, six, order = found.groups()
        if six is not None:
            return _six(text, six, order)
        if word != "tensor":
            return cls(text, 0 if word == "scalar" else 1, bool(pseudo)) if said is None else None
        if said is None or "=" not in said:
            rank = _rank(text, said)
            return cls(f"{pseudo or ''}tensor{'' if rank == 2 else f'({rank})'}", rank, bool(pseudo))
        rank, relations = _relations(text, said)
        return cls(text, rank, bool(pseudo), relations)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its component axes where it stands alone."""
        return (len(self.stored),) if self.stored is not None else (3,) * self.rank

    @property
    def components(self) -> int:
        return len(self.stored) if self.stored is not None else self.entries

    @property
    def entries(self) -> int:
        """Of the whole tensor."""
        return int(3**self.rank)

    @property
    def is_invariant(self) -> bool:
        return self.rank == 0 and not self.pseudo

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The irreps that its symmetry allows; rows of `matrix`."""
        _, degrees = _split(self.rank, self.relations)
        p = (-1) ** self.rank * (-1 if self.pseudo else 1)
        rows: dict[int, list[int]] = {}
        start = 0
        for l in degrees:
            rows.setdefault(l, []).extend(range(start, start + 2 * l + 1))
            start += 2 * l + 1
        return tuple(Block(l, parity(l, p), tuple(own)) for l, own in rows.items())

    @functools.cached_property
    @kept
    def matrix(self) -> torch.Tensor | None:
        """``(rows, components)`` float64 from components to irreps in the standard basis, with the norm of the whole
        tensor; None for scalars and vectors, which are irreps as they lie."""
        if self.rank < 2:
            return None
        import torch

        split, _ = _split(self.rank, self.relations)
        return torch.from_numpy(split) @ self.whole(torch.eye(self.components, dtype=torch.float64)).T

    @property
    def spread(self) -> tuple[Share, ...]:
        """Of each entry of the whole tensor: the component that it is, and times what; empty where all are stored."""
        if self.stored is None:
            return ()
        place = {pair: c for c, (i, j) in enumerate(self.stored) for pair in ((i, j), (j, i))}
        pairs = itertools.product(range(3), repeat=2)
        return tuple((place[i, j], 1.0 if i == j else 1.0 / self.shear) for i, j in pairs)

    @property
    def chosen(self) -> tuple[Share, ...]:
        """Of each component: the entry of the whole tensor that it is, and times what; empty where all are stored."""
        return tuple((3 * i + j, 1.0 if i == j else self.shear) for i, j in self.stored or ())

    def whole(self, x: torch.Tensor) -> torch.Tensor:
        """``(..., components)`` as ``(..., entries)``: all entries of the tensor."""
        return gathered(x, self.spread)

    def kept_of(self, x: torch.Tensor) -> torch.Tensor:
        """``(..., entries)`` as ``(..., components)``: the inverse of `whole`."""
        return gathered(x, self.chosen)

    def matrices(self, elements: torch.Tensor) -> torch.Tensor:
        """``(n, components, components)``: what elements ``(n, 3, 3)`` of O(3) do to the components."""
        import torch

        from .rotations import handedness

        one = torch.eye(self.components, dtype=elements.dtype, device=elements.device)
        turned = self.kept_of(contracted(self.whole(one).expand(len(elements), -1, -1), elements, self.rank)).mT
        return turned * handedness(elements)[:, None, None] if self.pseudo else turned

    def strays(self, x: torch.Tensor) -> float:
        """Root mean square of what violates the symmetry of the indices, over that of all; x ``(..., components)``."""
        if not self.relations or self.stored is not None or not x.numel():
            return 0.0
        assert self.matrix is not None
        matrix = self.matrix.to(x.device)
        wide = x.to(matrix.dtype)
        size = float(wide.square().sum())
        return (float((wide - wide @ matrix.T @ matrix).square().sum()) / size) ** 0.5 if size > 0 else 0.0


def gathered(x: torch.Tensor, shares: tuple[Share, ...]) -> torch.Tensor:
    """``(..., n)`` with, of every share (i, f), ``f x[..., i]`` as an entry of the last axis; none: x itself."""
    if not shares:
        return x
    import torch

    own = x.unbind(-1)
    return torch.stack([own[i] if factor == 1.0 else own[i] * factor for i, factor in shares], -1)


def contracted(x: torch.Tensor, matrices: torch.Tensor, rank: int) -> torch.Tensor:
    """``(n or 1, rows, 3^rank)``, every index turned by its matrix ``(n, 3, 3)``: ``y_i.. = sum_a M_ia x_a..``."""
    rows, others = x.shape[1], int(3 ** (rank - 1)) if rank else 0
    for _ in range(rank):
        # the last index is turned and becomes the first: after `rank` steps they are in order again
        x = x.reshape(x.shape[0], rows * others, 3) @ matrices.mT
        x = x.reshape(x.shape[0], rows, others, 3).mT.reshape(x.shape[0], rows, 3 * others)
    return x


def _six(text: str, word: str, order: str | None) -> Cartesian:
    names = ASE_ORDER if order is None else tuple("".join(sorted(name.strip())) for name in order.split(","))
    if sorted(names) != sorted(ASE_ORDER):
        fail(ArgumentError, "rep", f"the six of {','.join(ASE_ORDER)} in any order, each once", repr(text))
    written = text if order is None else f"{word}({','.join(names)})"
    stored = tuple(("xyz".index(name[0]), "xyz".index(name[1])) for name in names)
    return Cartesian(written, 2, False, (((1, 0), 1),), stored, SHEAR[word])


def _rank(text: str, said: str | None) -> int:
    rank = 2 if said is None else int(said) if said.isascii() and said.isdigit() and len(said) < 3 else 0
    if not 2 <= rank <= HIGHEST_RANK:
        fail(
            ArgumentError,
            "rep",
            f'a rank of 2 to {HIGHEST_RANK}, as "tensor(3)" (of rank 1: "vector"), or a symmetry of its indices, as '
            '"tensor(ijk=jik)"',
            repr(text),
        )
    return rank


def _relations(text: str, said: str) -> tuple[int, tuple[Relation, ...]]:
    first, *others = (part.strip() for part in said.split("="))
    indices = [(1, part) if not part.startswith("-") else (-1, part[1:].strip()) for part in others]
    distinct = first.isascii() and first.isalpha() and len(set(first)) == len(first) and 2 <= len(first) <= HIGHEST_RANK
    if not distinct or any(sorted(part) != sorted(first) for _, part in indices):
        fail(
            ArgumentError,
            "rep",
            f'2 to {HIGHEST_RANK} different letters and orders of the same, as "tensor(ij=-ji)"',
            repr(text),
        )
    relations = tuple((tuple(first.index(letter) for letter in part), sign) for sign, part in indices)
    if _orders(len(first), relations) is None:
        fail(ArgumentError, "rep", "a symmetry that some tensor but 0 has", repr(text))
    return len(first), relations


@functools.cache
def _orders(rank: int, relations: tuple[Relation, ...]) -> dict[tuple[int, ...], int] | None:
    """Every order of the indices that the relations generate, with its sign; None where signs contradict each other."""
    found = {tuple(range(rank)): 1}
    new = list(found)
    while new:
        order = new.pop()
        for other, sign in relations:
            joined = tuple(order[i] for i in other)
            if joined not in found:
                found[joined] = sign * found[order]
                new.append(joined)
            elif found[joined] != sign * found[order]:
                return None
    return found


@functools.cache
def _split(rank: int, relations: tuple[Relation, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    """``(rows, 3^rank)``, orthonormal, and the l of each copy, in ascending order; rows m = -l..l of each copy.

    Indices are joined one after the other, l and 1 to l - 1, l, l + 1. A symmetry of the indices acts on the copies of
    each l alone: those in its eigenspace of eigenvalue 1 are the ones it allows.
    """
    copies = _copies(rank)
    rows, degrees = [], []
    for l in sorted(copies):
        own = copies[l]
        if relations:
            own = _allowed(own, rank, relations)
        rows.append(own.reshape(-1, 3**rank))
        degrees += [l] * len(own)
    return np.concatenate(rows), tuple(degrees)


@functools.cache
def _copies(rank: int) -> dict[int, np.ndarray]:
    """By l ``(copies, 2l+1, 3^rank)``."""
    if rank == 0:
        return {0: np.ones((1, 1, 1))}
    vector = np.eye(3)[list(STANDARD_VECTOR)]
    found: dict[int, list[np.ndarray]] = {}
    for l, own in _copies(rank - 1).items():
        for joined in range(abs(l - 1), l + 2):
            if l > 0 or joined == 1:
                coupling = _coupling(l, joined).reshape(2 * joined + 1, 2 * l + 1, 3)
                new = np.einsum("Mmk,cma,kb->cMab", coupling, own, vector)
                found.setdefault(joined, []).append(new.reshape(len(own), 2 * joined + 1, -1))
    return {l: np.concatenate(own) for l, own in found.items()}


def _allowed(own: np.ndarray, rank: int, relations: tuple[Relation, ...]) -> np.ndarray:
    orders = _orders(rank, relations)
    assert orders is not None
    first = own[:, 0].reshape(-1, *(3,) * rank)
    mean = sum(sign * first.transpose(0, *(1 + i for i in order)) for order, sign in orders.items()) / len(orders)
    values, vectors = np.linalg.eigh(np.tensordot(mean, first, axes=(range(1, rank + 1),) * 2))
    chosen = vectors[:, values > 0.5]
    # a sign that does not depend on the machine
    chosen = chosen * np.sign(np.take_along_axis(chosen, np.abs(chosen).argmax(0)[None], 0))
    allowed: np.ndarray = np.einsum("ck,cma->kma", chosen, own)
    return allowed


@functools.cache
def _coupling(l: int, joined: int) -> np.ndarray:
    """``(2 joined + 1, 3 (2l + 1))``, orthonormal: real Clebsch-Gordan coefficients of l and 1, up to one sign.

    What commutes with the generators: unique by Schur's lemma. The Casimir operator finds the subspace.
    """
    n = 2 * joined + 1
    own = generators(joined)
    each = zip(generators(l), generators(1), strict=True)
    both = [np.kron(a, np.eye(3)) + np.kron(np.eye(2 * l + 1), b) for a, b in each]
    casimir = -sum(x @ x for x in both)
    values, vectors = np.linalg.eigh(casimir)
    subspace = vectors[:, np.abs(values - joined * (joined + 1)) < 0.5]
    within = [subspace.T @ x @ subspace for x in both]
    # X U = U Z for all three, as linear equations for the entries of U
    equations = [np.kron(x, np.eye(n)) - np.kron(np.eye(n), z.T) for x, z in zip(own, within, strict=True)]
    unknown = np.linalg.svd(np.concatenate(equations))[2][-1].reshape(n, n) * n**0.5
    found: np.ndarray = unknown @ subspace.T
    flat = found.ravel()
    found *= np.sign(flat[np.abs(flat) > 1e-6][0])
    return found
