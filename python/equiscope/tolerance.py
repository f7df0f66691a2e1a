"""All numerical bounds of the library, in one function and one table of input tolerances."""

from __future__ import annotations

import functools
import sys
from typing import Any, NamedTuple

from .errors import ArgumentError, fail

MAXIMUM_LMAX = 131
"""Highest l of the kernels: the highest degree of the Lebedev rules, so that no grid asks for more."""

ORTHOGONALITY = {"float32": 1e-4, "float64": 1e-8}
"""Largest accepted |R R^T - 1|, by the name of the dtype: what some hundred products in it may leave, and far below any
mistake."""

DIFFERENTIATED = 1e-4
"""The same where a derivative is wanted, in either dtype: differences of 1e-6 in an entry are compared with it, and the
polar factor that is taken then leaves 1e-16 of this."""

PROVED_LMAX = 64
"""Up to here 16 (l + 1) eps holds; above, the recursions have lost up to another factor of four."""


class Tolerance(NamedTuple):
    """|got - expected| <= atol + rtol |expected|, element by element."""

    rtol: float
    atol: float


def dtype_name(dtype: Any) -> str:
    """ "float64" of `torch.float64`, of `numpy.float64` and of NumPy's dtypes."""
    return str(getattr(dtype, "__name__", dtype)).removeprefix("torch.")


@functools.cache
def orthogonality(dtype: Any) -> float:
    """`ORTHOGONALITY` of a dtype of torch or NumPy."""
    return ORTHOGONALITY[dtype_name(dtype)]


def tolerance(quantity: str, lmax: int, dtype: Any) -> Tolerance:
    """Error bound of a kernel for all l <= lmax.

    Args:
        quantity: "wigner_D" (elements of D, also of products and inverses), "spherical_harmonics" (of unit size
            sqrt((2l+1)/4pi)), "gradient" (relative to the norm of the incoming gradient), "projection"
            (coefficients and power relative to the largest value).
        lmax: highest l.
        dtype: float32 or float64, of torch or NumPy.
    """
    l = float(lmax)
    double = dtype_name(dtype) == "float64"
    if quantity == "wigner_D":
        # the recursions in l amplify round-off where D is steep: 16 (l+1) eps up to PROVED_LMAX, l^2 eps beyond
        recursion = 16 * (l + 1) * _EPS if lmax <= PROVED_LMAX else 2e-12
        # float32 is evaluated in float64, within 6e-8 of the matrix given; what counts is that R itself was rounded, by
        # up to 3e-8 in each entry, which turns degree l by about l times that
        atol = recursion if double else max(6e-7, 5e-8 * (l + 1))
    elif quantity == "spherical_harmonics":
        size = ((2 * l + 1) / 12.566370614359172) ** 0.5
        # near a pole z is rounded at 1, where Y is as steep in it as l (l+1) / 2
        atol = size * (l + 1) * (max(16, l) * _EPS if double else max(6e-7 / (l + 1), 1.2e-7))
    elif quantity == "gradient":
        atol = (64 * (l + 1) ** 2 * _EPS) if double else 2e-6 * (l + 1)
    elif quantity == "projection":
        atol = 1e-13 if double else 1e-5
    else:
        fail(ArgumentError, "quantity", "wigner_D, spherical_harmonics, gradient or projection", repr(quantity))
    return Tolerance(rtol=0.0, atol=atol)


_EPS = sys.float_info.epsilon
