"""What an audit may hold at once: the statistics of the systems in progress, and one batch."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator, Mapping

import torch

from ..adapters.base import System
from ..errors import MemoryLimitError, ran_out

Values = Mapping[str, torch.Tensor]


class Memory:
    """Accounts for bytes: `limit` of them at most, or as many as the machine has.

    Statistics are known beforehand; `statistics` gives them for the values of one copy and lmax. What a row of a batch
    takes is measured: on a CUDA device by the allocator, so the memory of the model counts; on the CPU by the tensors
    that pass through the audit, so it does not.
    """

    def __init__(self, limit: int | None, lmax: int) -> None:
        self.limit = limit
        self.statistics: Callable[[Values, int], int] = lambda values, lmax: 0
        self._lmax = lmax
        self._held: dict[str, int] = {}
        self._per_row = 0.0
        self.most_rows = sys.maxsize
        """What a batch is known to fit with, once one did not."""
        self._reading = True
        """The next system is being made; before the first, the model as well."""
        self._name, self._copy = "", 0
        """The system that started last, and the rows of one copy of it."""
        self._values: Values = {}
        self._rows = 0
        self._before = 0

    @property
    def held(self) -> int:
        """Statistics of all systems in progress."""
        return sum(self._held.values())

    def crowded(self, values: Values) -> bool:
        """Whether the systems in progress must end before one with these values begins."""
        if self.limit is None or not self._held:
            return False
        return self.held + self.statistics(values, self._lmax) > self.limit

    def reading(self, systems: Iterator[System]) -> Iterator[System]:
        """The same `systems`; what runs out of memory while one of them is made is put down to the data."""
        self._reading = True
        for system in systems:
            self._reading = False
            yield system
            self._reading = True
        self._reading = False

    def rehearse(self, system: System) -> None:
        """A system is evaluated for the first time."""
        self._name, self._copy, self._rows, self._values = system.name, system.rows, system.rows, {}

    def begin(self, system: System, values: Values) -> None:
        """It starts: its statistics and one copy of it must fit."""
        self._values = values
        self._held[system.name] = self.statistics(values, self._lmax)
        self._check()

    def _check(self) -> None:
        copy = int(self._per_row * self._copy)
        if self.limit is not None and self.held + copy > self.limit:
            raise MemoryLimitError(
                f"max_memory: expected at least {_size(self.held + copy)} (statistics {_size(self.held)}, one copy of "
                f"{self._name!r} {_size(copy)}), got {_size(self.limit)}; {self._hint(self.limit - copy)}"
            )

    def end(self, system: System) -> None:
        """A system was finished or dropped."""
        self._held.pop(system.name, None)

    def rows(self, rows: int) -> int:
        """`rows`, or as many as fit into a batch."""
        if self.limit is not None and self._per_row:
            rows = min(rows, int((self.limit - self.held) / self._per_row))
        return min(rows, self.most_rows)

    def fits(self, rows: int) -> bool:
        """Whether a batch of so many rows is known to fit."""
        return self.limit is None or (bool(self._per_row) and self.rows(rows) == rows)

    def start(self, device: torch.device, rows: int) -> None:
        """A batch of `rows` rows starts."""
        self._rows = rows
        if self.limit is not None and device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)

    def stop(self, device: torch.device, seen: int) -> None:
        """It was evaluated; its tensors have `seen` bytes."""
        if self.limit is not None and device.type == "cuda":
            seen = max(seen, torch.cuda.max_memory_allocated(device) - self._before)
        self._per_row = max(self._per_row, seen / self._rows)
        self._check()

    def shrink(self) -> None:
        """The batch did not fit: half as many rows from now on."""
        self.most_rows = self._rows // 2
        # the error held the frames of the call that failed, and they what it had allocated
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Errors that say that memory ran out leave as the `exhausted` of this audit."""
        try:
            yield
        except Exception as error:  # whatever a foreign model raises
            if not ran_out(error):
                raise
            raise self.exhausted() from error

    def exhausted(self) -> MemoryLimitError:
        """What to say when there is no room even so."""
        if self._reading:
            return MemoryLimitError(
                f"max_memory: expected room to open the model and to read the next system beside {_size(self.held)} of "
                "statistics, got an out-of-memory error; systems from a generator take less than a list of them"
            )
        several = self._rows > self._copy
        batch = f"a batch of {self._rows} rows" if several else f"one copy of {self._name!r}"
        less = f"batch_rows={self._rows // 2} takes half" if several else self._hint(self.held // 2)
        return MemoryLimitError(
            f"max_memory: expected room for {batch} beside {_size(self.held)} of statistics, got an out-of-memory "
            f"error; {less}"
        )

    def _hint(self, room: int) -> str:
        """The highest lmax whose statistics fit into `room` bytes."""
        fitting = [l for l in range(self._lmax) if self.statistics(self._values, l) <= room]
        return f"lmax={fitting[-1]} would fit" if fitting and self._values else "auditing fewer layers takes less"


def _size(nbytes: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= factor:
            return f"{nbytes / factor:.3g} {unit}"
    return f"{nbytes:.0f} bytes"
