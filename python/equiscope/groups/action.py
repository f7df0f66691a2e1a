"""How a group element acts on an array, said in sizes and plain values: whichever library the array is of.

A kernel rotates ``(n or 1, rows, components)`` by ``(n, 3, 3)``. `arranged` says how the axes of a user become these.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from ..errors import ShapeError, fail
from .cartesian import Cartesian, Share
from .irreps import Irreps
from .representation import Representation, Term
from .spherical import Spherical


class Step(NamedTuple):
    """What is done to some of the components. Plain values, constants to a compiler."""

    start: int
    stop: int
    components: int
    """Of one of the copies that lie there."""
    irreps: str
    """"" for Cartesian terms."""
    basis: str
    layout: str
    rank: int
    """Of a Cartesian tensor; -1: an azimuth."""
    pseudo: bool
    spread: tuple[Share, ...]
    chosen: tuple[Share, ...]
    """Between what is stored of a tensor and the whole of it: `Cartesian.spread` and `Cartesian.chosen`."""


Description: TypeAlias = tuple[tuple[int, ...], int, bool, tuple[Step, ...]]


def description(rep: Any, basis: str, layout: str) -> Description:
    """Component shape and axis, whether the axis may be larger, and what is done along it."""
    if isinstance(rep, str | Irreps) and isinstance(basis, str) and isinstance(layout, str):
        return _written(rep, basis, layout)
    return _described(Representation.parse(rep, basis=basis, layout=layout))


# all that torch.compiler.assume_constant_result does, but that imports the compiler, which takes a second
description._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=1024)
def plan_of(kind: Representation) -> tuple[Step, ...]:
    """The steps of a representation, in the order in which its terms lie."""
    return tuple(Step(part.where.start, part.where.stop, part.term.components, *_how(part.term)) for part in kind.parts)


def _how(term: Term) -> tuple[str, str, str, int, bool, tuple[Share, ...], tuple[Share, ...]]:
    if isinstance(term, Spherical):
        return term.name, term.basis, term.layout, 0, False, (), ()
    if isinstance(term, Cartesian) and term.rank == 0 and term.pseudo:
        return "1x0o", "standard", "mul_ir", 0, False, (), ()
    if isinstance(term, Cartesian):
        return "", "", "", term.rank, term.pseudo, term.spread, term.chosen
    return "", "", "", -1, False, (), ()


@functools.lru_cache(maxsize=1024)
def _written(rep: str | Irreps, basis: str, layout: str) -> Description:
    return _described(parsed(rep, basis, layout))


def _described(kind: Representation) -> Description:
    return kind.component_shape, kind.axis, kind.partial, plan_of(kind)


@functools.lru_cache(maxsize=1024)
def parsed(rep: str | Irreps, basis: str, layout: str) -> Representation:
    """`Representation.parse`, which is kept."""
    return Representation.parse(rep, basis=basis, layout=layout)


def product(sizes: Sequence[int]) -> int:
    """Of sizes that a compiler may know by name alone."""
    count = 1
    for size in sizes:
        count *= size
    return count


class Arrangement(NamedTuple):
    """The axes of x ``(*batch, *components)`` and of rotations ``(*rbatch, 3, 3)``, sorted for a kernel."""

    plan: tuple[Step, ...]
    first: int
    """The first component axis of x, which has `axes` of them, of sizes `shape`; `axis` as in a `Representation`."""
    axes: int
    axis: int
    shape: tuple[int, ...]
    components: int
    lead: tuple[int, ...]
    """Broadcast of batch and rbatch."""
    own_lead: tuple[int, ...]
    """batch, with as many axes as `lead`."""
    spread: tuple[int, ...] | None
    """The same, copied along those axes where both x and the rotations vary; None: that is nothing."""
    order: tuple[int, ...]
    """Axes of `lead`: those along which the rotations vary, then the others."""
    n: int
    """Rotations."""
    rows: int
    """Under each of them."""
    own: int
    """n, or 1 where one x is under all rotations."""
    moved: bool
    """Whether axes of `lead` change places."""
    result: tuple[int, ...]
    """Shape of what is returned."""
    alone: Step | None
    """What one kernel does, whose result lies in memory as what is returned; None: there is more to do."""

    @property
    def back(self) -> list[int]:
        """The inverse of `order`."""
        return [self.order.index(axis) for axis in range(len(self.order))]

    def rows_of(self, step: Step) -> int:
        """Rows to the kernel of a step that is `alone`, to which every copy of a tensor is one."""
        return self.rows if step.irreps else self.rows * (self.components // step.components)

    @property
    def sorted_lead(self) -> tuple[int, ...]:
        """`lead` in that order."""
        return tuple(self.lead[axis] for axis in self.order)

    @property
    def result_first(self) -> int:
        """Its first component axis."""
        return len(self.lead) + 1 + self.axis


def arranged(
    x: Sequence[int],
    batch: Sequence[int],
    rep: str | Irreps | Representation,
    basis: str,
    layout: str,
) -> Arrangement:
    """Of the shape of x and rbatch; raises ShapeError where components do not fit or batches do not broadcast."""
    shape, axis, partial, plan = description(rep, basis, layout)
    # as tuples: torch 2.11 compiles no comparison of a torch.Size, and its slices take their time
    x, axes, stop = tuple(x), len(shape), len(x) + 1 + axis
    if stop < axes or partial or x[stop - axes : stop] != shape:
        Representation.parse(rep, basis=basis, layout=layout).check(x, "x")
        shape = x[stop - axes : stop]
    lead_x = x[: stop - axes] + x[stop:]
    lead, turned, still = _broadcast(lead_x, tuple(batch))
    own_lead = (1,) * (len(lead) - len(lead_x)) + lead_x
    spread = None
    if any(own_lead[a] != 1 for a in turned):
        spread = tuple(lead[a] if a in turned else own_lead[a] for a in range(len(lead)))
        spread = None if spread == own_lead else spread
    own = product([(spread or own_lead)[a] for a in turned])
    n, rows = product([lead[a] for a in turned]), product([lead[a] for a in still])
    order, components, before = (*turned, *still), product(shape), len(lead) + 1 + axis
    moved = order != tuple(range(len(order)))
    sizes = (components, lead, own_lead, spread, order, n, rows, own, moved)
    result = (*lead[:before], *shape, *lead[before:])
    alone = None if moved or axis != -1 else _alone(plan, components)
    return Arrangement(plan, stop - axes, axes, axis, shape, *sizes, result, alone)


_kept = functools.lru_cache(maxsize=1024)(arranged)


def arranged_once(
    x: tuple[int, ...], batch: tuple[int, ...], rep: str | Irreps | Representation, basis: str, layout: str
) -> Arrangement:
    """`arranged`, kept for the next call; of sizes that are numbers."""
    known = isinstance(rep, str | Irreps | Representation) and isinstance(basis, str) and isinstance(layout, str)
    return (_kept if known else arranged)(x, batch, rep, basis, layout)


def _alone(plan: tuple[Step, ...], components: int) -> Step | None:
    if len(plan) != 1 or plan[0].stop - plan[0].start != components:
        return None
    return plan[0] if plan[0].irreps or (plan[0].rank > 0 and not plan[0].spread) else None


def _broadcast(lead_x: tuple[int, ...], batch: tuple[int, ...]) -> tuple[tuple[int, ...], list[int], list[int]]:
    """Broadcast leading axes, and which of them the rotations vary along (turned) or not (still)."""
    axes = max(len(lead_x), len(batch))
    own = (1,) * (axes - len(lead_x)) + tuple(lead_x)
    theirs = (1,) * (axes - len(batch)) + tuple(batch)
    for a, b in zip(own, theirs, strict=True):
        if a != b and a != 1 and b != 1:
            fail(ShapeError, "rotations", f"batch axes that broadcast against those of x, {lead_x}", batch)
    lead = tuple([b if a == 1 else a for a, b in zip(own, theirs, strict=True)])
    return lead, [i for i in range(axes) if theirs[i] != 1], [i for i in range(axes) if theirs[i] == 1]
