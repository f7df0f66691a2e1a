"""Which systems are evaluated together: what shares batches is a unit, and no batch crosses its bounds.

So the numbers of a unit do not depend on who evaluates it, and on what else was evaluated there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..adapters.base import Adapter, System

STAGE = 32
"""Systems of the first stage; each further one has twice as many."""


@dataclass(frozen=True)
class Unit:
    """Systems that follow one another in the data: one alone, or several whose copies all fit into one batch."""

    first: int
    """Place of the first one in the data."""
    systems: tuple[System, ...]

    @property
    def stop(self) -> int:
        """Place behind the last one."""
        return self.first + len(self.systems)

    @property
    def places(self) -> dict[str, int]:
        """Of the systems, by name."""
        return {system.name: self.first + i for i, system in enumerate(self.systems)}

    @property
    def rows(self) -> int:
        """Of one copy of each."""
        return sum(system.rows for system in self.systems)


class Stream(Iterator[System]):
    """The same `systems`, of which some may be looked at before they are read."""

    def __init__(self, systems: Iterator[System]) -> None:
        self._systems = systems
        self._seen = deque[System]()

    def __next__(self) -> System:
        return self._seen.popleft() if self._seen else next(self._systems)

    def ahead(self, index: int) -> System | None:
        """The one that is read after `index` others; None where there are no more."""
        while len(self._seen) <= index:
            following = next(self._systems, None)
            if following is None:
                return None
            self._seen.append(following)
        return self._seen[index]


def units(
    systems: Iterable[System],
    first: int,
    done: Callable[[int], bool],
    together: Callable[[Sequence[System], System], bool],
) -> Iterator[Unit]:
    """`systems`, of which the first has the place `first`, in units, without those that are `done`; `together` says
    whether one more fits in."""
    held: list[System] = []
    start = first
    for place, system in enumerate(systems, first):
        if held and (done(place) or not together(held, system)):
            yield Unit(start, tuple(held))
            held = []
        if done(place):
            continue
        if not held:
            start = place
        held.append(system)
    if held:
        yield Unit(start, tuple(held))


def share_a_batch(
    adapter: Adapter, held: Sequence[System], system: System, elements: int, rows: int, nbytes: int | None
) -> bool:
    """Whether the copies of some systems and of one more, at so many elements, fit into a batch of `rows` rows and
    `nbytes` bytes of inputs."""
    every = [*held, system]
    within = nbytes is None or elements * sum(one.nbytes for one in every) <= nbytes
    return within and elements * sum(one.rows for one in every) <= rows and adapter.compatible(held[0], system)


def stages(first: int) -> Iterator[int]:
    """Places where stages end, the first of which begins at `first`: what one showed, the next is judged by."""
    size = STAGE
    while True:
        first += size
        yield first
        size *= 2
