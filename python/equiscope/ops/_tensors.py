"""Rotation of Cartesian tensors as a differentiable operator.

With g = Q exp(hat(w)), every index of a tensor moves by w x t, so the derivative is again a rotation: the operator is
closed under differentiation and saves nothing but its arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..kernels.registry import backend
from ._operator import Operator, accumulated
from ._product import product
from .wigner import angular_velocity


@Operator
def rotate_tensors(x: torch.Tensor, rotations: torch.Tensor, rank: int, pseudo: bool, inverse: bool) -> torch.Tensor:
    """Every index of x ``(n or 1, rows, 3^rank)`` turned by g or g^T of ``(n, 3, 3)``, known to be orthogonal; times
    det g where `pseudo`."""
    return backend(x.device).rotate_tensors(x, rotations, rank, pseudo, inverse)


def rotations_by_batch(operator: Operator) -> Callable[..., tuple[torch.Tensor, int]]:
    """The vmap rule of an operator of x ``(n or 1, rows, components)``, rotations ``(n, 3, 3)`` and plain values."""

    def rule(
        info: Any, in_dims: tuple[Any, ...], x: torch.Tensor, rotations: torch.Tensor, *said: Any
    ) -> tuple[torch.Tensor, int]:
        size = info.batch_size
        if in_dims[1] is None:
            # more rows under the same rotations
            rows = x.movedim(in_dims[0], 1)
            return operator(rows.flatten(1, 2), rotations, *said).unflatten(1, (size, rows.shape[2])), 1
        rotations = rotations.movedim(in_dims[1], 0)
        n = rotations.shape[1]
        if in_dims[0] is None and x.shape[0] == 1:
            out = operator(x, rotations.flatten(0, 1), *said)
        else:
            x = x.expand(size, *x.shape) if in_dims[0] is None else x.movedim(in_dims[0], 0)
            out = operator(x.expand(size, n, *x.shape[2:]).flatten(0, 1), rotations.flatten(0, 1), *said)
        return out.unflatten(0, (size, n)), 0

    return rule


@rotate_tensors.register_fake
def _(x: torch.Tensor, rotations: torch.Tensor, rank: int, pseudo: bool, inverse: bool) -> torch.Tensor:
    return x.new_empty(rotations.shape[0], x.shape[1], x.shape[2])


def _index_apart(x: torch.Tensor, index: int, rank: int) -> torch.Tensor:
    """``(n, rows, 3^rank)`` as ``(n, rows and indices before, 3, indices after)``."""
    return x.reshape(x.shape[0], x.shape[1] * int(3**index), 3, int(3 ** (rank - 1 - index)))


def rotations_derived(
    operator: Operator,
    gradient: Callable[..., torch.Tensor],
    turning: Callable[..., torch.Tensor],
) -> None:
    """Register the derivatives of an operator of x ``(n or 1, rows, components)``, rotations ``(n, 3, 3)``, plain
    values `how`, and whether the inverse acts.

    With X_w what moves a value in the frame of the body, y = g x moves by g X_w x and y = g^T x by -X_w y:
    ``gradient(u, v, rotations, *how)`` is that of ``<u, X_w v>`` by rotations, ``turning(v, rotations, change, *how)``
    is X_w v.
    """

    def save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        x, rotations, *ctx.settings = inputs
        ctx.save_for_backward(x, rotations)

    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, rotations = ctx.saved_tensors
        *how, inverse = ctx.settings
        by_x = by_rotations = None
        if ctx.needs_input_grad[0] or not inverse:
            back = operator(grad, rotations, *how, not inverse)
        if ctx.needs_input_grad[0]:
            by_x = back.sum(0, keepdim=True) if x.shape[0] == 1 else back
        if ctx.needs_input_grad[1]:
            u, v = (operator(x, rotations, *how, True), grad) if inverse else (back, x)
            by_rotations = gradient(u, v, rotations, *how)
        return by_x, by_rotations, None, None, None

    def tangent(arguments: tuple[Any, ...], tangents: tuple[Any, ...]) -> torch.Tensor:
        x, rotations, *how, inverse = arguments
        by_x, by_rotations = tangents[0], None
        if tangents[1] is not None:
            v = operator(x, rotations, *how, inverse) if inverse else x
            by_rotations = turning(v, rotations, tangents[1], *how)
        if inverse:
            by_x = None if by_x is None else operator(by_x, rotations, *how, inverse)
            return accumulated(by_x, None if by_rotations is None else -by_rotations)
        return operator(accumulated(by_x, by_rotations), rotations, *how, inverse)

    operator.register_derivatives(backward, tangent, setup_context=save)


def _gradient(u: torch.Tensor, v: torch.Tensor, rotations: torch.Tensor, rank: int, pseudo: bool) -> torch.Tensor:
    outer = _outer(u, v, rank)
    # the part along the group: g times an antisymmetric matrix
    return product(rotations, 0.5 * (outer - outer.mT))


def _outer(u: torch.Tensor, v: torch.Tensor, rank: int) -> torch.Tensor:
    """``(n, 3, 3)``: sum of u_..i.. v_..j.. over rows, over the index that i and j are, and over all others."""
    terms: list[torch.Tensor] = []
    for index in range(rank):
        left, right = _index_apart(u, index, rank).movedim(2, 1), _index_apart(v, index, rank).movedim(2, 3)
        count = left.shape[2] * left.shape[3]
        terms.append(product(left.reshape(u.shape[0], 3, count), right.reshape(v.shape[0], count, 3)))
    return accumulated(*terms)


def _turning(x: torch.Tensor, rotations: torch.Tensor, change: torch.Tensor, rank: int, pseudo: bool) -> torch.Tensor:
    """The sum over indices of ``w x t``: x ``(n or 1, rows, 3^rank)``."""
    omega = angular_velocity(rotations, change)
    about = omega[:, None, :, None]
    moved = [torch.linalg.cross(about, _index_apart(x, index, rank), dim=2) for index in range(rank)]
    return accumulated(*(term.reshape(omega.shape[0], x.shape[1], x.shape[2]) for term in moved))


rotations_derived(rotate_tensors, _gradient, _turning)
rotate_tensors.register_vmap(rotations_by_batch(rotate_tensors))
