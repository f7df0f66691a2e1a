"""Custom operators of torch, by the functions of `torch.library` that do not import its compiler at the first call.

What `torch.library` lets an operator say of its derivatives is reverse mode alone: under `torch.func.grad` it refuses,
and forward mode it answers with zeros. So where a transform of torch.func or forward mode is at work, the same rules
are called through a `torch.autograd.Function`, which knows all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch.autograd import forward_ad

Rule = TypeVar("Rule", bound=Callable[..., Any])
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


# by names of our own: this is looked up at every call
_any_autocast = torch._C._is_any_autocast_enabled
_is_compiling = torch.compiler.is_compiling
_transformed = torch._C._are_functorch_transforms_active
_modes = torch._C._len_torch_dispatch_stack
_functions = torch._C._len_torch_function_stack
_tracing_state = torch._C._get_tracing_state
_profiled = torch._C._autograd._profiler_enabled


def without_autocast(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The function with autocast off for the device of its first tensor: its products need all of their digits."""

    @functools.wraps(function)
    def call(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        if not _any_autocast():
            return function(*arguments, **keywords)
        first = arguments[0] if arguments else None
        if not isinstance(first, torch.Tensor):
            first = next((x for x in (*arguments, *keywords.values()) if isinstance(x, torch.Tensor)), None)
        kind = "cpu" if first is None else first.device.type
        if (kind not in ("cpu", "cuda") and not torch.amp.is_autocast_available(kind)) or (
            not torch.is_autocast_enabled(kind)
        ):
            return function(*arguments, **keywords)
        with torch.autocast(kind, enabled=False):
            return function(*arguments, **keywords)

    return call


def save_with_lmax(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    """`setup_context` of an operator that takes tensors and then lmax."""
    *tensors, ctx.lmax = inputs
    ctx.save_for_backward(*tensors)


def transformed() -> bool:
    """Whether a transform of torch.func or forward mode is at work: then no argument shows what is wanted of it."""
    # as torch asks in autograd.Function.apply
    return forward_ad._current_level >= 0 or _transformed()


def _watched() -> bool:
    """Whether something looks on at the calls: a compiler, a tracer, a transform, a mode, a profiler."""
    return (
        _is_compiling()
        or forward_ad._current_level >= 0
        or _transformed()
        or _modes() > 0
        or _functions() > 0
        or _tracing_state() is not None
        or _profiled()
    )


def derivative_wanted(*arguments: Any) -> bool | None:
    """Whether one by these is; None where something looks on, or a tensor is of a kind that torch must see to."""
    if _watched():
        return None
    tracked = False
    for x in arguments:
        if isinstance(x, torch.Tensor):
            if type(x) not in _OWN or not (x.is_cpu or x.is_cuda):
                return None
            tracked = tracked or x.requires_grad
    return tracked and torch.is_grad_enabled()


_OWN = (torch.Tensor, torch.nn.Parameter)


class Operator:
    """``equiscope::name``: an implementation for all devices, and what torch must know to trace and derive it.

    The function must return a new tensor, never one of its arguments or a view of one. It is called at once where
    nobody looks on, and recorded for a derivative in reverse mode where one is wanted: the way through the dispatcher
    takes as long as several small calls.
    """

    __slots__ = ("_function", "_recorded", "_transformed", "_vmap", "name", "overload")

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        short = function.__name__.lstrip("_")
        self.name = f"equiscope::{short}"
        schema = torch.library.infer_schema(function, mutates_args=())
        torch.library.define(self.name, schema, tags=(torch.Tag.pt2_compliant_tag,))
        torch.library.impl(self.name, "CompositeExplicitAutograd", function)
        self.overload = getattr(torch.ops.equiscope, short).default
        self._function = function
        self._recorded: Any = None
        self._transformed: Any = None
        self._vmap: Callable[..., Any] = self._one_by_one

    def __call__(self, *arguments: Any) -> torch.Tensor:
        result: torch.Tensor
        wanted = derivative_wanted(*arguments)
        if wanted is False:
            result = self._function(*arguments)
        elif wanted and self._recorded is not None:
            result = self._recorded.apply(*arguments)
        elif self._transformed is None or not transformed():
            result = self.overload(*arguments)
        elif not torch.compiler.is_compiling():
            result = self._transformed.apply(*arguments)
        elif forward_ad._current_level >= 0 or any(map(_tracked, arguments)):
            result = _not_compiled(self, *arguments)
        else:
            result = self.overload(*arguments)
        return result

    def register_fake(self, rule: Rule) -> Rule:
        """Shape and dtype of the result, without values."""
        torch.library.register_fake(self.name, rule)
        return rule

    def register_derivatives(
        self, backward: Callable[..., Any], tangent: Callable[..., torch.Tensor], *, setup_context: Callable[..., Any]
    ) -> None:
        """Reverse and forward mode, composed of operators that have both themselves.

        They run with autocast off. Their own derivatives do not, where torch has the rules: so they may hold no product
        of matrices but `product`, and no einsum.

        `backward` and `setup_context` are those of `torch.library.register_autograd`; ``tangent(arguments, tangents)``
        gives the tangent of the result from those of the arguments, None where there is none.
        """

        exact = without_autocast(backward)
        torch.library.register_autograd(self.name, exact, setup_context=setup_context)
        self._recorded = _recorded(self, exact, setup_context)
        self._transformed = _function(self, exact, tangent, setup_context)

    def _one_by_one(self, info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[torch.Tensor, int]:
        each = [
            self(*(x if dim is None else x.select(dim, i) for x, dim in zip(inputs, in_dims, strict=True)))
            for i in range(info.batch_size)
        ]
        return torch.stack(each), 0

    def register_vmap(self, rule: Rule) -> Rule:
        """How a further batch axis is taken; one by one without a rule."""
        torch.library.register_vmap(self.name, rule)
        self._vmap = rule
        return rule


def _tracked(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.requires_grad


def _not_compiled(operator: Operator, *arguments: Any) -> torch.Tensor:
    return operator(*arguments)


# what torch.compiler.disable does for one frame; that imports the compiler, which takes a second
_not_compiled._torchdynamo_disable = True  # type: ignore[attr-defined]
_not_compiled._torchdynamo_disable_msg = (  # type: ignore[attr-defined]
    "equiscope: derivatives by torch.func and forward mode are not compiled into one graph; leave out fullgraph=True, "
    "or take torch.autograd.grad, which is"
)


def _recorded(operator: Operator, backward: Callable[..., Any], setup_context: Callable[..., Any]) -> Any:
    """The operator as a `torch.autograd.Function` of reverse mode alone, which records with the least to do."""

    def forward(ctx: Any, *inputs: Any) -> torch.Tensor:
        result = operator._function(*inputs)
        setup_context(ctx, inputs, result)
        return result

    return _class_of(operator, {"forward": forward, "backward": backward})


def _class_of(operator: Operator, rules: dict[str, Callable[..., Any]]) -> Any:
    name = "".join(part.capitalize() for part in operator.name.partition("::")[2].split("_"))
    return type(name, (torch.autograd.Function,), {key: staticmethod(rule) for key, rule in rules.items()})


def _function(
    operator: Operator, backward: Callable[..., Any], tangent: Callable[..., Any], setup_context: Callable[..., Any]
) -> Any:
    """The operator as a `torch.autograd.Function`, which has all modes and nests."""

    def setup(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        setup_context(ctx, inputs, output)
        ctx.arguments = [None if isinstance(x, torch.Tensor) else x for x in inputs]
        ctx.save_for_forward(*(x for x in inputs if isinstance(x, torch.Tensor)))

    @without_autocast
    def jvp(ctx: Any, *tangents: Any) -> torch.Tensor:
        # torch turns forward mode off here, for the levels around this one too: so it is turned on again, and what is
        # to be constant at this level gives its tangent up
        with forward_ad._set_fwd_grad_enabled(True):
            tensors = [forward_ad.unpack_dual(x, level=0).primal for x in ctx.saved_tensors]
            # tensors come first among the arguments
            result: torch.Tensor = tangent((*tensors, *ctx.arguments[len(tensors) :]), tangents)
            return result

    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> Any:
        return operator._vmap(info, in_dims, *inputs)

    rules = {"forward": operator.overload, "setup_context": setup, "backward": backward, "jvp": jvp, "vmap": vmap}
    return _class_of(operator, rules)


def accumulated(*terms: torch.Tensor | None) -> torch.Tensor:
    """The sum of those terms of a tangent that there are."""
    present = [term for term in terms if term is not None]
    total = present[0]
    for term in present[1:]:
        total = total + term
    return total
