"""Custom operators of torch, by the functions of `torch.library` that do not import its compiler at the first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Rule = TypeVar("Rule", bound=Callable[..., Any])


def save_with_lmax(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    """`setup_context` of an operator that takes tensors and then lmax."""
    *tensors, ctx.lmax = inputs
    ctx.save_for_backward(*tensors)


class Operator:
    """``equiscope::name``: an implementation for all devices, and what torch must know to trace and derive it.

    The function must return a new tensor, never one of its arguments or a view of one.
    """

    __slots__ = ("name", "overload")

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        short = function.__name__.lstrip("_")
        self.name = f"equiscope::{short}"
        schema = torch.library.infer_schema(function, mutates_args=())
        torch.library.define(self.name, schema, tags=(torch.Tag.pt2_compliant_tag,))
        torch.library.impl(self.name, "CompositeExplicitAutograd", function)
        self.overload = getattr(torch.ops.equiscope, short).default

    def __call__(self, *arguments: Any) -> torch.Tensor:
        result: torch.Tensor = self.overload(*arguments)
        return result

    def register_fake(self, rule: Rule) -> Rule:
        """Shape and dtype of the result, without values."""
        torch.library.register_fake(self.name, rule)
        return rule

    def register_autograd(self, backward: Callable[..., Any], *, setup_context: Callable[..., Any]) -> None:
        """The backward formula, composed of operators that have one themselves."""
        torch.library.register_autograd(self.name, backward, setup_context=setup_context)

    def register_vmap(self, rule: Rule) -> Rule:
        """How a further batch axis is taken."""
        torch.library.register_vmap(self.name, rule)
        return rule
