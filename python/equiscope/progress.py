"""A progress bar on standard error, or silence."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

Bar = Callable[[int, "int | None"], Any]
"""``bar(rotations, systems)`` gives a context manager that yields ``advance(copies)``."""


def progress_bar(progress: bool | None) -> Bar:
    """A bar with the time left, or one that shows nothing; None decides by whether standard error is a terminal."""

    @contextlib.contextmanager
    def quiet(size: int, systems: int | None) -> Iterator[Callable[[int], None]]:
        yield lambda copies: None

    @contextlib.contextmanager
    def bar(size: int, systems: int | None) -> Iterator[Callable[[int], None]]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=console.is_terminal) as shown:
            task = shown.add_task(f"{size} rotations per system", total=None if systems is None else systems * size)
            yield lambda copies: shown.advance(task, copies)

    return bar if (sys.stderr.isatty() if progress is None else progress) else quiet
