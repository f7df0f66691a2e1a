"""What is refused of arrays of NumPy beside what is refused of all arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Kind, check_array, check_matrices, check_points, check_result
from ..errors import ArgumentError, fail

KERNEL_DTYPES = (np.dtype("float32"), np.dtype("float64"))
FEATURE_DTYPES = (np.dtype("float16"), *KERNEL_DTYPES)
ARRAYS = Kind(np.ndarray, "a numpy.ndarray", "an array", "r.as_matrix()", KERNEL_DTYPES, FEATURE_DTYPES)


def checked_array(argument: str, x: Any, dtypes: Sequence[Any]) -> np.ndarray:
    """An array of one of `dtypes`, as a plain one."""
    check_array(argument, x, dtypes, ARRAYS)
    return plain(argument, x)


def checked_matrices(rotations: Any) -> np.ndarray:
    """``(*batch, 3, 3)``."""
    check_matrices(rotations, ARRAYS)
    return plain("rotations", rotations)


def checked_points(xyz: Any) -> np.ndarray:
    """``(*batch, 3)``."""
    check_points(xyz, ARRAYS)
    return plain("xyz", xyz)


def plain(argument: str, x: np.ndarray) -> np.ndarray:
    """A view of x that is of no subclass; what a mask hides would be counted."""
    if isinstance(x, np.ma.MaskedArray):
        fail(ArgumentError, argument, "an array without a mask", type(x).__name__)
    return np.asarray(x)


def check_out(out: Any, shape: tuple[int, ...], dtype: Any, **inputs: np.ndarray) -> None:
    """A dense array of that shape and dtype that may be written to, apart from the inputs."""
    check_result(out, shape, dtype, ARRAYS)
    plain("out", out)
    if not (out.flags.c_contiguous and out.flags.aligned):
        fail(ArgumentError, "out", "a contiguous array", f"strides {out.strides}")
    if not out.flags.writeable:
        fail(ArgumentError, "out", "an array that may be written to", "one that is read-only")
    for argument, x in inputs.items():
        if np.may_share_memory(out, x):
            fail(ArgumentError, "out", f"memory apart from {argument}", "an array that shares some of it")


def relabelled_matrices(rotations: np.ndarray, basis: str) -> np.ndarray:
    """Rotation matrices in the axes of the standard basis."""
    return np.roll(rotations, (1, 1), (-2, -1)) if basis == "e3nn" else rotations
