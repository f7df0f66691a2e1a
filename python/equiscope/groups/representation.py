"""How a tensor transforms under O(3), and the irreps its components split into."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ArgumentError, DTypeError, ShapeError, fail
from ._arguments import check_choice
from ._kept import kept
from .irreps import LIMITS, Irreps

KINDS = ("scalar", "invariant", "pseudoscalar", "vector", "pseudovector", "tensor", "voigt")
_AXES = {"vector": (3,), "pseudovector": (3,), "tensor": (3, 3), "voigt": (6,)}
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Where ASE's Voigt components xx, yy, zz, yz, xz, xy lie in the matrix."""

CYCLE = (2, 0, 1)
"""The e3nn basis is the standard one after relabelling (x, y, z) as (z, x, y)."""


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
class Representation:
    """A declared representation. Component axes are the last axes of a tensor.

    ``flatten(x) @ matrix.T`` are the components in irreps, block by block as `blocks` says. `matrix` is orthonormal for
    all kinds but "voigt", whose shear components carry sqrt(2) so that norms are those of the full 3x3 tensor.
    """

    name: str
    irreps: Irreps | None = None
    basis: str = "standard"
    layout: str = "mul_ir"

    @classmethod
    def parse(
        cls, rep: str | Irreps | Representation, *, basis: str = "standard", layout: str = "mul_ir"
    ) -> Representation:
        """One of `KINDS`, or an Irreps string such as "8x0e+4x1o" in the given basis and layout."""
        if isinstance(rep, Representation):
            return rep
        check_choice("basis", basis, ("standard", "e3nn"))
        check_choice("layout", layout, ("mul_ir", "ir_mul"))
        if isinstance(rep, str) and rep in KINDS:
            return cls(rep)
        if not isinstance(rep, (str, Irreps)):
            fail(DTypeError, "representation", f"one of {', '.join(KINDS)} or an Irreps string", type(rep).__name__)
        try:
            irreps = Irreps.parse(rep)
        except ArgumentError:
            expected = f'one of {", ".join(KINDS)} or irreps such as "8x0e+4x1o" with {LIMITS}'
            fail(ArgumentError, "representation", expected, repr(rep))
        return cls(str(irreps), irreps, basis, layout)

    @classmethod
    def declared(
        cls, rep: Any, *, basis: str | None, layout: str = "mul_ir", argument: str = "representation"
    ) -> Representation:
        """As `parse`, of what the user says of a tensor: irreps whose basis would be a guess are refused."""
        found = cls.parse(rep, basis="standard" if basis is None else basis, layout=layout)
        if basis is None and found is not rep and any(irrep.l for irrep in found.irreps or ()):
            fail(
                ArgumentError,
                "basis",
                f'the order of the components of {argument} = {found.name!r}: "standard" (m = -l..l, so that l = 1 is '
                'y, z, x) or "e3nn" (l = 1 is x, y, z), for all keys or for one by '
                f'Representation.parse({found.name!r}, basis="e3nn")',
                "none",
            )
        return found

    @property
    def component_shape(self) -> tuple[int, ...]:
        """Sizes of the component axes: (), (3,), (3, 3), (6,) or (dim,)."""
        return (self.irreps.dim,) if self.irreps is not None else _AXES.get(self.name, ())

    @property
    def component_axes(self) -> int:
        return len(self.component_shape)

    @property
    def components(self) -> int:
        return int(torch.Size(self.component_shape).numel())

    @property
    def entries(self) -> int:
        """Number that a squared norm is divided by: of "voigt" the 9 entries of the tensor whose norm it is."""
        return 9 if self.name == "voigt" else self.components

    @property
    def is_invariant(self) -> bool:
        """Whether every element of O(3) acts as the identity."""
        return all(block.lam == 0 and block.sigma == 1 for block in self.blocks)

    @functools.cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The irreps the components split into; multiplicities of one irrep are one block."""
        if self.irreps is None:
            return _CARTESIAN_BLOCKS[self.name]
        rows: dict[tuple[int, int], list[int]] = {}
        for term, where in zip(self.irreps, self.irreps.slices(), strict=True):
            rows.setdefault((term.l, term.sigma), []).extend(range(where.start, where.stop))
        return tuple(Block(l, sigma, tuple(own)) for (l, sigma), own in rows.items())

    @functools.cached_property
    @kept
    def matrix(self) -> torch.Tensor:
        """``(components, components)`` float64: from flattened components to irreps components."""
        if self.name in ("tensor", "voigt"):
            return _rank_2_matrix(self.name)
        return torch.eye(self.components, dtype=torch.float64)

    @property
    def degree(self) -> int:
        """Highest l of its irreps."""
        return max((block.lam for block in self.blocks), default=0)

    def check(self, shape: Sequence[int], argument: str) -> None:
        """Raise ShapeError unless the trailing axes of `shape` fit."""
        axes = self.component_shape
        if tuple(shape[len(shape) - len(axes) :]) != axes or len(shape) < len(axes):
            expected = f"(..., {', '.join(map(str, axes))})" if axes else "(...)"
            fail(ShapeError, argument, f"{expected} for {self.name!r}", tuple(shape))

    def flatten(self, x: torch.Tensor) -> torch.Tensor:
        """``(..., *component axes)`` as ``(..., components)``."""
        return x.reshape(*x.shape[: x.ndim - self.component_axes], self.components)

    def unflatten(self, x: torch.Tensor) -> torch.Tensor:
        """``(..., components)`` as ``(..., *component axes)``."""
        return x.reshape((*x.shape[:-1], *self.component_shape))


def _rank_2_matrix(name: str) -> torch.Tensor:
    """Orthonormal split of a 3x3 tensor into trace, antisymmetric (y, z, x) and symmetric traceless parts."""
    r2, r3, r6 = 2**-0.5, 3**-0.5, 6**-0.5
    rows = {
        "trace": {(0, 0): r3, (1, 1): r3, (2, 2): r3},
        "ay": {(0, 2): r2, (2, 0): -r2},
        "az": {(1, 0): r2, (0, 1): -r2},
        "ax": {(2, 1): r2, (1, 2): -r2},
        "xy": {(0, 1): r2, (1, 0): r2},
        "yz": {(1, 2): r2, (2, 1): r2},
        "zz": {(2, 2): 2 * r6, (0, 0): -r6, (1, 1): -r6},
        "xz": {(0, 2): r2, (2, 0): r2},
        "xx-yy": {(0, 0): r2, (1, 1): -r2},
    }
    if name == "tensor":
        full = torch.zeros(9, 9, dtype=torch.float64)
        for i, entries in enumerate(rows.values()):
            for (a, b), value in entries.items():
                full[i, 3 * a + b] = value
        return full
    symmetric = [entries for key, entries in rows.items() if not key.startswith("a")]
    matrix = torch.zeros(6, 6, dtype=torch.float64)
    for i, entries in enumerate(symmetric):
        for column, (a, b) in enumerate(VOIGT):
            # one Voigt entry stands for (a, b) and (b, a)
            matrix[i, column] = entries.get((a, b), 0.0) + (entries.get((b, a), 0.0) if a != b else 0.0)
    return matrix


_CARTESIAN_BLOCKS = {
    "scalar": (Block(0, 1, (0,)),),
    "invariant": (Block(0, 1, (0,)),),
    "pseudoscalar": (Block(0, -1, (0,)),),
    "vector": (Block(1, 1, (0, 1, 2)),),
    "pseudovector": (Block(1, -1, (0, 1, 2)),),
    "tensor": (Block(0, 1, (0,)), Block(1, -1, (1, 2, 3)), Block(2, 1, (4, 5, 6, 7, 8))),
    "voigt": (Block(0, 1, (0,)), Block(2, 1, (1, 2, 3, 4, 5))),
}
