"""The moments of all outputs and layers of one system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping

import torch

from ..errors import NonFiniteValues
from ..groups.representation import Representation
from ..measure.measure import Measure, Moments
from ..measure.summary import OrbitSummary

Values = Mapping[str, torch.Tensor]

JOINED_BYTES = 1 << 25
"""Statistics of layers that are accumulated together, at most: beyond, the price of a call counts for nothing."""


class Orbits:
    """Accumulates the values of one system, handed over in the order of the elements.

    Hidden layers that the measure takes together are channels of one quantity: what such a call costs is paid once for
    all layers, not for each.

    `values`: those at the identity by name, ``(s, c, components)``; `kinds`: how they transform, None for a hidden
    layer that gets a spectrum alone.
    """

    def __init__(
        self, measure: Measure, system: str, lmax: int, values: Values, kinds: Mapping[str, Representation | None]
    ) -> None:
        self._firsts = dict(values)
        self.lost: dict[str, NonFiniteValues] = {}
        """Outputs and layers with values that are not finite, which have no result; others go on."""
        self._moments: list[tuple[list[str], Moments]] = []
        for names in _groups(measure, lmax, values, kinds):
            first = values[names[0]]
            if len(names) == 1:
                moments = measure.moments(system, lmax, first, kinds[names[0]])
            else:
                moments = measure.joined(system, lmax, [values[name] for name in names])
            self._moments.append((names, moments))

    def extend(self, measure: Measure, system: str) -> None:
        """Go on with further elements."""
        for _, moments in self._moments:
            moments.extend(measure.elements(system))

    def update(self, values: Values) -> None:
        """The values on the next elements, ``(n, s, c, components)``; a layer without any is left out in the end."""
        for names, moments in self._moments:
            own = [values[name] for name in names if name in values]
            if not own or names[0] in self.lost:
                continue
            if len(own) < len(names):
                n = len(own[0])
                own = [values.get(name, self._firsts[name].expand(n, -1, -1, -1)) for name in names]
            try:
                if len(names) > 1:
                    moments.update_each(own)
                else:
                    moments.update(own[0])
            except NonFiniteValues as error:
                self.lost |= dict.fromkeys(names, error)

    def finish(self, skipped: Container[str]) -> dict[str, OrbitSummary]:
        """What came of each output and layer that is neither `skipped` nor `lost`."""
        found: dict[str, OrbitSummary | NonFiniteValues] = {}
        for names, moments in self._moments:
            if all(name in skipped or name in self.lost for name in names):
                continue
            try:
                sizes = [self._firsts[name].shape[1] for name in names]
                found |= zip(names, moments.finish_each(sizes) if len(names) > 1 else [moments.finish()], strict=True)
            except NonFiniteValues as error:
                found |= dict.fromkeys(names, error)
        kept = {name: found[name] for name in self._firsts if name in found and name not in skipped}
        self.lost |= {name: own for name, own in kept.items() if isinstance(own, NonFiniteValues)}
        return {name: own for name, own in kept.items() if isinstance(own, OrbitSummary)}


def statistics(measure: Measure, lmax: int, values: Iterable[torch.Tensor]) -> int:
    """Memory that the moments of these quantities take, in bytes; what is of one size is asked for once."""
    counts = Counter((value.shape, value.dtype, value.device) for value in values)
    one = {(value.shape, value.dtype, value.device): value for value in values}
    return sum(count * measure.nbytes(lmax, one[like]) for like, count in counts.items())


def _groups(
    measure: Measure, lmax: int, values: Values, kinds: Mapping[str, Representation | None]
) -> Iterator[list[str]]:
    """Names of what is accumulated together, in their order."""
    open_groups: dict[Hashable, list[str]] = {}
    sizes: Counter[Hashable] = Counter()
    known: dict[Hashable, tuple[Hashable | None, int]] = {}
    for name, value in values.items():
        if kinds[name] is not None or value.shape[-1] != 1:
            yield [name]
            continue
        like = (value.shape, value.dtype, value.device)
        if like not in known:
            known[like] = measure.alike(lmax, value), measure.nbytes(lmax, value)
        alike, nbytes = known[like]
        if alike is None:
            yield [name]
            continue
        key = (alike, value.shape[0], value.dtype, value.device)
        if key in open_groups and sizes[key] + nbytes > JOINED_BYTES:
            yield open_groups.pop(key)
            sizes[key] = 0
        open_groups.setdefault(key, []).append(name)
        sizes[key] += nbytes
    yield from open_groups.values()
