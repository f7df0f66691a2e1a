"""A training run as it was: what an audit, or a model that is called by one, may change is put back bit by bit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from ..errors import ModelError, fail

_CONTAINERS = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
"""Of a module, what is changed in place when a parameter, a buffer or a part is set."""


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """While open, `model` is in evaluation mode; afterwards nothing of the run shows that it was.

    Restored are parameters, buffers, their gradients and whether they want any; mode and attributes of every module;
    the random states of torch, its CUDA devices, NumPy and Python. What a module holds inside of other Python objects
    is not seen. It takes the memory of the weights once more. Tensors are written to only where their bits differ, and
    past autograd: a graph that waits for its backward pass stays valid. Raises `ModelError` for parameters that have no
    shape yet, which the first call would draw.
    """
    with ExitStack() as stack:
        stack.callback(_random_state())
        if isinstance(model, torch.nn.Module):
            for tensor in _tensors(model):
                stack.callback(_tensor(tensor))
            for part in model.modules():
                stack.callback(_attributes(part))
            model.eval()
        yield


def _tensors(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            fail(ModelError, "model", "parameters that have a shape (call it once before training)", f"lazy {name!r}")
        yield parameter
    yield from model.buffers()


def _random_state() -> Callable[[], None]:
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        torch.cuda.set_rng_state_all(cuda)

    return restore


def _tensor(tensor: torch.Tensor) -> Callable[[], None]:
    """Puts values, gradient and `requires_grad` back."""
    values, wanted, gradient = tensor.detach().clone(), tensor.requires_grad, tensor.grad
    slope = None if gradient is None else gradient.detach().clone()

    def restore() -> None:
        _write(tensor, values)
        if tensor.requires_grad != wanted:
            tensor.requires_grad_(wanted)
        if tensor.grad is not gradient:
            tensor.grad = gradient
        if gradient is not None and slope is not None:
            _write(gradient, slope)

    return restore


def _write(tensor: torch.Tensor, values: torch.Tensor) -> None:
    if tensor.shape != values.shape or tensor.dtype != values.dtype or tensor.device != values.device:
        tensor.data = values
    elif not _same_bits(tensor, values):
        tensor.data.copy_(values)


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether NaN and signs of zeros are the same too."""
    if one.layout != torch.strided:
        return False
    first, second = (each.detach().reshape(-1).view(torch.uint8) for each in (one, other))
    return torch.equal(first, second)


def _attributes(part: torch.nn.Module) -> Callable[[], None]:
    """Puts mode and attributes of one module back: those that came go, and those that changed are what they were."""
    if isinstance(part, torch.jit.ScriptModule):
        training = part.training
        return lambda: setattr(part, "training", training)
    own = part.__dict__
    saved = dict(own)
    contents = {name: own[name].copy() for name in _CONTAINERS if name in own}

    def restore() -> None:
        for name in [name for name in own if name not in saved]:
            del own[name]
        for name, value in saved.items():
            if own.get(name) is not value or name not in own:
                own[name] = value
        for name, content in contents.items():
            if not _same_entries(own[name], content):
                own[name].clear()
                own[name].update(content)

    return restore


def _same_entries(one: Any, other: Any) -> bool:
    """Of two dicts or sets, in order; values by identity, since tensors do not compare as a whole."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(one[key] is other[key] for key in one)
    return bool(one == other)
