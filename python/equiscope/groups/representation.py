"""How a tensor transforms under O(3), and the irreps its components split into."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, DataError, DTypeError, ShapeError, fail, renamed
from ._arguments import check_choice
from ._kept import kept
from .azimuth import Azimuth
from .cartesian import Cartesian
from .irreps import LIMITS, MAXIMUM_DIM, Block, Irreps
from .spherical import BASES, LAYOUTS, Spherical

if TYPE_CHECKING:
    import torch

KINDS = ("scalar", "invariant", "pseudoscalar", "vector", "pseudovector", "tensor", "voigt")
"""The kinds that most tensors have. Others: docs/representations.md."""

EXPECTED = (
    f'one of {", ".join(KINDS)}, "tensor(3)", "tensor(ij=ji)", "voigt(xx,yy,zz,xy,yz,xz)", a sum such as '
    f'"scalar+vector", or irreps such as "8x0e+4x1o" with {LIMITS}'
)

MOST_STRAY = 1000.0
"""Units of round-off by which a tensor may miss the symmetry that its indices are declared to have."""

_WITH_AXIS = re.compile(r"(.*?)\s*\(axis (-\d{1,3})\)", re.DOTALL)
_TERM = re.compile(r"(?:(\d{1,9})\s*x\s*)?([a-z][^\[]*|\d[^\[]*?)\s*(?:\[(\d{1,9}):(\d{1,9})\])?", re.DOTALL)
_IRREPS = re.compile(r"[\d\sxeo+]+", re.ASCII)

Term = Cartesian | Spherical | Azimuth


@dataclass(frozen=True)
class Part:
    """`mul` copies of one term, one after the other along the component axis."""

    term: Term
    mul: int
    start: int
    """Its first component."""

    @property
    def components(self) -> int:
        return self.mul * self.term.components

    @property
    def where(self) -> slice:
        return slice(self.start, self.start + self.components)


@dataclass(frozen=True, repr=False)
class Representation:
    """A declared representation: a sum of terms along one axis, or one Cartesian tensor with an axis for each index.

    The component axes end at `axis`, counted from the end, so that axes may be added before them: of "vector" at -2
    values are ``(..., 3, channels)``. `flatten` brings them last and makes them one, `unflatten` is its inverse, and
    `rest` are the axes that are none of components.

    ``flatten(x) @ matrix.T`` are the components in irreps, as `blocks` says, with the norm of the whole: of "voigt"
    that of the 3x3 tensor. A term whose indices have a symmetry has the irreps that it allows.
    """

    parts: tuple[Part, ...]
    axis: int = -1
    along_one_axis: bool = False
    """Whether it was written as a sum, or with a multiplicity, "1xtensor": then no index has an axis of its own."""
    partial: bool = False
    """Whether the parts are slices of a larger axis, of which the rest is invariant."""

    def __hash__(self) -> int:
        # kept with the name; equal ones are written alike
        return hash(self.name)

    # -- how it is written ---------------------------------------------------------------------------------------

    @classmethod
    def parse(
        cls,
        rep: str | Irreps | Mapping[str, Any] | Representation,
        *,
        basis: str = "standard",
        layout: str = "mul_ir",
        axis: int | None = None,
    ) -> Representation:
        """What is written so (docs/representations.md); `name` writes it back.

        Irreps without ``basis=`` are in the standard basis, where "1x1o" is (y, z, x) and not e3nn's (x, y, z).

        Args:
            rep: one of `KINDS`; "pseudotensor", "tensor(3)", "tensor(ijk=jik)"; "voigt(xx,yy,zz,xy,yz,xz)",
                "voigt-strain", "mandel"; irreps such as "8x0e+4x1o"; a sum of these along one axis, "2xscalar+vector";
                "azimuth"; or slices of one axis, ``{"vector": slice(1, 4)}``, also written "vector[1:4]".
            basis, layout: of irreps: "standard" or "e3nn", "mul_ir" or "ir_mul".
            axis: where the component axes end, counted from the end; -1 unless said.

        >>> Representation.parse("vector", axis=-2).name
        'vector (axis -2)'
        """
        if isinstance(rep, Representation):
            return rep if axis is None else replace(rep, axis=_checked_axis(axis, rep))
        check_choice("basis", basis, BASES)
        check_choice("layout", layout, LAYOUTS)
        if isinstance(rep, Irreps):
            found = cls.of(rep, basis, layout)
        elif isinstance(rep, Mapping):
            found = cls(_placed(_of_slices(rep, basis, layout)), along_one_axis=True, partial=True)
        elif isinstance(rep, str):
            if written := _WITH_AXIS.fullmatch(rep):
                rep, own = written.group(1), int(written.group(2))
                if axis is not None and axis != own:
                    fail(ArgumentError, "axis", f"{own}, as {rep!r} says", axis)
                axis = own
            found = _read(rep, basis, layout)
        else:
            fail(DTypeError, "rep", EXPECTED, type(rep).__name__)
        return found if axis is None else replace(found, axis=_checked_axis(axis, found))

    @classmethod
    def of(cls, irreps: Irreps, basis: str = "standard", layout: str = "mul_ir") -> Representation:
        """Irreps along the last axis."""
        return cls((Part(Spherical(irreps, basis, layout), 1, 0),))

    @classmethod
    def declared(
        cls,
        rep: Any,
        *,
        basis: str | None,
        layout: str = "mul_ir",
        argument: str = "representation",
        of_input: bool = False,
    ) -> Representation:
        """As `parse`, of what the user says of a tensor: irreps whose basis would be a guess are refused, and so
        is what can be declared of inputs alone."""
        try:
            found = cls.parse(rep, basis="standard" if basis is None else basis, layout=layout)
        except (ArgumentError, DTypeError) as error:
            raise renamed(error, "rep", argument) from None
        spherical = [part.term for part in found.parts if isinstance(part.term, Spherical)]
        if basis is None and found is not rep and any(irrep.l for term in spherical for irrep in term.irreps):
            fail(
                ArgumentError,
                "basis",
                f'the order of the components of {argument} = {found.name!r}: "standard" (m = -l..l, so that l = 1 is '
                'y, z, x) or "e3nn" (l = 1 is x, y, z), for all keys or for one by '
                f'eq.Representation.parse({found.name!r}, basis="e3nn")',
                "none",
            )
        return found if of_input else found._measurable(argument)

    def _measurable(self, argument: str) -> Representation:
        """The same for values that are measured: all components said, and all linear."""
        if any(isinstance(part.term, Azimuth) for part in self.parts):
            fail(
                ArgumentError,
                argument,
                "components that turn linearly (of an angle: return its cos and sin, and 0 or another component along "
                'z, declared "vector")',
                f"{self.name!r}, whose azimuth is a kind of input alone",
            )
        if not self.partial:
            return self
        if tuple(part.start for part in self.parts) != tuple(part.start for part in _placed(self.parts, packed=True)):
            fail(
                ArgumentError,
                argument,
                'a kind for every component ("scalar" or "invariant" for those that do not turn), since what is left '
                "out would be in no number",
                repr(self.name),
            )
        alone = len(self.parts) == 1 and self.parts[0].mul == 1 and isinstance(self.parts[0].term, Spherical)
        return replace(self, along_one_axis=not alone, partial=False)

    @functools.cached_property
    def name(self) -> str:
        """As `parse` reads it; of irreps without basis and layout."""
        written = "+".join(self._written())
        return written if self.axis == -1 else f"{written} (axis {self.axis})"

    def _written(self) -> Iterator[str]:
        for part in self.parts:
            # one tensor along one axis is not the tensor with an axis for each index
            said = part.mul != 1 or (self.along_one_axis and len(self.parts) == 1 and not self.partial)
            times = f"{part.mul}x" if said else ""
            yield times + part.term.name + (f"[{part.where.start}:{part.where.stop}]" if self.partial else "")

    def __repr__(self) -> str:
        said = [repr(self.name)]
        said += [f"basis={self.basis!r}"] if self.basis != "standard" else []
        said += [f"layout={self.layout!r}"] if self.layout != "mul_ir" else []
        return f"Representation.parse({', '.join(said)})"

    # -- what it is made of --------------------------------------------------------------------------------------

    @property
    def alone(self) -> Term | None:
        """The one term it consists of; None for a sum."""
        return None if self.along_one_axis else self.parts[0].term

    @property
    def irreps(self) -> Irreps | None:
        """Where it is irreps and nothing else."""
        return self.alone.irreps if isinstance(self.alone, Spherical) else None

    @property
    def basis(self) -> str:
        """Of the irreps among its terms."""
        return next((part.term.basis for part in self.parts if isinstance(part.term, Spherical)), "standard")

    @property
    def layout(self) -> str:
        """Of the irreps among its terms."""
        return next((part.term.layout for part in self.parts if isinstance(part.term, Spherical)), "mul_ir")

    @property
    def component_shape(self) -> tuple[int, ...]:
        """Sizes of the component axes: (), (3,), (3, 3), (6,) or (dim,)."""
        return self.alone.shape if self.alone is not None else (self.components,)

    @property
    def component_axes(self) -> int:
        return len(self.component_shape)

    @property
    def components(self) -> int:
        """Along one axis; of slices up to the last one that is named."""
        return max((part.where.stop for part in self.parts), default=0)

    @property
    def entries(self) -> int:
        """Number that a squared norm is divided by: of "voigt" the 9 entries of the tensor whose norm it is."""
        return sum(part.mul * part.term.entries for part in self.parts)

    @property
    def is_invariant(self) -> bool:
        """Whether every element of O(3) acts as the identity."""
        return all(part.term.is_invariant for part in self.parts)

    @property
    def keeps_z(self) -> bool:
        """Whether only groups that keep the z axis can act on it."""
        return any(isinstance(part.term, Azimuth) for part in self.parts)

    @functools.cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The irreps the components split into; multiplicities of one irrep are one block."""
        rows: dict[tuple[int, int], list[int]] = {}
        start = 0
        for part in self.parts:
            own = part.term.blocks
            size = sum(block.components for block in own)
            for copy in range(part.mul):
                for block in own:
                    shifted = (start + copy * size + row for row in block.rows)
                    rows.setdefault((block.lam, block.sigma), []).extend(shifted)
            start += part.mul * size
        return tuple(Block(l, sigma, tuple(own)) for (l, sigma), own in rows.items())

    @property
    def is_sorted(self) -> bool:
        """Whether the components are irreps as they lie."""
        return all(part.term.matrix is None for part in self.parts)

    @functools.cached_property
    @kept
    def matrix(self) -> torch.Tensor:
        """``(rows, components)`` float64: from flattened components to irreps components."""
        import torch

        blocks: list[torch.Tensor] = []
        for part in self.parts:
            own = part.term.matrix
            blocks += part.mul * [torch.eye(part.term.components, dtype=torch.float64) if own is None else own]
        joined: torch.Tensor = torch.block_diag(*blocks)
        return joined

    @property
    def degree(self) -> int:
        """Highest l of its irreps."""
        return max((block.lam for block in self.blocks), default=0)

    # -- where its components lie --------------------------------------------------------------------------------

    def check(self, shape: Sequence[int], argument: str) -> None:
        """Raise ShapeError unless `shape` has the component axes where they should be."""
        axes, stop = self.component_shape, len(shape) + 1 + self.axis
        found = tuple(shape[max(stop - len(axes), 0) : max(stop, 0)])
        if self.partial and len(found) == 1 and found[0] >= self.components:
            return
        if found != axes or stop < len(axes):
            sizes = [f">= {self.components}"] if self.partial else list(map(str, axes))
            expected = ", ".join(["...", *sizes, *[":"] * (-1 - self.axis)])
            flat = len(axes) > 1 and shape and shape[-1] == math.prod(axes)
            way = f', or "1x{self.name}", its {shape[-1]} components along one axis' if flat and self.axis == -1 else ""
            fail(ShapeError, argument, f"({expected}) for {self.name!r}{way}", tuple(shape))

    def check_values(self, flat: torch.Tensor, argument: str) -> None:
        """Raise DataError where values ``(*rest, components)`` lack the symmetry that the indices of a tensor are
        declared to have, beyond round-off."""
        import torch

        for part in self.parts:
            if isinstance(part.term, Cartesian) and part.term.relations:
                stray = part.term.strays(flat[..., part.where].reshape(-1, part.term.components))
                if not stray <= min(MOST_STRAY * torch.finfo(flat.dtype).eps, 0.1):
                    plain = f"{'pseudo' if part.term.pseudo else ''}tensor({part.term.rank})"
                    fail(
                        DataError,
                        argument,
                        f"the symmetry of indices of {part.term.name!r} (declare {plain!r} where there is none)",
                        f"a part of {stray:.2g} of the size that violates it",
                    )

    def rest(self, shape: Sequence[int]) -> tuple[int, ...]:
        """`shape` without its component axes."""
        stop = len(shape) + 1 + self.axis
        return (*shape[: stop - self.component_axes], *shape[stop:])

    def flatten(self, x: torch.Tensor) -> torch.Tensor:
        """``(..., *component axes, ...)`` as ``(*rest, components)``; of slices with all that the axis holds."""
        axes = self.component_axes
        if self.axis != -1:
            first = x.ndim + 1 + self.axis - axes
            x = x.movedim(tuple(range(first, first + axes)), tuple(range(-axes, 0)))
        return x if axes == 1 else x.reshape(*x.shape[: x.ndim - axes], self.components)

    def unflatten(self, x: torch.Tensor) -> torch.Tensor:
        """``(*rest, components)`` as ``(..., *component axes, ...)``."""
        axes = self.component_axes
        if axes != 1:
            x = x.reshape((*x.shape[:-1], *self.component_shape))
        if self.axis == -1:
            return x
        first = x.ndim + 1 + self.axis - axes
        return x.movedim(tuple(range(-axes, 0)), tuple(range(first, first + axes)))


