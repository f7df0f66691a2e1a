"""Gradients through many evaluations of a model whose activations do not all fit into memory: they are made again."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch

Tensors = Sequence[torch.Tensor]
Function = Callable[..., tuple[torch.Tensor, ...]]


def recomputed(
    function: Function, tensors: Tensors, captured: Tensors = (), states: Sequence[torch.device] = ()
) -> tuple[torch.Tensor, ...]:
    """``function(*tensors)``, of which no more is kept for the gradient than `tensors`.

    The gradient runs `function` again, with the random numbers and the autocast of the first time. It is such a
    function itself, so that gradients of every order keep no activations of more than one call. `captured` are leaves
    that `function` reads without being handed them: gradients reach them, and no other. `states` are devices, beside
    the CPU, whose random state belongs to the call.
    """
    replay = _Replay(function, states)
    return _Recomputed.apply(replay, tuple(captured), *tensors, *captured)  # type: ignore[no-any-return, no-untyped-call]


class _Replay:
    """A function that finds at every call the random numbers and the autocast of the first one."""

    def __init__(self, function: Function, devices: Sequence[torch.device]) -> None:
        self._function = function
        self._devices = [device for device in devices if device.type == "cuda"]
        self._kinds = {"cpu", *(device.type for device in devices)}
        self._known: tuple[Any, ...] | None = None

    def __call__(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self._known is None:
            cuda = [torch.cuda.get_rng_state(device) for device in self._devices]
            casts = [(k, torch.is_autocast_enabled(k), torch.get_autocast_dtype(k)) for k in sorted(self._kinds)]
            self._known = torch.get_rng_state(), cuda, casts
            return self._function(*tensors)
        cpu, cuda, casts = self._known
        with torch.random.fork_rng(devices=self._devices), contextlib.ExitStack() as stack:
            torch.set_rng_state(cpu)
            for device, state in zip(self._devices, cuda, strict=True):
                torch.cuda.set_rng_state(state, device)
            for kind, enabled, dtype in casts:
                # without its cache: what that holds was cast in another graph
                stack.enter_context(torch.autocast(kind, dtype=dtype, enabled=enabled, cache_enabled=False))
            return self._function(*tensors)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Function, captured: tuple[torch.Tensor, ...], *tensors: torch.Tensor) -> Any:
        ctx.function, ctx.captured = function, captured
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        own = tensors[: len(tensors) - len(captured)]
        # with gradients on: models that differentiate inside need them, whoever asks
        with torch.enable_grad():
            found = function(*map(fresh, own))
        values = tuple(x.detach() for x in found)
        # told by dtype: what a gradient returns gets its graph only where it is itself differentiated
        ctx.mark_non_differentiable(*(value for value in values if not value.is_floating_point()))
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> Any:
        tensors = ctx.saved_tensors
        own = tensors[: len(tensors) - len(ctx.captured)]
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[2:]) if needed]
        given = [i for i, gradient in enumerate(gradients) if gradient is not None]
        if not given:
            return (None,) * (2 + len(tensors))
        pullback = _Pullback(ctx.function, ctx.captured, len(own), wanted, given)
        found = recomputed(pullback, (*own, *(g for g in gradients if g is not None)), ctx.captured)
        by_place = dict(zip(wanted, found, strict=True))
        return (None, None, *(by_place.get(i) for i in range(len(tensors))))


class _Pullback:
    """``(*tensors, *gradients of some results)`` to the gradients of `wanted` tensors, captured ones counted last."""

    def __init__(
        self, function: Function, captured: Tensors, count: int, wanted: Sequence[int], given: Sequence[int]
    ) -> None:
        self._function = function
        self._captured = captured
        self._count = count
        self._wanted = wanted
        self._given = given
        self._again = False

    def __call__(self, *arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
        own, gradients = arguments[: self._count], arguments[self._count :]
        results = self._function(*own)
        pairs = [(results[i], g) for i, g in zip(self._given, gradients, strict=True) if results[i].requires_grad]
        every = [(*own, *self._captured)[i] for i in self._wanted]
        if not pairs:
            return tuple(map(torch.zeros_like, every))
        # at first nobody differentiates the gradient: only where it is run again does somebody
        twice, self._again = self._again, True
        return torch.autograd.grad(
            [result for result, _ in pairs],
            every,
            [gradient for _, gradient in pairs],
            create_graph=twice,
            allow_unused=True,
            materialize_grads=True,
        )


def fresh(x: torch.Tensor) -> torch.Tensor:
    """`x` as a leaf of a graph of its own."""
    return x.detach().requires_grad_(x.requires_grad)


def captured_leaves(function: Function, tensors: Tensors) -> tuple[torch.Tensor, ...]:
    """The leaves that `function` reads without being handed them, and to which gradients flow.

    Found in the graph of one call. Leaves that the call itself made die with the graph and are not among them.
    """
    with torch.enable_grad():
        found = function(*map(fresh, tensors))
    seen = [weakref.ref(leaf) for leaf in _leaves(found)]
    del found
    alive = [leaf for leaf in (reference() for reference in seen) if leaf is not None]
    return tuple(leaf for leaf in alive if leaf.is_leaf and leaf.requires_grad)


def _leaves(results: Tensors) -> list[torch.Tensor]:
    """Of the graph that `results` stand on."""
    stack = [x.grad_fn for x in results if x.grad_fn is not None]
    known = set(stack)
    leaves = [x for x in results if x.grad_fn is None and x.requires_grad]
    while stack:
        node = stack.pop()
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        for following, _ in node.next_functions:
            if following is not None and following not in known:
                known.add(following)
                stack.append(following)
    return leaves
