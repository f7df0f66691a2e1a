"""The rows of a metatomic output, sorted by rotated copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...errors import ModelError


class Samples:
    """Which rows of an output belong to which rotated copy, by their ``system`` label.

    The rows of one structure must carry the same labels in the same order in every copy of every batch: else
    an average over copies would mix atoms.
    """

    def __init__(self) -> None:
        self._labels: dict[str, dict[str, torch.Tensor]] = {}

    def split(
        self,
        name: str,
        names: Sequence[str],
        labels: torch.Tensor,
        values: torch.Tensor,
        structures: Sequence[str],
        copies: Sequence[int],
    ) -> list[torch.Tensor]:
        """`values` ``(rows, ...)`` as one ``(copies, rows of one copy, ...)`` per structure.

        `labels` ``(rows, len(names))`` has the number of the copy in the column "system".
        """
        if "system" not in names:
            raise ModelError(f"{name}: expected a sample dimension 'system', got ({', '.join(names)})")
        column = names.index("system")
        owner = labels[:, column].to(torch.int64)
        rest = labels[:, [k for k in range(len(names)) if k != column]]
        total = sum(copies)
        if len(owner) and not 0 <= int(owner.min()) <= int(owner.max()) < total:
            raise ModelError(f"{name}: expected system labels 0 to {total - 1}, got {owner.min()} to {owner.max()}")
        counts = torch.bincount(owner, minlength=total)
        if not bool((owner[1:] >= owner[:-1]).all()):
            order = torch.argsort(owner, stable=True)
            values, rest = values[order], rest[order]
        parts = []
        copy = row = 0
        per_copy = counts.tolist()
        for structure, n in zip(structures, copies, strict=True):
            rows = per_copy[copy]
            if any(other != rows for other in per_copy[copy : copy + n]):
                raise ModelError(
                    f"{name}: expected rotated copies of {structure!r} with equal numbers of rows, got "
                    f"{min(per_copy[copy : copy + n])} to {max(per_copy[copy : copy + n])}"
                )
            stop = row + n * rows
            self._check(name, structure, rest[row:stop].reshape(n, rows, rest.shape[1]))
            parts.append(values[row:stop].reshape(n, rows, *values.shape[1:]))
            copy, row = copy + n, stop
        return parts

    def _check(self, name: str, structure: str, labels: torch.Tensor) -> None:
        known = self._labels.setdefault(structure, {}).setdefault(name, labels[0].clone())
        if known.shape != labels.shape[1:]:
            raise ModelError(
                f"{name}: expected rotated copies of {structure!r} with equal numbers of rows, got "
                f"{known.shape[0]} and {labels.shape[1]}"
            )
        same = (labels == known).flatten(1).all(dim=1)
        if not bool(same.all()):
            raise ModelError(
                f"{name}: expected the same sample labels in the same order from every rotated copy of "
                f"{structure!r}, got others from copy {int(same.to(torch.int8).argmin())}"
            )

    def forget(self, *structures: str) -> None:
        """Drop the labels of finished structures, so that memory does not grow with the data."""
        for structure in structures:
            self._labels.pop(structure, None)