def _read(text: str, basis: str, layout: str) -> Representation:
    if _IRREPS.fullmatch(text):
        try:
            return Representation.of(Irreps.parse(text), basis, layout)
        except ArgumentError:
            fail(ArgumentError, "rep", EXPECTED, f"{text!r:.200}")
    parts, slices = [], 0
    for written in text.split("+"):
        found = _TERM.fullmatch(written.strip())
        if found is None:
            fail(ArgumentError, "rep", EXPECTED, f"{text!r:.200}")
        mul, word, start, stop = found.groups()
        if word[0].isdigit():
            mul, word = None, written.strip().partition("[")[0]
        term = _term(word.strip(), basis, layout, text)
        slices += start is not None
        parts.append(_part(term, mul, start, stop, written))
    if slices not in (0, len(parts)):
        fail(ArgumentError, "rep", "a slice for every term of a sum or for none", f"{text!r:.200}")
    if max(part.where.stop for part in parts) > MAXIMUM_DIM or sum(part.components for part in parts) > MAXIMUM_DIM:
        fail(ArgumentError, "rep", f"at most {MAXIMUM_DIM} components", f"{text!r:.200}")
    along = len(parts) > 1 or slices > 0 or (mul is not None and not isinstance(term, Spherical))
    return Representation(_placed(parts, packed=not slices), along_one_axis=along, partial=slices > 0)


