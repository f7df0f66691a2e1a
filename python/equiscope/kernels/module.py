"""The compiled module, and what its functions take; it knows no torch, and nor does this file."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from ..errors import ArgumentError, fail
from ..groups.action import Step, parsed
from ..groups.representation import Representation

try:
    from .. import _C
except ImportError as error:
    raise ImportError(
        "equiscope: expected the compiled module equiscope._C, got none that can be imported "
        f"({error}). Install the package with `pip install .` in the source tree (a C++17 compiler is needed); if "
        "it is installed, start Python outside of the source tree"
    ) from error


class Buffer(NamedTuple):
    """Dense memory."""

    address: int
    elements: int
    dtype: str
    owner: object
    """Keeps the memory alive during the call."""


def compiled_info() -> dict[str, Any]:
    """Instruction sets, compiler and, in a build with CUDA, toolkit and architectures."""
    return _C.info()


@functools.lru_cache(maxsize=1024)
def blocks(rep: Representation) -> list[tuple[int, int, int, int, int, bool]]:
    """(l, mul, offset, stride of copies, stride of m, odd) of every term."""
    assert rep.irreps is not None
    found = []
    for term, where in zip(rep.irreps, rep.irreps.slices(), strict=True):
        strides = (2 * term.l + 1, 1) if rep.layout == "mul_ir" else (1, term.mul)
        if term.mul > 0:
            found.append((term.l, term.mul, where.start, *strides, term.p < 0))
    return found


@functools.lru_cache(maxsize=1024)
def checked_blocks(rep: Representation) -> _C.Blocks:
    """The same for the compiled module, which has checked them."""
    return _C.Blocks(blocks(rep), rep.components)


def rotate_checked(
    x: Buffer, rotations: Buffer, rows: int, step: Step, inverse: bool, tolerance: float, out: Buffer, threads: int
) -> RotationFaults:
    """`Backend.rotate_checked` in the memory of the host."""
    if step.irreps:
        own, cycled = checked_blocks(parsed(step.irreps, "standard", step.layout)), step.basis == "e3nn"
        found = _C.rotate_checked(x, rotations, rows, own, cycled, inverse, out, tolerance, threads)
    else:
        rank, pseudo = step.rank, step.pseudo
        found = _C.rotate_tensors_checked(x, rotations, rows, rank, pseudo, inverse, out, tolerance, threads)
    return RotationFaults(*found)


class RotationFaults(NamedTuple):
    """What is wrong with a batch of matrices; rows are -1 where nothing is."""

    bad: int
    """The first row that is not finite or not orthogonal."""
    deviation: float
    """|R R^T - 1| in that row."""
    improper: int
    """The first row of negative determinant; of no meaning where a row is bad."""

    def refuse(self, rotations: Any, limit: float, *, proper: bool, argument: str = "rotations") -> None:
        """Raise ArgumentError for what is wrong with ``(*batch, 3, 3)``, a tensor or an array.

        It is further than `limit` from orthogonal or, where it is to be `proper`, of negative determinant.
        """
        if self.bad >= 0:
            finite = all(map(math.isfinite, rotations.reshape(-1, 9)[self.bad].tolist()))
            what = f"|R R^T - 1| = {self.deviation:.3g}" if finite else "non-finite values"
            expected = f"orthogonal 3x3 matrices (|R R^T - 1| <= {limit:g})"
            fail(ArgumentError, argument, expected, f"row {self.bad} with {what}")
        if proper and self.improper >= 0:
            fail(
                ArgumentError,
                argument,
                "proper rotations, because D^l says nothing of parity: pass -R, and multiply by -1 what is odd under "
                "inversion (rotate does both)",
                f"row {self.improper} with determinant -1",
            )
