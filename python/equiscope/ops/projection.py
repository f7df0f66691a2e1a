"""Projection of values on a grid of O(3) onto its irreps: differentiable operators and a streaming accumulator."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch

from ..arrays import (
    all_finite,
    check_coset,
    check_elements,
    check_lmax,
    check_pair,
    check_resolved,
    check_weights,
    refuse_values,
)
from ..errors import ArgumentError, DTypeError, ShapeError, fail
from ..groups.irreps import matrix_count
from ..groups.quadrature import Quadrature
from ..groups.rotations import handedness, polar
from ..kernels.backend import Backend
from ..kernels.registry import backend
from ._check import (
    FEATURE_DTYPES,
    KERNEL_DTYPES,
    TENSORS,
    check_orthogonal,
    check_rotation_matrices,
    check_same_device,
    check_tensor,
    savable,
)
from ._operator import Operator, save_with_lmax, without_autocast
from .rotation import checked_rotations


@without_autocast
def character_power(
    values: torch.Tensor, quadrature: Quadrature | tuple[torch.Tensor, torch.Tensor], lmax: int
) -> torch.Tensor:
    """Power ``(lmax + 1, 2, *rest)`` of a function on O(3) in every irrep (l, sigma), second axis sigma = +1, -1.

    It is right for functions whose content ends at the degree of the grid minus lmax: content l' leaks into l where
    l + l' is above that degree. So lmax is at most half of it, which of a pair (rotations, weights) nobody knows here.

    With u(s R) the values at g = s R, ``c^l_mn(s) = int_SO(3) D^l_mn(R) u(s R) dR`` (Haar measure of total 1)::

        B_(l, sigma) = (2l+1)/4 sum_mn |c^l_mn(+) + sigma (-1)^l c^l_mn(-)|^2,

    and the B of all (l, sigma) sum to ``int |u|^2 dg`` (Parseval). On a grid of SO(3) alone there is no sigma: the
    second axis has length 1 and holds ``(2l+1) sum_mn |c^l_mn|^2``.

    Args:
        values: ``(G, *rest)``, one per element of the grid; float32, float64, or float16 and bfloat16, which accumulate
            in float32 and give float32.
        quadrature: a `Quadrature` (fast: the equispaced angles are transformed first), or ``(rotations, weights)`` of
            any grid: ``(G, 3, 3)`` with elements of both cosets in any order, and ``(G,)``, float32 or float64; the
            weights of each coset are normalised to sum 1. Its degree is for the caller to know: that it is at least
            2 lmax shows where the weighted means of all D^l with 0 < l <= 2 lmax vanish. Random elements have none:
            on n of them (2l+1)^2/n of what varies is added to each l.
        lmax: highest l, 0..131 and at most half the degree of a `Quadrature`; of a pair what its number of elements
            can hold, E(lmax) for each coset.

    Values are centred on the first before they are projected and the constant is given back to (0, +1), so that a large
    constant costs no digits elsewhere. The D matrices of the grid are never held at once.

    Error: 1e-13 (float64), 1e-5 (float32) of the largest power, for lmax <= 32 (`test_analytic_sectors`,
    `test_parseval`). Cost per channel: G (lmax+1) + points E(lmax) multiply-adds, E(l) = (l+1)(2l+1)(2l+3)/3.
    Differentiable by values to any order, in reverse and forward mode and by torch.func, the grid is a constant. Equal
    bits for any number of threads.

    Source: arXiv 2603.24638; the centring is ours.

    Raises:
        ShapeError: values that do not fit the grid.
        ArgumentError: non-finite values (element named), matrices not orthogonal, too few elements for lmax, a coset
            without any, lmax out of range or above half the degree.
        DTypeError, DeviceError: unsupported dtypes, mixed devices.

    >>> grid = quadrature(4)
    >>> character_power(grid.rotations[:, 2, 2], grid, 1).round(decimals=4)   # z of a turned vector: all in (1, +1)
    tensor([[0.0000, 0.0000],
            [0.3333, 0.0000]], dtype=torch.float64)
    """
    check_tensor("values", values, FEATURE_DTYPES)
    lmax = check_lmax(lmax)
    if isinstance(quadrature, Quadrature):
        check_resolved(lmax, quadrature.degree)
        check_elements(values.shape, len(quadrature))
        # the rings stay on the host, where their structure is looked at
        on_host, rest = quadrature.to("cpu"), values.shape[1:]
        samples = values.reshape(quadrature.cosets, on_host.rings.shape[0], quadrature.gammas, rest.numel())
        power = _power_of_samples(samples, on_host.rings, on_host.ring_weights, lmax)
        return power.reshape(lmax + 1, quadrature.cosets, *rest)
    rings, weights = _elements(values, quadrature, lmax)
    check_elements(values.shape, rings.shape[0])
    rest = values.shape[1:]
    working = values.to(torch.float64 if values.dtype == torch.float64 else torch.float32)
    working = working.reshape(rings.shape[0], 1, rest.numel())
    center = working[:1, 0].sum(0)
    coefficients = _project(working - center, rings, weights, lmax, 2, True)
    return _power(coefficients, lmax, center, 2).reshape(lmax + 1, 2, *rest)


def _elements(values: torch.Tensor, quadrature: Any, lmax: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations and weights of any grid in float64, where its values are."""
    # matrix elements that are orthogonal on a grid are independent there: it has as many elements at least
    rotations, weights = check_pair(quadrature, TENSORS, lmax, 2 * matrix_count(lmax))
    check_rotation_matrices(rotations)
    check_tensor("weights", weights, KERNEL_DTYPES)
    check_same_device("rotations", rotations, "values", values)
    check_same_device("weights", weights, "values", values)
    # checked in the dtype given, whose round-off the polar step then takes away
    rings = polar(checked_rotations(rotations.detach()).to(torch.float64))
    return rings, savable(weights.detach().to(torch.float64), values)