def _term(word: str, basis: str, layout: str, text: str) -> Term:
    if word == "azimuth":
        return Azimuth()
    found = Cartesian.parse(word)
    if found is not None:
        return found
    try:
        return Spherical(Irreps.parse(word), basis, layout)
    except ArgumentError:
        fail(ArgumentError, "rep", EXPECTED, f"{text!r:.200}")


def _part(term: Term, mul: str | None, start: str | None, stop: str | None, written: str) -> Part:
    copies = 1 if mul is None else int(mul)
    if start is None or stop is None:
        return Part(term, copies, 0)
    length, own = int(stop) - int(start), copies * term.components
    # irreps say themselves how many they are
    several = mul is None and not isinstance(term, Spherical)
    if length < 1 or (length % own if several else length != own):
        expected = f"a slice of {own} components{' or a multiple' if several else ''} for {term.name!r}"
        fail(ArgumentError, "rep", expected, repr(written.strip()))
    return Part(term, length // term.components, int(start))


def _of_slices(rep: Mapping[str, Any], basis: str, layout: str) -> list[Part]:
    """Parts that are named by where they lie: {"vector": slice(1, 4)}."""
    parts = []
    for word, slices in rep.items():
        for where in slices if isinstance(slices, list | tuple) else [slices]:
            fine = isinstance(where, slice) and where.step in (None, 1)
            ends = (where.start or 0, where.stop) if fine else (None, None)
            if not isinstance(word, str) or not all(isinstance(end, int) and end >= 0 for end in ends):
                expected = 'a dict from kinds to slices of one axis, {"vector": slice(1, 4)}'
                fail(ArgumentError, "rep", expected, repr(rep))
            (part,) = _read(f"{word}[{ends[0]}:{ends[1]}]", basis, layout).parts
            parts.append(part)
    if not parts:
        fail(ArgumentError, "rep", "at least one slice", repr(rep))
    return parts


def _placed(parts: Sequence[Part], *, packed: bool = False) -> tuple[Part, ...]:
    """In the order in which they lie; `packed`: one after the other from 0 on."""
    if packed:
        start, placed = 0, []
        for part in parts:
            placed.append(replace(part, start=start))
            start += part.components
        return tuple(placed)
    ordered = sorted(parts, key=lambda part: part.start)
    for one, other in itertools.pairwise(ordered):
        if other.start < one.where.stop:
            names = f"{one.term.name} and {other.term.name} both at {other.start}"
            fail(ArgumentError, "rep", "slices that do not overlap", names)
    return tuple(ordered)


def _checked_axis(axis: Any, kind: Representation) -> int:
    if isinstance(axis, bool) or not isinstance(axis, int) or axis >= 0:
        fail(ArgumentError, "axis", "a negative number, counted from the end: -1 is the last axis", repr(axis))
    if axis != -1 and not kind.component_axes:
        fail(ArgumentError, "axis", f"none for {kind.name!r}, which has no component axis", axis)
    return axis
