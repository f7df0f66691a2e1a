"""Which rows of a batched tensor belong to which rotated copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import ModelError


class RowCounts:
    """Rows per copy of every tensor a model returns, learned from a rehearsal and enforced afterwards.

    The rehearsal evaluates copies of one system alone, so the rows of one copy are the first axis over the number of
    copies. From then on a batch may mix systems, and a copy that comes back with another number of rows (a neighbour
    list that changes with the orientation, say) is an error instead of a silent mix-up. Further axes may come back
    longer, since models pad to the longest of a batch: what is beyond the length of the system alone is left off.
    """

    def __init__(self) -> None:
        self._shapes: dict[str, dict[str, tuple[int, ...]]] = {}

    def knows(self, key: str, system: str) -> bool:
        return key in self._shapes.get(system, ())

    def shape(self, key: str, system: str) -> tuple[int, ...]:
        """Of the value of one copy."""
        return self._shapes[system][key]

    def learn(self, key: str, system: str, tensor: torch.Tensor, copies: int) -> torch.Tensor:
        """Rehearsal: `tensor` as ``(copies, rows, ...)``; remembers rows and the shape of one."""
        if tensor.ndim == 0 or tensor.shape[0] % copies:
            raise ModelError(
                f"{key}: expected a first axis of copies or of rows in copy order, {copies} copies of system "
                f"{system!r} gave shape {tuple(tensor.shape)}"
            )
        rows = tensor.shape[0] // copies
        self._shapes.setdefault(system, {})[key] = (rows, *tensor.shape[1:])
        return tensor.reshape(copies, rows, *tensor.shape[1:])

    def split(
        self, key: str, systems: Sequence[str], copies: Sequence[int], tensor: torch.Tensor
    ) -> list[torch.Tensor]:
        """The pieces of a batch, each ``(copies, rows, ...)``, as views of `tensor`."""
        shapes = [self._shapes[system][key] for system in systems]
        sizes = [shape[0] * n for shape, n in zip(shapes, copies, strict=True)]
        if tensor.ndim == 0 or tensor.shape[0] != sum(sizes):
            what = ", ".join(
                f"{n} copies of {s!r} with {shape[0]} rows each"
                for s, n, shape in zip(systems, copies, shapes, strict=True)
            )
            raise ModelError(
                f"{key}: expected {sum(sizes)} rows ({what}), got shape {tuple(tensor.shape)}: "
                "rotated copies came back with different numbers of rows"
            )
        parts = []
        pieces = (tensor,) if len(sizes) == 1 else torch.split(tensor, sizes)
        for part, n, shape, system in zip(pieces, copies, shapes, systems, strict=True):
            for axis, size in enumerate(shape[1:], 1):
                if part.ndim != len(shape) or part.shape[axis] < size:
                    raise ModelError(
                        f"{key}: expected rows of shape {shape[1:]} from copies of {system!r}, as alone, got "
                        f"{tuple(part.shape[1:])} in a batch"
                    )
                if part.shape[axis] > size:
                    part = part.narrow(axis, 0, size)
            parts.append(part.reshape(n, *shape))
        return parts

    def forget(self, system: str) -> None:
        """Drop what is known of a finished system, so that memory does not grow with the data."""
        self._shapes.pop(system, None)