def _power(coefficients: torch.Tensor, lmax: int, center: torch.Tensor | None, cosets: int) -> torch.Tensor:
    """B ``(lmax + 1, cosets, channels)`` of coefficients ``(2, E(lmax), channels)`` of centred values."""
    proper, improper = coefficients if center is None else _given_back(coefficients, center)
    return sector_power(proper, improper, lmax, cosets)


def _given_back(coefficients: torch.Tensor, center: torch.Tensor) -> Iterator[torch.Tensor]:
    """The coefficients of each coset, of values that were centred: a constant is all in l = 0."""
    return (torch.cat([c[:1] + center, c[1:]]) for c in coefficients)


def sector_power(proper: torch.Tensor, improper: torch.Tensor, lmax: int, cosets: int = 2) -> torch.Tensor:
    """B ``(lmax + 1, cosets, *rest)`` from c^l_mn of the two cosets, each ``(E(lmax), *rest)``."""
    power, row = [], 0
    for l in range(lmax + 1):
        size = (2 * l + 1) ** 2
        a, b = proper[row : row + size], improper[row : row + size]
        row += size
        if cosets == 1:
            power.append((2 * l + 1) * a.square().sum(0, keepdim=True))
            continue
        b = -b if l % 2 else b
        power.append((2 * l + 1) / 4 * torch.stack([(a + b).square().sum(0), (a - b).square().sum(0)]))
    return torch.stack(power)


