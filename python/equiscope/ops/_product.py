"""Products of matrices that are exact inside autocast, with all of their derivatives.

The derivatives of torch's own product are products that torch runs whenever they are asked for, in the dtype of the
autocast around them: that the product itself was made with autocast off is forgotten by then.
"""

from __future__ import annotations

from typing import Any

import torch

from ._operator import Operator, accumulated, transformed

FEW = 2048
"""Up to so many multiplications, sums take less time than an operator of our own."""


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a @ b`` of as many axes each, where autocast is off already."""
    if not transformed() and not (torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)):
        return a @ b
    if not torch.compiler.is_compiling() and max(a.numel() * b.shape[-1], b.numel() * a.shape[-2]) <= FEW:
        # sums are left alone by autocast
        return (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2)
    return _product(a, b)


@Operator
def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a @ b


@_product.register_fake
def _(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a.new_empty(*torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    a, b = ctx.saved_tensors
    by_a = product(grad, b.mT).sum_to_size(a.shape) if ctx.needs_input_grad[0] else None
    by_b = product(a.mT, grad).sum_to_size(b.shape) if ctx.needs_input_grad[1] else None
    return by_a, by_b


def _tangent(arguments: tuple[Any, ...], tangents: tuple[Any, ...]) -> torch.Tensor:
    (a, b), (da, db) = arguments, tangents
    return accumulated(None if da is None else product(da, b), None if db is None else product(a, db))


_product.register_derivatives(_backward, _tangent, setup_context=_save)


@_product.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, int]:
    a, b = (x.unsqueeze(0) if dim is None else x.movedim(dim, 0) for x, dim in zip((a, b), in_dims, strict=True))
    return product(a, b), 0
