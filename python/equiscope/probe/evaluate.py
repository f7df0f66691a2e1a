"""One call of the model, and what the hooks heard of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Set
from typing import Any

import torch

from ..adapters.base import Adapter, Again, Piece
from ..errors import ModelError
from .hooks import Capture

Outputs = dict[str, list[torch.Tensor]]
Captured = dict[str, torch.Tensor]


class Evaluator:
    """Calls the model of an adapter on batches, and counts the copies."""

    def __init__(self, adapter: Adapter, capture: Capture | None) -> None:
        self.adapter = adapter
        self._capture = capture
        self.evaluations = 0
        self.calls = 0
        """How often the model was called: what it returned before may be overwritten since."""

    def __call__(self, pieces: Sequence[Piece]) -> tuple[Outputs, Captured]:
        """Values of the outputs by piece, and what hidden modules returned for all of them."""
        copies = sum(piece.rotations.shape[0] for piece in pieces)
        try:
            outputs = self._called(pieces)
        except StopIteration as error:
            # the generators that a call goes through would turn it into an error that says nothing of the model
            model = self.adapter.description.get("model", "model")
            raise ModelError(f"model: expected {model} to return, got StopIteration") from error
        _check(outputs, self.adapter, pieces)
        self.evaluations += copies
        calls = copies if self.adapter.calls_per_copy else None
        return outputs, self._capture.take(calls) if self._capture is not None else {}

    def _called(self, pieces: Sequence[Piece]) -> Outputs:
        while True:
            self.calls += 1
            if self._capture is not None:
                self._capture.clear()
            listening = self._capture.listening() if self._capture is not None else contextlib.nullcontext()
            with contextlib.suppress(Again), listening:
                return dict(self.adapter.forward(pieces))

    def overwritten(self) -> bool:
        """Whether the last call left hidden values that the model had overwritten already: it has to be made again."""
        return self._capture is not None and self._capture.overwritten()

    @property
    def elsewhere(self) -> Set[str]:
        """Modules that were called in other threads."""
        return self._capture.elsewhere if self._capture is not None else set()


def _check(outputs: Outputs, adapter: Adapter, pieces: Sequence[Piece]) -> None:
    """Refuse what is no result of `Adapter.forward`: an adapter of a stranger may be wrong."""
    for name in (name for name in (*adapter.outputs, *adapter.features) if name in outputs):
        components = adapter.outputs[name].components if name in adapter.outputs else 1
        parts: Any = outputs[name]
        if not isinstance(parts, list | tuple) or len(parts) != len(pieces):
            got = f"{len(parts)} of them" if isinstance(parts, list | tuple) else type(parts).__name__
            raise ModelError(
                f"{name}: expected of Adapter.forward a list with a tensor for each of {len(pieces)} pieces, got {got}"
            )
        for part, piece in zip(parts, pieces, strict=True):
            copies = piece.rotations.shape[0]
            fits = isinstance(part, torch.Tensor) and part.is_floating_point() and part.ndim == 4
            if not fits or (part.shape[0], part.shape[3]) != (copies, components):
                shape = (
                    f"{part.dtype} of shape {tuple(part.shape)}"
                    if isinstance(part, torch.Tensor)
                    else type(part).__name__
                )
                expected = (
                    f"floating-point numbers (copies, samples, channels, components) = ({copies}, ..., {components})"
                )
                raise ModelError(f"{name}: expected of Adapter.forward {expected}, got {shape}")
