"""What the command line writes to: a reader that went away is no error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class Forgiving:
    """A stream that goes on in silence when the other end of its pipe is closed, as ``head`` closes it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As of the stream."""
        try:
            return int(self._stream.write(text))
        except BrokenPipeError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        """As of the stream."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard()

    def _discard(self) -> None:
        """Send the rest nowhere: what is still in the buffer would fail again when the interpreter ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def forgiving_output() -> Iterator[None]:
    """Within the block standard output forgives, and is flushed at the end of it."""
    plain = sys.stdout
    forgiving = Forgiving(plain)
    with contextlib.redirect_stdout(forgiving):
        try:
            yield
        finally:
            forgiving.flush()
