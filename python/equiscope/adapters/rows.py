"""Which rows of a batched tensor belong to which rotated copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import ModelError


class RowCounts:
    """Rows per copy of every tensor a model returns, learned from a rehearsal and enforced afterwards.

    The rehearsal evaluates identical copies of one system alone, so the rows of one copy are the first axis over
    the number of copies. From then on a batch may mix systems, and a copy that comes back with another number of
    rows (a neighbour list that changes with the orientation, say) is an error instead of a silent mix-up.
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, int]] = {}

    def knows(self, key: str, system: str) -> bool:
        return key in self._rows.get(system, ())

    def learn(self, key: str, system: str, tensor: torch.Tensor, copies: int) -> torch.Tensor:
        """Rehearsal: `tensor` as ``(copies, rows, ...)``; remembers rows."""
        if tensor.ndim == 0 or tensor.shape[0] % copies:
            raise ModelError(
                f"{key}: expected a first axis of copies or of rows in copy order, {copies} copies of system "
                f"{system!r} gave shape {tuple(tensor.shape)}"
            )
        rows = tensor.shape[0] // copies
        self._rows.setdefault(system, {})[key] = rows
        return tensor.reshape(copies, rows, *tensor.shape[1:])

    def split(
        self, key: str, systems: Sequence[str], copies: Sequence[int], tensor: torch.Tensor
    ) -> list[torch.Tensor]:
        """The pieces of a batch, each ``(copies, rows, ...)``, as views of `tensor`."""
        rows = [self._rows[system][key] for system in systems]
        sizes = [r * n for r, n in zip(rows, copies, strict=True)]
        if tensor.ndim == 0 or tensor.shape[0] != sum(sizes):
            what = ", ".join(
                f"{n} copies of {s!r} with {r} rows each" for s, n, r in zip(systems, copies, rows, strict=True)
            )
            raise ModelError(
                f"{key}: expected {sum(sizes)} rows ({what}), got shape {tuple(tensor.shape)}: "
                "rotated copies came back with different numbers of rows"
            )
        parts = torch.split(tensor, sizes)
        return [part.reshape(n, r, *tensor.shape[1:]) for part, n, r in zip(parts, copies, rows, strict=True)]

    def forget(self, system: str) -> None:
        """Drop what is known of a finished system, so that memory does not grow with the data."""
        self._rows.pop(system, None)
