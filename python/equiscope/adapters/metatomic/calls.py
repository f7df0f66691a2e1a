"""A metatomic model and the ways to call it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from metatensor.torch import TensorMap
from metatomic.torch import AtomisticModel, ModelEvaluationOptions, ModelOutput, System

from ...errors import ModelError, ran_out

DIRECT_TOLERANCE = 1e-4
"""Relative difference up to which the wrapped module counts as equal to the wrapper: a unit conversion
changes the first digit, a sum in another order the last."""

Outputs = Mapping[str, TensorMap]


class Calls:
    """Calls a model for outputs in its own units.

    The wrapper copies every `System` to convert units. Data and outputs are in the model's own units here, so the
    wrapped module is called directly once it was seen to give the same values (`settle`).
    """

    def __init__(self, model: AtomisticModel, device: torch.device) -> None:
        self._model = model
        self._length_unit = model.capabilities().length_unit
        self._device = device
        self.direct = False
        self.seconds = 0.0
        """Wall time spent in `__call__` so far."""

    def __call__(self, systems: Sequence[System], request: Mapping[str, ModelOutput]) -> Outputs:
        start = time.perf_counter()
        with torch.no_grad():
            returned = self._module(systems, request) if self.direct else self._wrapper(systems, request, checks=False)
        self.seconds += time.perf_counter() - start
        return returned

    def checked(self, name: str, systems: Sequence[System], request: Mapping[str, ModelOutput]) -> Outputs:
        """The outputs of structure `name`, through the wrapper with its checks on."""
        try:
            returned = self._wrapper(systems, request, checks=True)
        except Exception as error:  # whatever a foreign model raises
            if ran_out(error):
                raise
            raise ModelError(
                f"model: expected outputs {', '.join(request)} for structure {name!r}, got "
                f"{type(error).__name__}: {error}"
            ) from error
        missing = [output for output in request if output not in returned]
        if missing:
            raise ModelError(f"model: expected outputs {', '.join(request)}, got none for {', '.join(missing)}")
        return returned

    def settle(self, systems: Sequence[System], request: Mapping[str, ModelOutput], known: Outputs) -> None:
        """Call directly from now on, provided that this gives the values `known` of the wrapper."""
        if type(self._model) is not AtomisticModel:
            return
        direct = self._module(systems, request)
        self.direct = all(name in direct and _alike(direct[name], known[name]) for name in request)

    def _module(self, systems: Sequence[System], request: Mapping[str, ModelOutput]) -> Outputs:
        returned: Outputs = self._model.module(systems, request, None)
        return returned

    def _wrapper(self, systems: Sequence[System], request: Mapping[str, ModelOutput], *, checks: bool) -> Outputs:
        options = ModelEvaluationOptions(length_unit=self._length_unit, outputs=request)
        returned: Outputs = self._model(systems, options, checks)
        return returned

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Evaluation mode without gradients; modes and random state are put back."""
        modes = [(part, part.training) for part in self._model.modules()]
        cuda = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda), torch.no_grad():
            self._model.eval()
            try:
                yield
            finally:
                for part, training in modes:
                    part.training = training


def _alike(mine: TensorMap, theirs: TensorMap) -> bool:
    """Whether two outputs agree to `DIRECT_TOLERANCE`."""
    if len(mine.blocks()) != len(theirs.blocks()):
        return False
    for a, b in zip(mine.blocks(), theirs.blocks(), strict=True):
        scale = float(b.values.abs().nan_to_num(posinf=0.0).max()) if b.values.numel() else 0.0
        if a.values.shape != b.values.shape or not torch.allclose(
            a.values, b.values, rtol=DIRECT_TOLERANCE, atol=DIRECT_TOLERANCE * scale, equal_nan=True
        ):
            return False
    return True
