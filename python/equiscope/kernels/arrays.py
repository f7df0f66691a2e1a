"""The compiled kernels of the host on arrays of NumPy, as `CpuBackend` has them for tensors."""

from __future__ import annotations

import functools
import os

import numpy as np

from .. import _C
from ..arrays import refuse_point
from ..groups.action import Step
from ..groups.representation import Representation
from ..tolerance import orthogonality
from . import module
from .module import Buffer, RotationFaults, checked_blocks


@functools.cache
def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """OMP_NUM_THREADS as torch reads it, or the processors that this process may use; results do not depend on it."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isascii() and said.isdigit() and 0 < int(said) < 1 << 16 else _processors()


def source(x: np.ndarray) -> Buffer:
    """The values of x, copied where they are not dense."""
    return target(x if x.flags.c_contiguous and x.flags.aligned else np.require(x, requirements=["C", "A"]))


def target(x: np.ndarray) -> Buffer:
    """The memory of a dense array, to be written to."""
    return Buffer(x.ctypes.data, x.size, x.dtype.name, x)


def check_rotations(rotations: np.ndarray, *, proper: bool, argument: str = "rotations") -> None:
    """Refuse ``(n, 3, 3)`` unless finite and orthogonal, of determinant +1 where `proper`."""
    limit = orthogonality(rotations.dtype)
    found = RotationFaults(*_C.check_rotations(source(rotations), limit))
    found.refuse(rotations, limit, proper=proper, argument=argument)


def wigner_D_checked(rotations: np.ndarray, lmax: int, cycled: bool, out: np.ndarray) -> None:
    """`Backend.wigner_D_checked` of ``(n, 3, 3)``, which are refused unless proper rotations."""
    limit = orthogonality(rotations.dtype)
    found = _C.wigner_D_checked(source(rotations), lmax, cycled, target(out), limit, threads())
    RotationFaults(*found).refuse(rotations, limit, proper=True)


def spherical_harmonics_checked(xyz: np.ndarray, lmax: int, cycled: bool, out: np.ndarray) -> None:
    """`Backend.spherical_harmonics_checked` of ``(*batch, 3)``, which are refused unless finite."""
    refuse_point(_C.spherical_harmonics_checked(source(xyz), lmax, cycled, target(out), threads()))


def rotate(x: np.ndarray, rotations: np.ndarray, rep: Representation, inverse: bool, out: np.ndarray) -> None:
    """rho(g) x or rho(g)^-1 x of x ``(n or 1, rows, components)``, irreps in the basis "standard"."""
    _C.rotate(source(x), source(rotations), x.shape[1], checked_blocks(rep), inverse, target(out), threads())


def rotate_checked(x: np.ndarray, rotations: np.ndarray, rows: int, step: Step, inverse: bool, out: np.ndarray) -> None:
    """`Backend.rotate_checked` by rotations ``(n, 3, 3)``, which are refused unless finite and orthogonal."""
    limit, where = orthogonality(rotations.dtype), (target(out), threads())
    found = module.rotate_checked(source(x), source(rotations), rows, step, inverse, limit, *where)
    found.refuse(rotations, limit, proper=False)


def rotate_tensors(
    x: np.ndarray, rotations: np.ndarray, rank: int, pseudo: bool, inverse: bool, out: np.ndarray
) -> None:
    """Every index of x ``(n or 1, rows, 3^rank)`` turned by g or g^T, times det g where `pseudo`."""
    _C.rotate_tensors(source(x), source(rotations), x.shape[1], rank, pseudo, inverse, target(out), threads())


def project(
    values: np.ndarray, rings: np.ndarray, weights: np.ndarray, lmax: int, center: np.ndarray | None, out: np.ndarray
) -> None:
    """Add to out ``(E(lmax), channels)`` the coefficients of values ``(points, gammas, channels)``."""
    grid = source(rings), source(weights), values.shape[1]
    middle = None if center is None else source(center.astype(np.float64))
    _C.project(source(values), grid, lmax, values.shape[2], middle, target(out), threads())


def character_power(values: np.ndarray, rings: np.ndarray, weights: np.ndarray, lmax: int, out: np.ndarray) -> bool:
    """B ``(lmax + 1, cosets, channels)`` of values ``(cosets, points, gammas, channels)``, centred on the first; False,
    with nothing written, where there is no way."""
    cosets, _, gammas, channels = values.shape
    grid, middle = (source(rings), source(weights), gammas), source(values[0, 0, 0].astype(np.float64))
    return _C.character_power(source(values), grid, lmax, cosets, channels, middle, target(out), None, threads())
