"""Direct sums of irreps of O(3), written as in e3nn: "8x0e+4x1o"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import ArgumentError, fail
from ..tolerance import MAXIMUM_LMAX

Sector = tuple[int, int]
"""An irrep of O(3): (l, sigma), sigma = +1 (proper: scalars, vectors) or -1 (pseudo)."""

MAXIMUM_DIM = 1 << 24
"""Components that one axis may have: each is looked up in tables by its number."""

LIMITS = f"l <= {MAXIMUM_LMAX} and at most {MAXIMUM_DIM} components"

# as many digits as Python reads without being asked twice
_TERM = re.compile(r"\s*(?:(\d{1,18})\s*x\s*)?(\d{1,18})\s*([eo])\s*", re.ASCII)


def parity(l: int, sigma: int) -> int:
    """What the inversion is in the irrep (l, sigma): sigma (-1)^l; with a parity in place of sigma, its sigma."""
    return -sigma if l % 2 else sigma


def symbol_of(l: int, sigma: int) -> str:
    """e3nn's name of the irrep (l, sigma): l, and "e" or "o" for its parity."""
    return f"{l}{'e' if parity(l, sigma) > 0 else 'o'}"


def matrix_count(lmax: int) -> int:
    """E(lmax) = sum of (2l+1)^2 for l = 0..lmax: the elements of all D^l; 0 for lmax = -1."""
    return (lmax + 1) * (2 * lmax + 1) * (2 * lmax + 3) // 3


@dataclass(frozen=True)
class Block:
    """All components of one irrep (lambda, sigma); `rows` index the irreps components."""

    lam: int
    sigma: int
    rows: tuple[int, ...]

    @property
    def components(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Irrep:
    """`mul` copies of the irrep with angular momentum `l` and parity `p` (+1 for "e", -1 for "o")."""

    mul: int
    l: int
    p: int

    @property
    def sigma(self) -> int:
        """+1 for a proper irrep (0e, 1o, 2e, ...), -1 for a pseudo one: p = sigma (-1)^l."""
        return parity(self.l, self.p)

    @property
    def dim(self) -> int:
        return self.mul * (2 * self.l + 1)

    def __str__(self) -> str:
        return f"{self.mul}x{symbol_of(self.l, self.sigma)}"


@dataclass(frozen=True)
class Irreps:
    """A sequence of irreps with multiplicities, in the order in which they lie along an axis."""

    terms: tuple[Irrep, ...]

    @classmethod
    def parse(cls, text: str | Irreps) -> Irreps:
        """From "8x0e+4x1o"; a multiplicity of 1 may be left out; l at most 131."""
        if isinstance(text, Irreps):
            return text
        matches = [_TERM.fullmatch(term) for term in text.split("+")] if isinstance(text, str) else [None]
        terms = tuple(
            Irrep(int(m.group(1) or 1), int(m.group(2)), 1 if m.group(3) == "e" else -1)
            for m in matches
            if m is not None
        )
        found = cls(terms)
        if not all(matches) or any(term.l > MAXIMUM_LMAX for term in terms) or found.dim > MAXIMUM_DIM:
            fail(ArgumentError, "text", f'terms such as "8x0e+4x1o" with {LIMITS}', f"{text!r:.200}")
        return found

    @classmethod
    def harmonics(cls, lmax: int) -> Irreps:
        """Those of the spherical harmonics, "1x0e+1x1o+1x2e+..." up to lmax."""
        return cls(tuple(Irrep(1, l, parity(l, 1)) for l in range(lmax + 1)))

    @property
    def dim(self) -> int:
        return sum(term.dim for term in self.terms)

    def slices(self) -> list[slice]:
        """Where each term lies along the axis."""
        stops, start = [], 0
        for term in self.terms:
            stops.append(slice(start, start + term.dim))
            start += term.dim
        return stops

    def __iter__(self) -> Iterator[Irrep]:
        return iter(self.terms)

    def __str__(self) -> str:
        return "+".join(map(str, self.terms))
