"""What is made once and lies on a device for the calls that follow."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import torch

from ..errors import DeviceError, fail


class _Entry(NamedTuple):
    parts: tuple[Any, ...]
    stream: int


class Kept:
    """Tuples that are made once per key, the `limit` latest of them, and all that a captured graph uses.

    A graph reads its addresses again at every replay, and torch does not say when it is dropped: what one has used is
    kept for ever. That is bounded by what differs among all that was captured, not by how often.
    """

    __slots__ = ("_captured", "_latest", "_limit", "_lock")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._latest: collections.OrderedDict[Hashable, _Entry] = collections.OrderedDict()
        self._captured: dict[Hashable, _Entry] = {}
        self._lock = threading.Lock()

    def get(
        self, name: Hashable, device: torch.device, what: str, make: Callable[[], tuple[Any, ...]]
    ) -> tuple[Any, ...]:
        """The tuple of that name on that device; DeviceError if `what` would be made during a capture."""
        key, stream, capturing = (name, device), _stream(device), _capturing(device)
        with self._lock:
            entry = self._captured.get(key) or self._latest.pop(key, None)
            if entry is None:
                if capturing:
                    expected = f"one call with {what} before a graph is captured"
                    fail(DeviceError, "stream", expected, "the first one while capturing")
                entry = _Entry(make(), stream)
            if capturing:
                self._captured[key] = entry
            elif key not in self._captured:
                self._latest[key] = entry
                if len(self._latest) > self._limit:
                    self._latest.popitem(last=False)
        if stream != entry.stream and not capturing:
            # when it is dropped, its memory is not given away before this stream has done with it
            for part in entry.parts:
                if isinstance(part, torch.Tensor) and part.is_cuda:
                    part.record_stream(torch.cuda.current_stream(device))
        return entry.parts

    def __len__(self) -> int:
        return len(self._latest) + len(self._captured)


def _stream(device: torch.device) -> int:
    return int(torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else 0


def _capturing(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()
