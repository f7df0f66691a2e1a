"""The compiled kernels on CPU tensors: the only caller of the compiled module and of ``data_ptr()``.

Arguments are taken as checked for shape and dtype. Every buffer that is handed over is dense, and is passed with its
number of elements; the compiled side compares that with the sizes before it reads.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

from ..groups.representation import Representation

try:
    from .. import _C
except ImportError as error:
    raise ImportError(
        "equiscope: expected the compiled module equiscope._C, got none that can be imported "
        f"({error}). Install the package with `pip install .` in the source tree (a C++17 compiler is needed); if "
        "it is installed, start Python outside of the source tree"
    ) from error

DEFERS_CHECKS = False
"""Values are looked at before anything is computed."""

_NAMES = {torch.float32: "float32", torch.float64: "float64"}


def info() -> dict[str, Any]:
    """Version, instruction sets and compiler of the compiled module."""
    return dict(_C.info())


def packed_size(lmax: int) -> int:
    """E(lmax) = sum of (2l+1)^2 for l = 0..lmax; 0 for lmax = -1."""
    return (lmax + 1) * (2 * lmax + 1) * (2 * lmax + 3) // 3


def dense(x: torch.Tensor) -> torch.Tensor:
    """Contiguous, and without a pending negation, so that memory holds the values."""
    return x.resolve_neg().contiguous()


def overlap(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether the memory from the first to the last element of a meets that of b."""
    if a.device != b.device or a.numel() == 0 or b.numel() == 0:
        return False
    (first, last), (other_first, other_last) = _reach(a), _reach(b)
    return first < other_last and other_first < last


def _reach(x: torch.Tensor) -> tuple[int, int]:
    """Addresses of the first element and behind the last."""
    elements, start = x.numel(), x.data_ptr()
    if not x.is_contiguous():
        elements = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return start, start + elements * x.element_size()


