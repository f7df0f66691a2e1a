"""One call of the model, and what the hooks heard of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Set

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

    def __call__(self, pieces: Sequence[Piece]) -> tuple[Outputs, Captured]:
        """Values of the outputs by piece, and what hidden modules returned for all of them."""
        copies = sum(piece.rotations.shape[0] for piece in pieces)
        try:
            outputs = self._called(pieces)
        except StopIteration as error:
            # the generators that a call goes through would turn it into an error that says nothing of the model
            model = self.adapter.description.get("model", "model")
            raise ModelError(f"model: expected {model} to return, got StopIteration") from error
        self.evaluations += copies
        calls = copies if self.adapter.calls_per_copy else None
        return outputs, self._capture.take(calls) if self._capture is not None else {}

    def _called(self, pieces: Sequence[Piece]) -> Outputs:
        while True:
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
