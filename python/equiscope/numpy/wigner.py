"""Wigner-D matrices of arrays."""

from __future__ import annotations

import math

import numpy as np

from ..arrays import check_lmax
from ..groups._arguments import check_choice
from ..groups.irreps import matrix_count
from ..groups.spherical import BASES
from ..kernels import arrays
from ._check import check_out, checked_matrices


def wigner_D(
    rotations: np.ndarray, lmax: int, *, basis: str = "standard", out: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """Real Wigner-D matrices ``(*batch, 2l+1, 2l+1)`` for l = 0..lmax, as `equiscope.wigner_D`.

    In the standard basis, where l = 1 is (y, z, x), unless ``basis="e3nn"`` says (x, y, z): D[1] is not R.
    Defined by ``Y_l(R r) = D^l(R) Y_l(r)``. The same bits as those of torch, for any number of threads.

    Args:
        rotations: ``(*batch, 3, 3)`` float32 or float64, active, with determinant +1.
        lmax: highest l, 0..131.
        basis: "standard", or "e3nn" where l = 1 is (x, y, z).
        out: the buffer to fill: ``(n E(lmax),)`` for n rotations with E(l) = (l+1)(2l+1)(2l+3)/3, contiguous, of the
            dtype of `rotations`.

    Returns:
        Views of one buffer ``for l: for rotation: for mp in -l..l: for m in -l..l``, in the dtype of `rotations`.

    Raises:
        ArgumentError: lmax out of range, a matrix not finite, not orthogonal or with determinant -1 (row named),
            unknown basis, `out` that is not contiguous or shares memory with `rotations`.
        ShapeError, DTypeError: not ``(*batch, 3, 3)``, not float32 or float64, `out` that does not fit.

    >>> [D.shape for D in wigner_D(np.broadcast_to(np.eye(3), (7, 3, 3)), 2)]
    [(7, 1, 1), (7, 3, 3), (7, 5, 5)]
    """
    rotations = checked_matrices(rotations)
    lmax = check_lmax(lmax)
    check_choice("basis", basis, BASES)
    batch = rotations.shape[:-2]
    n = math.prod(batch)
    shape = (n * matrix_count(lmax),)
    if out is not None:
        check_out(out, shape, rotations.dtype, rotations=rotations)
    packed = np.empty(shape, rotations.dtype) if out is None else np.asarray(out)
    arrays.wigner_D_checked(rotations.reshape(n, 3, 3), lmax, basis == "e3nn", packed)
    stops = np.cumsum([n * (2 * l + 1) ** 2 for l in range(lmax)])
    parts = np.split(packed, stops)
    return tuple(part.reshape(*batch, 2 * l + 1, 2 * l + 1) for l, part in enumerate(parts))