def first_improper(rotations: torch.Tensor) -> int:
    """The first matrix with a negative determinant, -1 if there is none."""
    rotations = dense(rotations)
    return _C.first_improper(rotations.data_ptr(), rotations.numel() // 9, _NAMES[rotations.dtype])


def check_rotations(rotations: torch.Tensor, tolerance: float) -> tuple[int, float, float]:
    """Row (-1: none), |R R^T - 1| and determinant of the first matrix that is not finite and orthogonal."""
    rotations = dense(rotations)
    n = rotations.numel() // 9
    return _C.check_rotations(rotations.data_ptr(), n, _NAMES[rotations.dtype], tolerance, torch.get_num_threads())


def wigner_D(rotations: torch.Tensor, lmax: int, out: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, 3, 3)`` to packed ``(n * E(lmax),)``."""
    rotations = dense(rotations)
    n = rotations.shape[0]
    out = rotations.new_empty(n * packed_size(lmax)) if out is None else out
    _C.wigner_D(rotations.data_ptr(), n, lmax, out.data_ptr(), out.numel(), _NAMES[out.dtype], torch.get_num_threads())
    return out


def wigner_D_torque(rotations: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(n, 3)``: sum_l <grad^l, D^l X_k>."""
    rotations, grad = dense(rotations), dense(grad)
    n = rotations.shape[0]
    out = rotations.new_empty(n, 3)
    _C.wigner_D_torque(
        rotations.data_ptr(),
        n,
        lmax,
        grad.data_ptr(),
        grad.numel(),
        out.data_ptr(),
        _NAMES[out.dtype],
        torch.get_num_threads(),
    )
    return out


def spherical_harmonics(xyz: torch.Tensor, lmax: int, out: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, 3)`` to ``(n, (lmax+1)**2)``."""
    xyz = dense(xyz)
    n = xyz.shape[0]
    out = xyz.new_empty(n, (lmax + 1) ** 2) if out is None else out
    _C.spherical_harmonics(
        xyz.data_ptr(), n, lmax, out.data_ptr(), out.numel(), _NAMES[out.dtype], torch.get_num_threads()
    )
    return out


def spherical_harmonics_torque(xyz: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(n, 3)``: sum_l grad^l . X_k Y^l."""
    xyz, grad = dense(xyz), dense(grad)
    n = xyz.shape[0]
    out = xyz.new_empty(n, 3)
    _C.spherical_harmonics_torque(
        xyz.data_ptr(),
        n,
        lmax,
        grad.data_ptr(),
        grad.numel(),
        out.data_ptr(),
        _NAMES[out.dtype],
        torch.get_num_threads(),
    )
    return out


@functools.lru_cache(maxsize=1024)
def _blocks(rep: Representation) -> list[tuple[int, int, int, int, int, bool]]:
    """(l, mul, offset, stride of copies, stride of m, odd) of every term."""
    assert rep.irreps is not None
    blocks = []
    for term, where in zip(rep.irreps, rep.irreps.slices(), strict=True):
        strides = (2 * term.l + 1, 1) if rep.layout == "mul_ir" else (1, term.mul)
        if term.mul > 0:
            blocks.append((term.l, term.mul, where.start, *strides, term.p < 0))
    return blocks


def rotate(
    x: torch.Tensor, rotations: torch.Tensor, rep: Representation, inverse: bool, out: torch.Tensor | None = None
) -> torch.Tensor:
    """x ``(batch or 1, rows, dim)``, rotations ``(batch, 3, 3)``, to ``(batch, rows, dim)``."""
    x, rotations = dense(x), dense(rotations)
    batch, (own, rows, dim) = rotations.shape[0], x.shape
    out = x.new_empty(batch, rows, dim) if out is None else out
    _C.rotate(
        x.data_ptr(),
        x.numel(),
        rotations.data_ptr(),
        batch,
        rows,
        dim,
        own == 1 and batch != 1,
        _blocks(rep),
        inverse,
        out.data_ptr(),
        out.numel(),
        _NAMES[out.dtype],
        torch.get_num_threads(),
    )
    return out


def project(
    values: torch.Tensor,
    rings: torch.Tensor,
    weights: torch.Tensor,
    lmax: int,
    center: torch.Tensor | None,
    out: torch.Tensor,
) -> None:
    """Add to out ``(E(lmax), channels)``, contiguous, what values ``(points, gammas, channels)`` contribute."""
    values, rings, weights = dense(values), dense(rings), dense(weights)
    center = None if center is None else dense(center.to(torch.float64))
    points, gammas, channels = values.shape
    _C.project(
        values.data_ptr(),
        values.numel(),
        rings.data_ptr(),
        weights.data_ptr(),
        points,
        gammas,
        lmax,
        channels,
        0 if center is None else center.data_ptr(),
        out.data_ptr(),
        out.numel(),
        _NAMES[values.dtype],
        _NAMES[out.dtype],
        torch.get_num_threads(),
    )


def power_at_once(rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int) -> bool:
    """Whether `character_power` has a fast way on this grid."""
    rings, weights = dense(rings), dense(weights)
    return _C.power_at_once(rings.data_ptr(), weights.data_ptr(), rings.shape[0], gammas, lmax)


def power_and_moments(
    values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int, center: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """float64: B as by `character_power`, and the means ``(2, channels)`` of ``values - center`` and of its square."""
    moments = torch.empty(2, values.shape[-1], dtype=torch.float64)
    power = character_power(values, rings, weights, lmax, values.shape[0], center=center, moments=moments)
    assert power is not None, "power_at_once is to be asked first"
    return power, moments


def character_power(
    values: torch.Tensor,
    rings: torch.Tensor,
    weights: torch.Tensor,
    lmax: int,
    cosets: int,
    *,
    center: torch.Tensor | None = None,
    moments: torch.Tensor | None = None,
) -> torch.Tensor | None:
    """B ``(lmax + 1, cosets, channels)`` of ``(cosets, points, gammas, channels)`` at once, where a way is fast.

    Centred on the first value unless a `center` is given; with `moments` in float64.
    """
    values = values if values.dtype in _NAMES else values.to(torch.float32)
    values, rings, weights = dense(values), dense(rings), dense(weights)
    _, points, gammas, channels = values.shape
    center = dense((values[0, 0, 0] if center is None else center).to(torch.float64))
    out = values.new_empty(lmax + 1, cosets, channels, dtype=values.dtype if moments is None else torch.float64)
    done = _C.character_power(
        values.data_ptr(),
        values.numel(),
        rings.data_ptr(),
        weights.data_ptr(),
        points,
        gammas,
        lmax,
        channels,
        cosets,
        center.data_ptr(),
        out.data_ptr(),
        out.numel(),
        0 if moments is None else moments.data_ptr(),
        _NAMES[values.dtype],
        _NAMES[out.dtype],
        torch.get_num_threads(),
    )
    return out if done else None


def synthesize(
    coefficients: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int
) -> torch.Tensor:
    """Coefficients ``(E(lmax), channels)`` to ``(points, gammas, channels)``: the adjoint of `project`."""
    coefficients, rings, weights = dense(coefficients), dense(rings), dense(weights)
    points, channels = rings.shape[0], coefficients.shape[1]
    out = coefficients.new_empty(points, gammas, channels)
    _C.synthesize(
        coefficients.data_ptr(),
        coefficients.numel(),
        rings.data_ptr(),
        weights.data_ptr(),
        points,
        gammas,
        lmax,
        channels,
        out.data_ptr(),
        out.numel(),
        _NAMES[out.dtype],
        torch.get_num_threads(),
    )
    return out
