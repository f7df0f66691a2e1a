"""How many rows a batch holds: what was asked for, or what the first batches show to be fastest."""

from __future__ import annotations

import torch

FIRST_ROWS = 1024
"""Where the search starts; it goes on in steps of two."""

LEAST_ROWS = 256
"""Below this the price of a call outweighs every cache."""

MOST_ROWS = {"cpu": 4096, "cuda": 1 << 17}
"""Beyond this a CPU is out of its caches, and the memory of the model grows for nothing."""

REPEATS = 2
"""Batches timed at each size: the faster one counts."""

GAIN = 0.97
"""A size must cost less than this fraction of another, per row, to be worth the change."""

FULL = 0.75
"""Batches filled to less than this say little of their size."""


class BatchRows:
    """Rows per batch. ``"auto"`` climbs from `FIRST_ROWS` in powers of two while a row gets cheaper.

    The batches that are timed are batches of the audit, so the search costs next to nothing; values do not depend on
    it beyond the round-off of the model.
    """

    def __init__(self, asked: int | str) -> None:
        self.searching = isinstance(asked, str)
        self._cost: dict[int, list[float]] = {}
        self.rows = FIRST_ROWS if isinstance(asked, str) else asked
        """The size of the next batch."""

    def at_most(self, rows: int) -> None:
        """More than `rows` rows do not fit into memory."""
        if self.rows > rows:
            self.rows, self.searching = max(1, rows), False

    def record(self, rows: int, seconds: float, device: torch.device) -> None:
        """A batch of `rows` rows took `seconds`, with what is done for its values."""
        if not self.searching or not FULL * self.rows <= rows <= self.rows:
            return
        known = self._cost.setdefault(self.rows, [])
        known.append(seconds / rows)
        if len(known) < REPEATS:
            return
        cost = {rows: min(seconds) for rows, seconds in self._cost.items()}
        best = FIRST_ROWS
        for rows in sorted(cost, key=lambda rows: abs(rows - FIRST_ROWS)):
            best = rows if cost[rows] < GAIN * cost[best] else best
        # up first; down only where the first step up did not pay
        above, below = 2 * max(cost), min(cost) // 2
        if best == max(cost) and above <= MOST_ROWS.get(device.type, FIRST_ROWS):
            self.rows = above
        elif best == min(cost) and below >= LEAST_ROWS:
            self.rows = below
        else:
            self.rows, self.searching = best, False
