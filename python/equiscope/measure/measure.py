"""How an orbit is averaged: the contract of an estimator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import torch

from ..errors import ArgumentError, NonFiniteValues, fail
from ..groups.group import Group
from ..groups.representation import Representation
from ..result.data import Output, Spectrum
from .settling import Seen
from .summary import OrbitSummary

Found = tuple[dict[str, Output], dict[str, Spectrum]]
"""Outputs and layers, pooled over the systems evaluated so far."""


class Elements(Protocol):
    """Elements of a group in order: a `Grid` is one."""

    def __len__(self) -> int: ...

    def select(self, start: int, stop: int) -> torch.Tensor:
        """Elements ``start:stop``, ``(stop - start, 3, 3)`` float64."""
        ...

    def to(self, device: torch.device | str) -> Elements:
        """The same elements on `device`."""
        ...


class Moments(ABC):
    """Accumulates the values u(g) of one quantity over one orbit, in float64 and centred on the value at the identity.

    E[u^2] - E[u]^2 is never formed from large numbers, and memory does not grow with the number of elements, unless
    the implementation says so. Values on a device stay there.
    """

    @abstractmethod
    def update(self, values: torch.Tensor) -> None:
        """The values on the next elements, ``(n, s, c, components)``: samples, channels, components.

        Raises `NonFiniteValues` for the first element with NaN or infinity, here or in `finish`.
        """

    @abstractmethod
    def finish(self) -> OrbitSummary:
        """The result of all elements handed over."""

    def update_each(self, values: Sequence[torch.Tensor]) -> None:
        """`update` with the values of several quantities (`Measure.joined`), of which none is refused here."""
        self.update(torch.cat(list(values), dim=2))

    def finish_each(self, channels: Sequence[int]) -> list[OrbitSummary | NonFiniteValues]:
        """The results of several quantities, of so many channels each (`Measure.joined`); of one with NaN or infinity
        what is wrong with it, which does not touch the others."""
        raise RuntimeError(f"{type(self).__name__} is of one quantity")

    def extend(self, elements: Elements) -> None:
        """Go on, after `finish`, on a sequence that begins with the one so far (`Judgement.goes_on`)."""
        raise RuntimeError(f"{type(self).__name__} does not go on")


@dataclass(frozen=True)
class Question:
    """What an audit asks of an estimator that it knows by name."""

    group: Group
    lmax: int
    degree: int | None
    """None: to be found."""
    tolerance: float
    rotations: int | None
    precision: float | None
    seed: int
    judged: bool
    """Whether outputs are declared, whose errors can be judged."""
    shift: str | None = None
    """"system": grids are turned at random, for every system anew."""
    spectrum: bool = True
    """Whether the spectrum is asked for, and not the errors alone."""


@dataclass(frozen=True)
class Judgement:
    """What a measure makes of the numbers of the first systems: whether they do, or what is evaluated next."""

    judged: Mapping[str, float | None]
    """For the record of convergence, by name: "change" or "precision"."""
    following: Measure | None = None
    """Evaluated next on the first systems; None: settled."""
    goes_on: bool = False
    """The orbits so far begin those of `following`: they are extended, not evaluated again."""
    previous_suffices: bool = False
    """What was settled is that the measure before this one does: the rest of the data is evaluated by that one."""
    note: str | None = None
    """A warning for the report."""


class Measure(ABC):
    """How an orbit is averaged: its elements, the accumulation of moments, when to stop, and how sure the numbers are.

    An audit begins with one measure, evaluates the first `pilot` systems, and asks `judge` whether their numbers do;
    where they do not, it goes on with the measure that the judgement names. All other systems are evaluated by the last
    one. Measures are plain values that do not change.

    A measure that `refines` is judged by every system on its own instead: a system whose errors are too large (`need`)
    is evaluated again by `finer`, and pooled where it has settled. One whose judgement names another gives `sized`, so
    that a run that was stopped can go on.

    To add an estimator, give `group`, `elements`, `moments` and `nbytes`, and hand an instance to
    ``audit(estimator=...)``. A class that is `register`ed can be asked for by name, and gives `of` as well. How sure
    the numbers are is said by the moments, in `OrbitSummary.errors`.
    """

    name: ClassVar[str]
    """What ``audit(estimator=...)`` and the report call it."""
    sampled: ClassVar[bool] = False
    """Whether elements are drawn at random, so that every number scatters."""

    @classmethod  # noqa: B027 (most questions make sense)
    def check(cls, question: Question) -> None:
        """Refuse a question that makes no sense to this estimator, before the model is looked at."""

    @classmethod
    def of(cls, question: Question) -> Measure:
        """The measure with which an audit begins that asks for this estimator by name."""
        fail(ArgumentError, "estimator", f"an instance of {cls.__name__}", f"its name, {cls.name!r}")

    @property
    @abstractmethod
    def group(self) -> Group:
        """What is averaged over."""

    @property
    def degree(self) -> int | None:
        """Products of irreps whose degrees sum to it are averaged exactly; None where it is no such number."""
        return None

    @property
    def pilot(self) -> int:
        """Systems whose numbers are judged before the others are evaluated; 0: all are evaluated as they come."""
        return 0

    @property
    def extends(self) -> bool:
        """Whether a judgement may go on with orbits that ended: those of the first systems are held until then."""
        return False

    @abstractmethod
    def __len__(self) -> int:
        """Elements of one orbit."""

    @abstractmethod
    def elements(self, system: str) -> Elements:
        """The elements for the system of that name, `len(self)` of them."""

    @abstractmethod
    def moments(self, system: str, lmax: int, first: torch.Tensor, representation: Representation | None) -> Moments:
        """What accumulates one quantity of that system.

        `first` is the value at the identity, ``(s, c, components)``; `representation` how it transforms, or None for a
        hidden layer, which gets a spectrum and no equivariance error.
        """

    @abstractmethod
    def nbytes(self, lmax: int, first: torch.Tensor) -> int:
        """Memory that these moments take, in bytes."""

    def alike(self, lmax: int, first: torch.Tensor) -> Hashable | None:
        """What hidden layers share that may be accumulated together, beside samples and dtype; None: none may."""
        return None

    def joined(self, system: str, lmax: int, firsts: Sequence[torch.Tensor]) -> Moments:
        """What accumulates several hidden layers that are `alike` as one quantity, their channels one after the other.

        It is asked for `update_each` and `finish_each`, which give what `moments` of each layer would.
        """
        raise RuntimeError(f"{type(self).__name__} joins no layers")

    @property
    def independent(self) -> bool:
        """Whether the random errors of two systems are independent, so that their squares add up."""
        return self.sampled

    @property
    def assumes(self) -> bool:
        """Whether the errors of one orbit rest on an assumption, and not on what scatters before one's eyes."""
        return not self.sampled

    @property
    def refines(self) -> bool:
        """Whether every system is judged on its own, and goes on to `finer` where it has not settled."""
        return False

    def finer(self) -> Measure | None:
        """By which a system is evaluated again that has not settled; None: there is no such one."""
        return None

    def sized(self, elements: int) -> Measure:
        """This measure, or the one that it goes on to, with that many elements: what another process settled on."""
        measure: Measure | None = self
        while measure is not None and len(measure) != elements:
            measure = measure.finer()
        if measure is None:
            fail(ArgumentError, "estimator", f"one that goes on to {elements} elements", type(self).__name__)
        return measure

    def need(self, seen: Seen, pooled: Seen | None) -> float:
        """Largest error of one output or layer of one system over the one that is tolerated: settled up to 1.

        `pooled`: the same output or layer of all systems so far, on whose scale small systems are judged.
        """
        return 0.0

    def judge(self, found: Found, previous: Found | None) -> Judgement:
        """Of the first systems; `previous` is what the measure before this one found, None for the first."""
        return Judgement({"change": None})

    def settings(self, outputs: Mapping[str, Output]) -> dict[str, Any]:
        """JSON values for the report."""
        return {"rotations": len(self), "group": self.group.name, "sampled": self.sampled}


ESTIMATORS: dict[str, type[Measure]] = {}
"""What ``audit(estimator=...)`` knows by name."""

Kind = TypeVar("Kind", bound=type[Measure])


def register(kind: Kind) -> Kind:
    """Let ``audit(estimator=...)`` know this class by its name; a class decorator."""
    ESTIMATORS[kind.name] = kind
    return kind
