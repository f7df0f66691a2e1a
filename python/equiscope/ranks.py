"""The processes that share one audit, and what they tell each other: all of it by the store of their process group.

No collective is called, so that nothing waits for ever for a process that died, and the backend does not matter.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from .errors import ModelError

POLL, POLL_AT_WORK, POLL_AT_MOST = 0.005, 0.02, 0.2
"""Seconds between two looks at the store, while something is waited for: longer and longer, up to the last; up to the
one before where another process is at work on it."""

IDLE = "idle"
"""Counts the processes that wait, and could do something meanwhile."""

START = 300.0
"""Seconds within which all processes must begin: models are loaded, and data read, at different speeds. Later on, it is
seen when one dies."""

ALIVE = 0.5
"""Seconds between two looks at the other processes."""

_audits = 0
"""Audits that were shared so far: all processes count alike."""


class Ranks:
    """One process by itself."""

    rank, size = 0, 1

    def add(self, what: str, by: int) -> int:
        """The number `what`, 0 at first and the same for all, after `by` was added to it here."""
        raise RuntimeError("one process counts nothing")

    def claim(self, what: str) -> int:
        """How often `what` was claimed before, by any process."""
        return self.add(what, 1) - 1

    def tell(self, what: str, value: Any) -> None:
        """Let all processes know a JSON value."""

    def ask(self, what: str, within: float | None = None) -> Any:
        """The value that a process tells, waited for, `within` seconds where that is given."""
        raise RuntimeError(f"nobody tells {what}")

    def heard(self, what: str) -> Any:
        """The value that a process told, None where none has so far."""
        raise RuntimeError(f"nobody tells {what}")

    def forget(self, what: str) -> None:
        """Nobody will ask for that value any more."""

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait for what another process is at work on."""

    def meet(self, what: str, within: float | None = None) -> None:
        """Wait until all processes have come so far."""

    def check(self, *, now: bool = False) -> None:
        """Raise an error where another process failed or died; looked at from time to time, or `now`."""

    def fail(self, error: BaseException) -> None:
        """Let all processes know that this one ends with `error`."""

    left = ""
    """What there is of the work where another process fails, in words."""

    watch: Callable[[], None] | None = None
    """Asked from time to time, beside what the processes tell themselves."""

    meanwhile: Callable[[], bool] | None = None
    """What this process does while it waits at a meeting or for an answer; returns whether there was anything to do."""


class Group(Ranks):
    """One of the processes of the default process group of torch.distributed."""

    def __init__(self) -> None:
        global _audits
        distributed: Any = torch.distributed
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        store = distributed.distributed_c10d._get_default_store()
        self._store = distributed.PrefixStore(f"equiscope/{_audits}", store)
        self._looked = time.monotonic()
        _audits += 1

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, ModelError):
                raise
            told = f"processes: expected all {self.size} to go on, got no answer from the store of the process group"
            told = f"{told}, which rank 0 holds where torchrun does not"
            raise ModelError("; ".join(filter(None, (told, self.left)))) from error

    def add(self, what: str, by: int) -> int:
        with self._answering():
            return int(self._store.add(what, by))

    def tell(self, what: str, value: Any) -> None:
        with self._answering():
            self._store.set(what, json.dumps(value))

    def heard(self, what: str) -> Any:
        with self._answering():
            return json.loads(self._store.get(what)) if self._store.check([what]) else None

    def forget(self, what: str) -> None:
        with self._answering():
            self._store.delete_key(what)

    def ask(self, what: str, within: float | None = None) -> Any:
        self._idle(lambda: self._is_told(what), within)
        return self.heard(what)

    def _is_told(self, what: str) -> bool:
        with self._answering():
            return bool(self._store.check([what]))

    def meet(self, what: str, within: float | None = None) -> None:
        self.add(what, 1)
        self._idle(lambda: self.add(what, 0) >= self.size, within)

    def until(self, ready: Callable[[], bool]) -> None:
        pause = POLL
        while not ready():
            self.check()
            time.sleep(pause)
            pause = min(2 * pause, POLL_AT_WORK)

    def _idle(self, ready: Callable[[], bool], within: float | None) -> None:
        """Wait, and do `meanwhile` what there is to do."""
        pause, began, helps = POLL, time.monotonic(), self.meanwhile is not None
        if helps:
            self.add(IDLE, 1)
        while not ready():
            self.check()
            if self.meanwhile is not None and self.meanwhile():
                pause = POLL
                continue
            if within is not None and time.monotonic() - began > within:
                raise ModelError(f"processes: expected all {self.size} to begin within {within:.0f} s, got fewer")
            time.sleep(pause)
            pause = min(2 * pause, POLL_AT_MOST)
        if helps:
            self.add(IDLE, -1)

    def check(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._looked < ALIVE:
            return
        self._looked = time.monotonic()
        with self._answering():
            failed = json.loads(self._store.get("failed")) if self._store.check(["failed"]) else None
        if failed is not None:
            if failed["rank"] != self.rank:
                told = f"processes: expected all to go on, got an error in rank {failed['rank']}: {failed['why']}"
                raise ModelError("; ".join(filter(None, (told, self.left))))
        if self.watch is not None:
            self.watch()

    def fail(self, error: BaseException) -> None:
        # where the process that holds the store is gone, so are all who could be told
        with contextlib.suppress(RuntimeError):
            if not self._store.check(["failed"]):
                self.tell("failed", {"rank": self.rank, "why": f"{type(error).__name__}: {error}"})


def ranks(distributed: bool | None) -> Ranks:
    """The processes that an audit is shared by: those of the process group, or this one where there is none, or where
    `distributed` is False."""
    here: Any = torch.distributed
    if distributed is False or not here.is_available() or not here.is_initialized() or here.get_world_size() == 1:
        return Ranks()
    return Group()


def join(device: str | None) -> bool:
    """Join the process group that torchrun asks for, where it started this process; whether this is the first one."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        return True
    cuda = device is not None and device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    atexit.register(torch.distributed.destroy_process_group)
    return torch.distributed.get_rank() == 0


def host() -> str:
    """This machine."""
    return socket.gethostname()


def place() -> str:
    """This process, in words."""
    return f"process {os.getpid()} on {host()}"
