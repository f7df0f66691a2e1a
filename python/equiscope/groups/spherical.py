"""Irreps along one axis, in one of the two bases and layouts of the field."""

from __future__ import annotations

from dataclasses import dataclass

from .irreps import Block, Irreps

BASES = ("standard", "e3nn")
LAYOUTS = ("mul_ir", "ir_mul")

CYCLE = (2, 0, 1)
"""The e3nn basis is the standard one after relabelling (x, y, z) as (z, x, y)."""


@dataclass(frozen=True)
class Spherical:
    """Components that are irreps as they lie."""

    irreps: Irreps
    basis: str = "standard"
    layout: str = "mul_ir"

    matrix = None

    @property
    def name(self) -> str:
        return str(self.irreps)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.irreps.dim,)

    @property
    def components(self) -> int:
        return self.irreps.dim

    @property
    def entries(self) -> int:
        return self.irreps.dim

    @property
    def is_invariant(self) -> bool:
        return all(irrep.l == 0 and irrep.p > 0 for irrep in self.irreps if irrep.mul)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Multiplicities of one irrep are one block."""
        rows: dict[tuple[int, int], list[int]] = {}
        for irrep, where in zip(self.irreps, self.irreps.slices(), strict=True):
            rows.setdefault((irrep.l, irrep.sigma), []).extend(range(where.start, where.stop))
        return tuple(Block(l, sigma, tuple(own)) for (l, sigma), own in rows.items())
