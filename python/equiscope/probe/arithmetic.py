"""The floating-point dtype for whose rounding the floor of values is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..adapters.base import System
from ..adapters.rounding import DOUBLE
from ..errors import ran_out
from ..tolerance import dtype_name
from .copies import ARC, COPIES, DITHERS, IDENTICAL, PAIR, Copies
from .eager import eager
from .noise import FELT, Noise, curved, scatter
from .precision import TF32, ComputesIn, coarser, looks_like
from .stacked import Stacked

SINGLE = torch.finfo(torch.float32).eps

STAIR = 2.0**-34
"""Machine epsilon of the nudge that a model in float32 inside of float64 does not notice."""

FIRMLY = 16.0
"""Units in the last place by which a value in float32 is made to move for sure."""

WRAPPED = (*PAIR, *range(IDENTICAL + DITHERS, IDENTICAL + DITHERS + 2))
"""The copies that give the floor of a model in float32 inside of float64."""


class Arithmetic:
    """What the model computes in: `stated` by the user, seen in its operations, or found by shaking its input."""

    def __init__(self, copies: Copies, stated: torch.dtype | None) -> None:
        self._copies = copies
        self._outputs = copies.adapter.outputs
        self._stated = stated
        self.dtype: torch.dtype | None = None
        self._given: torch.dtype | None = None
        """In which rotated copies are handed over, as far as that was seen."""
        self._wrapped = False
        """Whether the model works in that dtype inside of another, and returns the other."""

    @property
    def name(self) -> str | None:
        """Of the dtype."""
        return None if self.dtype is None else dtype_name(self.dtype)

    def learned(self) -> dict[str, Any]:
        """What the first systems showed, as JSON values."""
        given = None if self._given is None else dtype_name(self._given)
        return {"dtype": self.name, "given": given, "wrapped": self._wrapped, "rounds": self._copies.rounds}

    def told(self, learned: Mapping[str, Any]) -> None:
        """Take over what another process learned."""
        if learned["dtype"] is not None:
            self.dtype = getattr(torch, learned["dtype"])
            self._given = None if learned["given"] is None else getattr(torch, learned["given"])
            self._wrapped, self._copies.rounds = learned["wrapped"], learned["rounds"]

    def look(self, system: System) -> None:
        """Watch the operations of one call, unless one was."""
        if self.dtype is None:
            seen = self._seen(system)
            self.dtype = self._stated or seen
        self._copies.along(self.unit(system) if self._is_coarse(system) else 0.0)

    def epsilon(self, system: System) -> float:
        """Of the dither: of the dtype that the model computes in, or of that of its input where only some of what it
        computes is coarser. What is rounded there need not be coordinates: a length in float32 is the same for all
        copies, and so it is in half precision."""
        return self._finest if self._is_coarse(system) else self.unit(system)

    def _is_coarse(self, system: System) -> bool:
        """Whether the model computes in less than single precision what it is given in more."""
        return self._given is not None and self._copies.rounds and self.unit(system) > self._finest

    @property
    def _finest(self) -> float:
        return max(SINGLE, torch.finfo(self._given or torch.float32).eps)

    def unit(self, system: System) -> float:
        """Machine epsilon of what the model computes in."""
        epsilon = torch.finfo(self.dtype or torch.float64).eps
        products = torch.backends.cuda.matmul
        tf32 = self._stated is None and system.device.type == "cuda" and products.allow_tf32
        return max(epsilon, TF32) if tf32 and self.dtype == torch.float32 else epsilon

    def of(self, dtype: torch.dtype) -> float:
        """Machine epsilon of values of that dtype."""
        return torch.finfo(coarser(self.dtype, dtype)).eps

    def noise(self, values: Stacked) -> dict[str, Noise]:
        """Of values of all copies."""
        found = self._noise(values.copies(slice(IDENTICAL, COPIES)), DITHERS)
        if len(self._copies.every) > COPIES:
            for name, (scattered, by_sample) in curved(values.copies(slice(COPIES, None)), ARC).items():
                found[name].add(scattered, by_sample)
        return found

    def _noise(self, turned: Stacked, dithers: int) -> dict[str, Noise]:
        """Of values of turned copies, `dithers` for each element."""
        dtypes = turned.dtypes
        return Noise.of(
            turned, dithers, dtypes | {n: self._rounded_to(turned[n]) for n in self._outputs if n in turned}
        )

    def _rounded_to(self, value: torch.Tensor) -> torch.dtype:
        """The dtype of an output, or the coarser one that its values had before, in a wrapped model."""
        inner = coarser(self.dtype, value.dtype)
        if inner == value.dtype:
            return value.dtype
        return inner if self._wrapped or looks_like([value], inner) else value.dtype

    def inside(self, system: System, first: Stacked, noises: Mapping[str, Noise]) -> dict[str, Noise] | None:
        """The noise that values show where a model in float64 turns out to be one in float32 that is wrapped; else
        None."""
        if self._stated is not None or not self._is_wrapped(system, first, noises):
            return None
        self.dtype, self._wrapped = torch.float32, True
        return self._noise(self._copies.run(system, WRAPPED, self.epsilon(system)), len(WRAPPED) // 2)

    def _is_wrapped(self, system: System, first: Stacked, noises: Mapping[str, Noise]) -> bool:
        """It does not notice noise of the size of float64's rounding. Nor does a value that noise is too small for, so
        either its values are all numbers of float32, or it notices noise of the size of float32's rounding, and none
        that is much smaller but would be seen in a float64.
        """
        names = [name for name in self._outputs if name in first]
        if self.dtype != torch.float64 or not names or any(noises[name].dithered > 0 for name in names):
            return False
        if looks_like([first[name] for name in names], torch.float32):
            return True
        coarse = FIRMLY * torch.finfo(torch.float32).eps
        still, moved = (scatter(self._copies.run(system, PAIR, epsilon)) for epsilon in (STAIR, coarse))
        seen = [name for name in names if moved[name] * (STAIR / coarse) > FELT * noises[name].rounding]
        return bool(seen) and all(still[name] == 0 for name in seen)

    def _seen(self, system: System) -> torch.dtype | None:
        """Told from the operations of one call."""
        watch = ComputesIn()
        found: torch.dtype | None = None
        piece = self._copies.piece(system, range(IDENTICAL), DOUBLE)
        try:
            with eager(), watch:
                outputs = self._copies.outputs(piece)
            for value in outputs.values():
                found = coarser(found, value.dtype)
        except Exception as error:  # a foreign model, compiled perhaps: what is wrong with it shows in the next call
            if ran_out(error):
                raise
        self._copies.let_go()
        # an adapter of a stranger may not round by `rounded`, or not hand the dither on
        self._copies.rounds = piece.dither is not None and piece.dither.drawn > 0
        self._given = watch.given
        return watch.dtype or found
