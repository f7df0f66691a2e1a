"""The few copies of a system that are evaluated before any number of it is used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..adapters.base import Piece, System
from ..adapters.rounding import DOUBLE, Dither
from ..errors import ends_the_system, ran_out
from ..groups.group import Group
from .evaluate import Evaluator
from .layers import Layers, Values, beside
from .noise import Noise
from .stacked import Stacked

IDENTICAL = 2
"""Copies that are not turned: two show how copies lie in a tensor, and whether the same input gives the same value."""

TURNS, DITHERS = 4, 3
"""Group elements at which the floor is measured, and copies with different noise at each: 8 degrees of freedom for a
single number, so that a floor three times too low is met once in 10^4."""

COPIES = IDENTICAL + TURNS * DITHERS

ARC = 6
"""Copies on a short arc through each of these elements, where the model computes more coarsely than its input is given:
two more than the `noise.SMOOTH` coefficients of what changes smoothly along it, so 8 degrees of freedom again."""

STRAIGHT = 1e-12
"""Rounding of an entry of a matrix."""

PAIR = range(IDENTICAL, IDENTICAL + 2)
"""Two copies at one element: by these it is seen how a value answers to noise of another size."""


@dataclass
class Start:
    """A system whose copies were evaluated once, and are to be once more in another batch."""

    system: System
    neighbour: System | None
    """One whose copies may share a batch with it."""
    room: int
    """Copies that a batch may take."""
    epsilon: float
    """Of the dither."""
    first: Stacked
    noises: dict[str, Noise]
    shared: Stacked | None = None
    """Values of the second call, where it was made for several systems together."""
    company: tuple[System, ...] = ()
    """The others that were in that call."""
    ahead: Values | None = None
    """Values on the first elements of the grid, where the first call had room for them."""


class Copies:
    """Calls the model on them: two as they are, twelve turned ones whose coordinates are dithered (`Dither`), and those
    `along` arcs where there are any."""

    def __init__(self, evaluator: Evaluator, layers: Layers, group: Group, *, seed: int) -> None:
        self.adapter = evaluator.adapter
        self.layers = layers
        self._evaluator = evaluator
        turns = group.draw(TURNS, torch.Generator().manual_seed(seed)).to(torch.float64)
        still = torch.eye(3, dtype=torch.float64).expand(IDENTICAL, 3, 3)
        self._turns, self._elements = turns, torch.cat([still, turns.repeat_interleave(DITHERS, 0)])
        self._step = 0.0
        self.rounds = True
        """Whether the adapter adds the dither that it is given."""
        self.room = COPIES
        """Copies that one call takes."""
        self.has_company = True
        """Whether others may go along with the first call: not once memory ran out over it."""
        self.evaluations = 0
        """Copies that were evaluated as checks."""

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """What is evaluated meanwhile are checks."""
        before = self._evaluator.evaluations
        yield
        self.evaluations += self._evaluator.evaluations - before

    def along(self, step: float) -> None:
        """Take copies on arcs too, `step` radians from one to the next; 0: none."""
        if step == self._step:
            return
        self._step = step
        about = step * (torch.arange(ARC, dtype=torch.float64) - 0.5 * (ARC - 1))
        # whatever the group: along an arc values need to be smooth, and no more
        turns = torch.linalg.matrix_exp(about[:, None, None] * _generators(self._turns)[:, None])
        arcs = (turns @ self._turns[:, None]).flatten(0, 1) if step else self._turns[:0]
        self._elements = torch.cat([self._elements[:COPIES], arcs])

    @property
    def every(self) -> range:
        """All of the copies, those on arcs behind the others."""
        return range(len(self._elements))

    def piece(self, system: System, copies: Sequence[int], epsilon: float, beyond: torch.Tensor | None = None) -> Piece:
        """Some of the copies; a number stands for the same element and noise whatever the batch. `beyond` them those
        at other elements, without noise."""
        shares = [copy - IDENTICAL if copy >= IDENTICAL else None for copy in copies]
        elements = self._elements.index_select(0, torch.tensor(copies))
        if not self.rounds:
            # the next best: elements that are off by as much
            noise = torch.rand(COPIES, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
            turned = torch.tensor([share is not None for share in shares])[:, None, None]
            elements = elements + torch.where(turned, epsilon * (noise[list(copies)] - 0.5), 0.0)
        elements = elements.to(system.device)
        if beyond is not None:
            elements = torch.cat([elements, beyond])
        return Piece(system, elements, Dither(shares, epsilon))

    def start(self, system: System, epsilon: float, ahead: torch.Tensor | None) -> tuple[Stacked, Values | None]:
        """The first call, by which it is learned how values lie; and the values at the elements `ahead`, if they went
        along with it."""
        if ahead is not None:
            try:
                found = self._called(system, self.every, epsilon, ahead, learn=True)
            except Exception as error:  # whatever a foreign model raises: at which copy is found out without them
                if not (ends_the_system(error) or ran_out(error)):
                    raise
                self.has_company = not ran_out(error)
            else:
                self.evaluations -= len(ahead)
                own = len(self.every)
                # copied: a model may hand out the same buffer every time
                first = Stacked.of({name: value[:own] for name, value in found.items()})
                # each is let go as soon as it is copied, or all would be held twice
                return first, {name: found.pop(name)[own:].clone() for name in list(found)}
        return self.run(system, self.every, epsilon, learn=True), None

    def run(self, system: System, copies: Sequence[int], epsilon: float, *, learn: bool = False) -> Stacked:
        """Values ``(copies, samples, channels, components)`` of outputs and layers."""
        parts: list[Stacked] = []
        done = 0
        while done < len(copies):
            some = copies[done : done + self.room]
            try:
                # copied: a model may hand out the same buffer every time
                parts.append(Stacked.of(self._called(system, some, epsilon, learn=learn and not done)))
            except Exception as error:  # whatever a foreign model raises
                if not ran_out(error) or self.room <= IDENTICAL:
                    raise
                self.room = IDENTICAL
                continue
            done += len(some)
        found = parts[0]
        for part in parts[1:]:
            found = found.joined(part)
        return found

    def _called(
        self,
        system: System,
        copies: Sequence[int],
        epsilon: float,
        beyond: torch.Tensor | None = None,
        *,
        learn: bool,
    ) -> Values:
        piece = self.piece(system, copies, epsilon, beyond)
        outputs, captured = self._evaluator([piece])
        if learn and self._evaluator.overwritten():
            return self._called(system, copies, epsilon, beyond, learn=learn)
        if learn:
            self.layers.unheard(self._evaluator.elsewhere, captured)
            layers = [self.layers.learn(captured, system, len(piece.rotations))]
        else:
            layers = self.layers.split(captured, [piece])
        (found,) = beside(layers, outputs)
        return found

    def together(self, pieces: Sequence[Piece]) -> list[Values]:
        """Values of each piece of a batch; the model may hand out the same buffer again."""
        outputs, captured = self._evaluator(pieces)
        return beside(self.layers.split(captured, pieces), outputs)

    def outputs(self, piece: Piece) -> Values:
        """The outputs alone, of one piece."""
        outputs, _ = self._evaluator([piece])
        return {name: parts[0] for name, parts in outputs.items()}

    def outputs_of(self, other: System) -> Values:
        """Outputs of one copy of a system that is none of the data; none where the model refuses it."""
        with self._stranger(other):
            return {name: value.clone() for name, value in self.outputs(self.piece(other, range(1), DOUBLE)).items()}
        return {}

    def stretch(self, longer: System) -> None:
        """Let the layers see how their values lie in a system with one more row of padding, if the model takes it."""
        with self._stranger(longer):
            _, captured = self._evaluator([self.piece(longer, range(IDENTICAL), DOUBLE)])
            self.layers.stretch(captured, longer, IDENTICAL)

    def let_go(self) -> None:
        """Of what hooks heard in the last call."""
        self._evaluator.overwritten()

    @contextlib.contextmanager
    def _stranger(self, system: System) -> Iterator[None]:
        """A system that is none of the data, which the model need not take."""
        try:
            yield
        except Exception as error:  # a foreign model, of fixed size, say
            if ran_out(error):
                raise
        finally:
            self.let_go()
            self.forget(system)

    def forget(self, system: System) -> None:
        """The system will not be evaluated any more."""
        self.layers.forget(system)
        self.adapter.forget(system)


def _generators(elements: torch.Tensor) -> torch.Tensor:
    """``(n, 3, 3)`` of turns about an axis for each of the elements: z where all of them keep it, since an azimuth may
    then be what turns, else any."""
    axes = torch.randn(len(elements), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if bool((elements[:, 2, 2].abs() > 1.0 - STRAIGHT).all()):
        axes = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand_as(axes)
    axes = axes / axes.norm(dim=-1, keepdim=True)
    unit = torch.eye(3, dtype=torch.float64).expand(len(axes), 3, 3)
    found: torch.Tensor = torch.linalg.cross(unit, axes[:, None], dim=-1)
    return found
