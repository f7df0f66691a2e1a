"""Real spherical harmonics of arrays."""

from __future__ import annotations

import numpy as np

from ..arrays import check_lmax
from ..groups._arguments import check_choice
from ..groups.spherical import BASES
from ..kernels import arrays
from ._check import check_out, checked_points


def spherical_harmonics(
    xyz: np.ndarray, lmax: int, *, basis: str = "standard", out: np.ndarray | None = None
) -> np.ndarray:
    """Real spherical harmonics ``(*batch, (lmax+1)**2)`` of the directions of xyz, as `equiscope.spherical_harmonics`.

    In the standard basis, where l = 1 is proportional to (y, z, x), unless ``basis="e3nn"`` says (x, y, z). m = -l..l,
    no Condon-Shortley phase, the integral of Y^2 over the sphere is 1.
    The same bits as those of torch, for any number of threads.

    Args:
        xyz: ``(*batch, 3)`` float32 or float64, any unit; a zero vector has Y_00 only.
        lmax: highest l, 0..131.
        basis: "standard", or "e3nn" where l = 1 is proportional to (x, y, z).
        out: the buffer to fill: of the shape and dtype of the result, contiguous.

    Returns:
        In the dtype of xyz; last axis ``for l: for m in -l..l``.

    Raises:
        ArgumentError: lmax out of range, a point not finite (row named), unknown basis, `out` that is not contiguous
            or shares memory with xyz.
        ShapeError, DTypeError: not ``(*batch, 3)``, not float32 or float64, `out` that does not fit.

    >>> spherical_harmonics(np.array([0.0, 0.0, 2.0]), 1).round(4)
    array([0.2821, 0.    , 0.4886, 0.    ])
    """
    xyz = checked_points(xyz)
    lmax = check_lmax(lmax)
    check_choice("basis", basis, BASES)
    shape = (*xyz.shape[:-1], (lmax + 1) ** 2)
    if out is not None:
        check_out(out, shape, xyz.dtype, xyz=xyz)
    found = np.empty(shape, xyz.dtype) if out is None else out
    arrays.spherical_harmonics_checked(xyz, lmax, basis == "e3nn", np.asarray(found))
    return found