class CharacterProjection:
    """Coefficients c^l_mn(s) of values that arrive piece by piece, in any order; memory does not grow with the grid.

    Args:
        quadrature: the grid.
        lmax: highest l, 0..131.
        channels: number of functions.
        dtype: of the coefficients, float64 or float32.
        device: of the values.
    """

    __slots__ = ("_backend", "_rings", "_weights", "channels", "coefficients", "cosets", "gammas", "lmax")

    def __init__(
        self,
        quadrature: Quadrature,
        lmax: int,
        channels: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> None:
        if dtype not in KERNEL_DTYPES:
            fail(DTypeError, "dtype", "float32 or float64", dtype)
        self.lmax = check_lmax(lmax)
        self.channels = channels
        self.cosets = quadrature.cosets
        self.gammas = quadrature.gammas
        self.coefficients = torch.zeros(2, matrix_count(self.lmax), channels, dtype=dtype, device=device)
        """``(2, E(lmax), channels)``, rows ``for l: for m: for n``."""
        self._rings, self._weights = (x.cpu() for x in (quadrature.rings, quadrature.ring_weights))
        self._backend = backend(self.coefficients.device)

    def update(self, values: torch.Tensor, points: slice, coset: int, *, center: torch.Tensor | None = None) -> None:
        """Add values ``(n_points, gammas, channels)`` on the rings `points` of coset 0 (+R) or 1 (-R).

        `center` ``(channels,)`` is subtracted first; each ring must come once per coset.
        """
        rings, weights = self._rings[points], self._weights[points]
        if values.shape != (rings.shape[0], self.gammas, self.channels):
            fail(ShapeError, "values", f"({rings.shape[0]}, {self.gammas}, {self.channels})", tuple(values.shape))
        if not 0 <= coset < self.cosets:
            fail(ArgumentError, "coset", f"0..{self.cosets - 1}", coset)
        if center is not None and center.shape != (self.channels,):
            fail(ShapeError, "center", f"({self.channels},)", tuple(center.shape))
        out = self.coefficients
        check_same_device("values", values, "the coefficients", out)
        if values.dtype not in KERNEL_DTYPES or (values.dtype == torch.float64 and out.dtype == torch.float32):
            if values.dtype not in FEATURE_DTYPES:
                fail(DTypeError, "values", "a floating-point tensor", values.dtype)
            values = values.to(torch.float32)
        self._backend.project(values.detach(), rings, weights, self.lmax, center, out[coset])

    def power(self, center: torch.Tensor | None = None) -> torch.Tensor:
        """B ``(lmax + 1, cosets, channels)``; `center` is what was subtracted in every `update`."""
        return _power(self.coefficients, self.lmax, center, self.cosets)


def power_at_once(quadrature: Quadrature, lmax: int, device: torch.device) -> bool:
    """Whether `power_and_moments` has a way on this grid on `device`."""
    return _at_once(backend(device), quadrature.bare, lmax, device)


@functools.lru_cache(maxsize=64)
def _at_once(own: Backend, rule: Quadrature, lmax: int, device: torch.device) -> bool:
    return own.power_at_once(rule.rings, rule.ring_weights, rule.gammas, lmax, device)


def power_and_moments(
    values: torch.Tensor, quadrature: Quadrature, lmax: int, center: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """B ``(lmax + 1, cosets, channels)`` of all values ``(G, channels)`` of a grid, and two means ``(2, channels)``.

    Those of ``values - center`` and of its square; all in float64, read in one pass that keeps no coefficients.
    """
    shape = (quadrature.cosets, quadrature.rings.shape[0], quadrature.gammas)
    grid = (quadrature.rings, quadrature.ring_weights)
    return backend(values.device).power_and_moments(values.unflatten(0, shape), *grid, lmax, center)


def add_projection(values: torch.Tensor, rotations: torch.Tensor, lmax: int, out: torch.Tensor) -> None:
    """Add ``sum_i D^l_mn(R_i) values[i]`` to `out` ``(E(lmax), channels)``, for proper rotations ``(n, 3, 3)``."""
    ones = torch.ones(rotations.shape[0], dtype=torch.float64)
    backend(out.device).project(values.unsqueeze(1), rotations, ones, lmax, None, out)


def _cosets(
    rings: torch.Tensor, weights: torch.Tensor, cosets: int
) -> Iterator[tuple[int, torch.Tensor | slice, torch.Tensor, torch.Tensor]]:
    """Per coset its number, which elements it has, their proper parts, and their weights with sum 1."""
    check_orthogonal(rings, proper=False, argument="quadrature")
    signs = handedness(rings)
    # where the check is deferred, a matrix that is not orthogonal has become NaN and would belong to no coset
    if not bool(signs.abs().eq(1).all()):
        row = int(signs.abs().ne(1).to(torch.int8).argmax())
        fail(ArgumentError, "quadrature", "orthogonal 3x3 matrices", f"element {row}, which is none")
    for coset, sign in enumerate((1.0, -1.0)[:cosets]):
        chosen = torch.nonzero(signs == sign)[:, 0]
        check_coset(chosen.numel(), sign)
        first, last = int(chosen[0]), int(chosen[-1])
        # cosets that lie one after the other are slices: their values are read where they are
        which = slice(first, last + 1) if last - first + 1 == chosen.numel() else chosen
        own = weights[which]
        total = own.sum()
        check_weights(float(total), bool(torch.isfinite(own).all()))
        yield coset, which, sign * rings[which], own / total


@Operator
def _project(
    values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int, cosets: int, strict: bool
) -> torch.Tensor:
    """``(2, E(lmax), channels)`` from ``(elements, gammas, channels)``; `strict` refuses what is not finite."""
    out = values.new_zeros(2, matrix_count(lmax), values.shape[2])
    kernels = backend(values.device)
    for coset, which, proper, own in _cosets(rings, weights, cosets):
        kernels.project(values[which], proper, own, lmax, None, out[coset])
    if strict:
        # every value enters every coefficient of its coset, so one row shows whether one was not finite
        _check_finite(out[:, 0], values)
    return out


def _check_finite(result: torch.Tensor, values: torch.Tensor) -> None:
    """Refuse values ``(*elements, channels)`` that are not finite, seen from what all of them entered."""
    if backend(values.device).defers_checks or all_finite(result):
        return
    bad = ~torch.isfinite(values.flatten(0, -2)).all(1)
    refuse_values(int(bad.to(torch.int8).argmax()) if bool(bad.any()) else None)


@Operator
def _synthesize(
    coefficients: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int, cosets: int
) -> torch.Tensor:
    """``(elements, gammas, channels)`` from ``(2, E(lmax), channels)``: the adjoint of `_project`."""
    out = coefficients.new_zeros(rings.shape[0], gammas, coefficients.shape[2])
    for coset, which, proper, own in _cosets(rings, weights, cosets):
        out[which] = backend(coefficients.device).synthesize(coefficients[coset], proper, own, gammas, lmax)
    return out


@Operator
def _power_of_samples(values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(lmax + 1, cosets, channels)`` from ``(cosets, points, gammas, channels)`` on the rings of a quadrature."""
    own, cosets = backend(values.device), values.shape[0]
    power = own.character_power(values, rings, weights, lmax)
    if power is None:
        working = values.to(torch.float64 if values.dtype == torch.float64 else torch.float32)
        center = working[0, 0, 0]
        out = working.new_zeros(2, matrix_count(lmax), values.shape[3])
        for coset in range(cosets):
            own.project(working[coset], rings, weights, lmax, center, out[coset])
        power = _power(out, lmax, center, cosets)
    _check_finite(power, values)
    return power


@_power_of_samples.register_fake
def _(values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int) -> torch.Tensor:
    dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
    return values.new_empty(lmax + 1, values.shape[0], values.shape[3], dtype=dtype)


@_project.register_fake
def _(
    values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int, cosets: int, strict: bool
) -> torch.Tensor:
    return values.new_empty(2, matrix_count(lmax), values.shape[2])


@_synthesize.register_fake
def _(
    coefficients: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, gammas: int, lmax: int, cosets: int
) -> torch.Tensor:
    return coefficients.new_empty(rings.shape[0], gammas, coefficients.shape[2])


def _of_cosets(rings: torch.Tensor, weights: torch.Tensor, cosets: int) -> tuple[torch.Tensor, torch.Tensor]:
    return (torch.cat([rings, -rings]) if cosets == 2 else rings), weights.repeat(cosets)


def _coefficients(
    values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int
) -> Iterator[torch.Tensor]:
    """The coefficients of each coset, ``(E(lmax), channels)``, of values as `_power_of_samples` takes them."""
    cosets = values.shape[0]
    working = values.flatten(0, 1)
    center = working[:1, 0]
    coefficients = _project(working - center, *_of_cosets(rings, weights, cosets), lmax, cosets, False)
    return _given_back(coefficients, center)


def _power_backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
    # B is a square of coefficients that are linear in the values, so its gradient is their synthesis, weighted by it
    values, rings, weights = ctx.saved_tensors
    cosets, gammas = values.shape[0], values.shape[2]
    all_rings, all_weights = _of_cosets(rings, weights, cosets)
    proper, improper = _coefficients(values.to(grad.dtype), rings, weights, ctx.lmax)
    by_proper, by_improper, row = [], [], 0
    for l in range(ctx.lmax + 1):
        size, sign = (2 * l + 1) ** 2, (-1) ** l
        a, b = proper[row : row + size], improper[row : row + size]
        row += size
        if cosets == 1:
            by_proper.append(2 * (2 * l + 1) * grad[l, 0] * a)
            by_improper.append(torch.zeros_like(b))
            continue
        even, odd = ((a + sign * b) * grad[l, 0], (a - sign * b) * grad[l, 1])
        by_proper.append((2 * l + 1) / 2 * (even + odd))
        by_improper.append((2 * l + 1) / 2 * sign * (even - odd))
    gradient = torch.stack([torch.cat(by_proper), torch.cat(by_improper)])
    by_values = _synthesize(gradient, all_rings, all_weights, gammas, ctx.lmax, cosets)
    return by_values.reshape(values.shape).to(values.dtype), None, None, None


def _power_tangent(arguments: tuple[Any, ...], tangents: tuple[Any, ...]) -> torch.Tensor:
    # B is the square of a linear function c of the values, so its tangent is the difference of two squares over two:
    # here as 2 <c, dc>, which loses no digits
    values, rings, weights, lmax = arguments
    cosets = values.shape[0]
    dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
    pairs = zip(
        _coefficients(values.to(dtype), rings, weights, lmax),
        _coefficients(tangents[0].to(dtype), rings, weights, lmax),
        strict=True,
    )
    (a, da), (b, db) = pairs
    power, row = [], 0
    for l in range(lmax + 1):
        own = slice(row, row + (2 * l + 1) ** 2)
        row = own.stop
        if cosets == 1:
            power.append(2 * (2 * l + 1) * (a[own] * da[own]).sum(0, keepdim=True))
            continue
        sign = (-1) ** l
        even, odd = ((a[own] + s * b[own]) * (da[own] + s * db[own]) for s in (sign, -sign))
        power.append((2 * l + 1) / 2 * torch.stack([even.sum(0), odd.sum(0)]))
    return torch.stack(power)


def _save_project(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    values, rings, weights, ctx.lmax, ctx.cosets, _ = inputs
    ctx.gammas = values.shape[1]
    ctx.save_for_backward(rings, weights)


def _save_synthesize(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    _, rings, weights, _, ctx.lmax, ctx.cosets = inputs
    ctx.save_for_backward(rings, weights)


_power_of_samples.register_derivatives(_power_backward, _power_tangent, setup_context=save_with_lmax)
_project.register_derivatives(
    lambda ctx, grad: (_synthesize(grad, *ctx.saved_tensors, ctx.gammas, ctx.lmax, ctx.cosets), *[None] * 5),
    lambda arguments, tangents: _project(tangents[0], *arguments[1:-1], False),
    setup_context=_save_project,
)
_synthesize.register_derivatives(
    lambda ctx, grad: (_project(grad, *ctx.saved_tensors, ctx.lmax, ctx.cosets, False), *[None] * 5),
    lambda arguments, tangents: _synthesize(tangents[0], *arguments[1:]),
    setup_context=_save_synthesize,
)


def _as_channels(x: torch.Tensor, dim: int) -> torch.Tensor:
    return x.movedim(dim, 2).flatten(2, 3)


def _batched(operator: Operator) -> Any:
    """A further axis of values or coefficients is an axis of channels; grids that differ are taken one by one."""

    def rule(
        info: Any,
        in_dims: tuple[Any, ...],
        values: torch.Tensor,
        rings: torch.Tensor,
        weights: torch.Tensor,
        *settings: Any,
    ) -> tuple[torch.Tensor, int]:
        if in_dims[1] is None and in_dims[2] is None:
            out = operator(_as_channels(values, in_dims[0]), rings, weights, *settings)
            return out.unflatten(2, (info.batch_size, -1)), 2
        each = _each(info.batch_size, in_dims[:3], values, rings, weights)
        return torch.stack([operator(*tensors, *settings) for tensors in each]), 0

    return rule


_project.register_vmap(_batched(_project))
_synthesize.register_vmap(_batched(_synthesize))


@_power_of_samples.register_vmap
def _(
    info: Any, in_dims: tuple[Any, ...], values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int
) -> tuple[torch.Tensor, int]:
    moved = values.movedim(in_dims[0], 3)
    return _power_of_samples(moved.flatten(3, 4), rings, weights, lmax).unflatten(2, moved.shape[3:]), 2


def _each(size: int, in_dims: tuple[Any, ...], *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The arguments of each element of a vmapped axis: grids that differ share no work."""
    for i in range(size):
        yield tuple(x if dim is None else x.select(dim, i) for x, dim in zip(tensors, in_dims, strict=True))
