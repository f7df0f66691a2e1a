"""Ctrl-C and SIGTERM: turned into exceptions that can be met, and kept waiting where half of a thing would be wrong."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""Exit codes, as shells count them."""


class Terminated(SystemExit):
    """The process was asked to end by SIGTERM; its exit code says so, as that of a shell would."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)

    def __str__(self) -> str:
        """What became of the audit, where somebody said so in `args`."""
        return str(self.args[0]) if self.args != (TERMINATED,) else "stopped by SIGTERM"


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Within the block SIGTERM raises `Terminated`, where nobody else has asked for it and this is the main thread."""
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Both signals are kept until the end of the block, where Python handles them."""
    if not _in_main_thread():
        yield  # interrupts go to the main thread
        return
    # a handler that Python did not set cannot be put back, and what ends the process at once leaves nothing to protect
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    kept = {number: handler for number, handler in previous.items() if callable(handler)}
    waiting: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        waiting.append(number)

    for number in kept:
        signal.signal(number, keep)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        for met in dict.fromkeys(waiting):
            signal.raise_signal(met)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
