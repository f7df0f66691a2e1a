"""What values depend on, found out by inputs that are none of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..adapters.base import System
from ..adapters.rounding import DISPLACEMENT
from ..arrays import all_finite
from ..errors import ArgumentError, fail, ran_out
from .copies import DITHERS, IDENTICAL, PAIR, Copies
from .crosstalk import OUTPUT_SUMS, CrossTalk
from .layers import Values
from .noise import FELT, UNIFORM, Noise, rms
from .stacked import Stacked

NUDGE = 0.1
"""The size of a displacement to an input that is near, of which a calculator still makes sense: a twentieth of each
coordinate."""

TRIED = 3
"""Systems on which that is looked for: one may be a point alone, of which nothing invariant depends on where it is."""


class Dependence:
    """Which outputs were seen to depend on what is turned, and whether they depend on what they must not."""

    def __init__(self, copies: Copies, crosstalk: CrossTalk) -> None:
        self._copies = copies
        self._adapter = copies.adapter
        self._crosstalk = crosstalk
        self._moved: set[str] = set()
        """Outputs that were seen to change with what is turned."""
        self._tried = 0
        """Systems on which that was looked for."""
        self._padding_seen = False
        self._unturned_seen = False
        self.doubts: dict[str, str] = {}
        """By output that depends on an input that may hold directions and is not turned: what is to be said of it."""
        self.warnings: list[str] = []
        """What a reader must know of masks, and of inputs that are not turned."""

    def look(self, system: System, first: Stacked, noises: Mapping[str, Noise]) -> None:
        """Write into `noises` which values are 0 for all inputs, and which outputs depend on nothing that is turned;
        look for other dependence once.

        What changes from element to element depends on it, and so does what changes with the dither of what is turned.
        Only what does not is looked at: by an input that is near, and where that changes nothing by one that is far
        off, which may mean nothing to the model.
        """
        zero = [name for name, full in first.ask(lambda stack: stack.flatten(1).any(1)).items() if not full]
        outputs = [n for n in self._adapter.outputs if n in first and all_finite(first[n])]
        self._moved |= {
            name
            for name in outputs
            if name not in self._moved
            and (
                noises[name].jumps
                or _answers(noises[name])
                or _moves(first[name][IDENTICAL::DITHERS], first[name][:1], noises[name])
            )
        }
        still = [name for name in outputs if name not in self._moved]
        asked = bool(still) and self._tried < TRIED
        self._tried += asked
        if asked:
            still = _unmoved(still, self._elsewhere(system, NUDGE), noises)
        if zero or (asked and still):
            other = self._elsewhere(system, DISPLACEMENT)
            still = _unmoved(still, other, noises)
            for name in zero:
                noises[name].responds = name not in other or bool(other[name][1:].any())
        self._moved |= set(outputs) - set(still)
        for name in outputs:
            noises[name].depends = name in self._moved
        self._look_at_masks(system, first, noises)
        self._look_at_unturned(system, first, noises)

    def _look_at_masks(self, system: System, first: Stacked, noises: Mapping[str, Noise]) -> None:
        """Once, where the data leave a doubt of it: rows that a mask calls real must matter, and others must not."""
        displaced = None if self._padding_seen else self._adapter.displaced(system)
        if displaced is None:
            return
        self._padding_seen = True
        real, padding = (self._copies.outputs_of(one) for one in displaced)
        by_real = self._changed(real, first, noises)
        by_padding = [n for n in self._changed(padding, first, noises) if n in real and n in padding]
        alone = [name for name in by_padding if name not in by_real]
        if alone:
            told = ", ".join(map(repr, alone))
            got = f"one of system {system.name!r} by which {told} depends on the rows of padding alone"
            fail(ArgumentError, "masks", "a mask that is true where rows are real ('~name' turns one round)", got)
        if by_padding:
            told = ", ".join(f"`{name}`" for name in by_padding)
            self.warnings.append(
                f"what stands in the rows that `masks` calls padding changes {told}: the model lets it in, or the mask "
                "is the wrong way round ('~name' turns one round)"
            )

    def _look_at_unturned(self, system: System, first: Stacked, noises: Mapping[str, Noise]) -> None:
        """Once: an input that nobody declared by its name, and may hold directions, must not matter if it does."""
        others = {} if self._unturned_seen else self._adapter.unturned(system)
        self._unturned_seen |= bool(others)
        for key, other in others.items():
            changed = self._changed(self._copies.outputs_of(other), first, noises)
            if changed:
                named = ", ".join(f"`{name}`" for name in changed)
                told = f"depends on `{key}`, which is not turned and may hold directions: declare it, or as 'invariant'"
                self.doubts = {**dict.fromkeys(changed, told), **self.doubts}
                self.warnings.append(
                    f"`{key}` is not turned, and {named} {'depends' if len(changed) == 1 else 'depend'} on it: if it "
                    f"holds directions, declare it ('vector', 'scalar+vector'); inputs={{{key!r}: 'invariant'}} says "
                    "that it holds none"
                )

    def _changed(self, other: Values, first: Stacked, noises: Mapping[str, Noise]) -> list[str]:
        """Outputs that are not in `other` as in the first copy, those that the model does not give there among them."""
        names = [
            name for name in self._adapter.outputs if name in first and not (noises[name].random or noises[name].jumps)
        ]
        return [
            name
            for name in names
            if name not in other
            or other[name].shape[1:] != first[name].shape[1:]
            or not bool(self._crosstalk.alike(name, first[name][:1], other[name], noises[name]).all())
        ]

    def _elsewhere(self, system: System, epsilon: float) -> Mapping[str, torch.Tensor]:
        """Values of a copy as it is and of a displaced one; none where the model refuses such an input, on which they
        must depend then."""
        try:
            return self._copies.run(system, (0, PAIR[0]), epsilon)
        except Exception as error:  # a foreign model, that has other numbers of rows there perhaps
            if ran_out(error):
                raise
            return {}


def _unmoved(names: Sequence[str], other: Mapping[str, torch.Tensor], noises: Mapping[str, Noise]) -> list[str]:
    """Those of `names` that are the same in a displaced copy and in the one before it."""
    return [n for n in names if n in other and not _moves(other[n][1:], other[n][:1], noises[n])]


def _answers(noise: Noise) -> bool:
    """Whether values scatter with dither, beyond what rounding and batches leave in them, and do not by themselves."""
    return not noise.random and noise.dithered > OUTPUT_SUMS * max(noise.rounding / UNIFORM, noise.repeats)


def _moves(values: torch.Tensor, reference: torch.Tensor, noise: Noise) -> bool:
    """Whether values differ from others of the same batch by more than noise; infinity and NaN do."""
    change = values.double() - reference.double()
    return not all_finite(change) or float(rms(change[None])) > FELT * noise.floor
