"""How much of a training run has gone into audits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real

import torch

from ..errors import ArgumentError, fail


class Clock:
    """Time since the first step and the part of it that audits took, in seconds; both go on in a run that resumes."""

    def __init__(self, share: float | None) -> None:
        if share is not None and (isinstance(share, bool) or not isinstance(share, Real) or not 0 < share < 1):
            fail(ArgumentError, "budget", "a share of the time between 0 and 1, or None", repr(share))
        self.share = share
        self.spent = 0.0
        """In audits."""
        self.last = 0.0
        """What the last one took."""
        self._started: float | None = None

    def start(self, seconds: float = 0.0, spent: float = 0.0) -> None:
        """Training begins, or goes on after so many seconds."""
        if self._started is None:
            self._started, self.spent = time.perf_counter() - seconds, spent

    @property
    def seconds(self) -> float:
        """Since the first step."""
        return 0.0 if self._started is None else time.perf_counter() - self._started

    def allows(self) -> bool:
        """Whether one more audit like the last stays within the share."""
        return self.share is None or self.spent + self.last <= self.share * (self.seconds + self.last)

    @contextmanager
    def audit(self) -> Iterator[None]:
        """What is done inside is an audit."""
        self.last = 0.0
        with self.counted():
            yield

    @contextmanager
    def counted(self) -> Iterator[None]:
        """What is done inside belongs to the last audit."""
        before = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - before
            self.last += taken
            self.spent += taken


def settle() -> None:
    """Wait for what devices still have to do for training, which would count as time of the audit."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
