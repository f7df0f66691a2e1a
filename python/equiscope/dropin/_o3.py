"""D of Euler angles, and harmonics of chosen degrees and sizes: what stands in place of `e3nn.o3`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch

from .. import ops
from ..arrays import check_lmax
from ..errors import ArgumentError, DTypeError, ShapeError, fail, renamed
from ..groups._arguments import check_choice, checked_flag
from ..groups.irreps import Irreps

NORMALIZATIONS = ("integral", "component", "norm")


def wigner_D(l: int, alpha: torch.Tensor, beta: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """``(..., 2l+1, 2l+1)``: D^l of ``Ry(alpha) Rx(beta) Ry(gamma)`` in e3nn's basis, where l = 1 is (x, y, z).

    Args:
        l: degree, 0..131.
        alpha, beta, gamma: angles in radians of any shapes that broadcast, float32 or float64.

    All degrees up to l are computed on the way, so where several are needed `equiscope.wigner_D` of the matrix gives
    them at the price of the last one. Differentiable to any order by the angles, without bad places: beta = 0 too.

    Raises:
        ArgumentError, DTypeError, ShapeError: l out of range, angles that are no such tensors or not finite.

    >>> wigner_D(2, *torch.rand(3, 10)).shape
    torch.Size([10, 5, 5])
    """
    degree = check_lmax(l, "l")
    for name, angle in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        if not isinstance(angle, torch.Tensor) or angle.dtype not in (torch.float32, torch.float64):
            got = angle.dtype if isinstance(angle, torch.Tensor) else type(angle).__name__
            fail(DTypeError, name, "a torch.Tensor of float32 or float64", got)
    try:
        shape = torch.broadcast_shapes(alpha.shape, beta.shape, gamma.shape)
    except RuntimeError:
        shapes = ", ".join(str(tuple(angle.shape)) for angle in (alpha, beta, gamma))
        fail(ShapeError, "alpha, beta, gamma", "shapes that broadcast", shapes)
    try:
        matrices = angles_to_matrix(*(angle.expand(shape) for angle in (alpha, beta, gamma)))
        return ops.wigner_D(matrices, degree, basis="e3nn")[degree]
    except (ArgumentError, DTypeError) as error:
        raise renamed(error, "rotations", "alpha, beta, gamma") from None


def angles_to_matrix(alpha: torch.Tensor, beta: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """``(..., 3, 3)``: ``Ry(alpha) Rx(beta) Ry(gamma)``, entry by entry, so that no autocast rounds it."""
    (ca, cb, cg), (sa, sb, sg) = ([f(x) for x in (alpha, beta, gamma)] for f in (torch.cos, torch.sin))
    rows = [
        [ca * cg - sa * cb * sg, sa * sb, ca * sg + sa * cb * cg],
        [sb * sg, cb, -sb * cg],
        [-sa * cg - ca * cb * sg, ca * sb, ca * cb * cg - sa * sg],
    ]
    entries = torch.broadcast_tensors(*(entry for row in rows for entry in row))
    matrix: torch.Tensor = torch.stack(entries, dim=-1).unflatten(-1, (3, 3))
    return matrix


def spherical_harmonics(
    l: int | Sequence[int] | str | Any, x: torch.Tensor, normalize: bool, normalization: str = "integral"
) -> torch.Tensor:
    """Real spherical harmonics in e3nn's basis, ``(..., sum of 2l+1)``, in the order in which degrees are asked for.

    Args:
        l: a degree, several, or irreps such as "0e + 1o + 2e", also of `e3nn.o3.Irreps`; 0..131.
        x: ``(..., 3)`` float32 or float64.
        normalize: whether of the direction of x; otherwise times |x|^l, the polynomials.
        normalization: "integral" (the mean of Y^2 over the sphere is 1 / 4pi), "component" (2l+1 in place of it for the
            norm of Y^l) or "norm" (1).

    Differentiable to any order. Of the polynomials with l >= 3, derivatives of third and higher order at x = 0 are 0.

    Raises:
        ArgumentError, DTypeError, ShapeError: degrees, irreps whose parities no point has, x that is no such tensor or
            not finite, unknown normalization.

    >>> spherical_harmonics([0, 1], torch.tensor([0.0, 0.0, 2.0]), True, "component")
    tensor([1.0000, 0.0000, 0.0000, 1.7321])
    """
    degrees = _degrees(l)
    normalize = checked_flag("normalize", normalize)
    check_choice("normalization", normalization, NORMALIZATIONS)
    try:
        every = ops.spherical_harmonics(x, max(degrees, default=0), basis="e3nn")
    except (ArgumentError, DTypeError) as error:
        raise renamed(error, "xyz", "x") from None
    parts = []
    for degree in degrees:
        part = every[..., degree * degree : (degree + 1) ** 2]
        if not normalize and degree > 0:
            part = _polynomials(degree, x, part)
        parts.append(part * _size(degree, normalization))
    return torch.cat(parts, dim=-1) if parts else every[..., :0]


def _size(degree: int, normalization: str) -> float:
    """What the harmonics of integral 1 are to be multiplied by."""
    if normalization == "integral":
        return 1.0
    return math.sqrt(4 * math.pi) / (math.sqrt(2 * degree + 1) if normalization == "norm" else 1.0)


def _polynomials(degree: int, x: torch.Tensor, harmonics: torch.Tensor) -> torch.Tensor:
    """|x|^l Y_l: of l = 1 and 2 entry by entry, whose derivatives at x = 0 are not 0 where those of Y are."""
    if degree == 1:
        return math.sqrt(3 / (4 * math.pi)) * x
    if degree == 2:
        a, b, c = x.unbind(-1)
        root = math.sqrt(15 / (4 * math.pi))
        middle = (2 * b * b - a * a - c * c) / (2 * math.sqrt(3.0))
        return root * torch.stack([a * c, a * b, middle, b * c, (c * c - a * a) / 2], dim=-1)
    square = x.square().sum(-1, keepdim=True)
    # a power of the square has no root to differentiate at 0
    length = square ** (degree // 2)
    if degree % 2:
        length = length * torch.where(square > 0, square, torch.ones_like(square)).sqrt()
    return length * harmonics


def _degrees(l: Any) -> list[int]:
    # e3nn's own irreps are tuples too, which print as ours are written
    if isinstance(l, list | tuple) and not hasattr(l, "lmax"):
        return [check_lmax(each, "l") for each in l]
    if isinstance(l, Integral):
        return [check_lmax(l, "l")]
    try:
        terms = Irreps.parse(l if isinstance(l, Irreps) else str(l)).terms
    except ArgumentError as error:
        raise renamed(error, "text", "l") from None
    parities = {(term.p, term.p * (-1) ** term.l) for term in terms if term.mul}
    if any(p != 1 for p, _ in parities) and any(sigma != 1 for _, sigma in parities):
        fail(ArgumentError, "l", 'irreps of the parities of a vector ("1o + 2e") or of a pseudovector ("1e")', str(l))
    return [term.l for term in terms for _ in range(term.mul)]
