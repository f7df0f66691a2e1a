"""Captured hidden tensors, brought to the one layout in which values are accumulated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

import torch

from ..adapters.base import Piece, System
from ..adapters.checks import check_axes
from ..adapters.masks import grown_axes
from ..adapters.rows import RowCounts
from ..errors import ArgumentError, ModelError
from ..groups.representation import Representation
from ..patterns import stem
from .leaves import representation_of
from .left import NO_ROWS, LeftOut
from .masks import Masks, real_rows, shape_of_one
from .names import place_of, uncounted
from .stacked import Stacked, differ

Values = dict[str, torch.Tensor]

ALIKE = 1e-2
"""Most rows of identical copies differ by less than this part of the largest value, or the axis is none of copies."""


class Layers:
    """Brings captured hidden tensors to ``(copies, samples, channels, 1)``, the last axis as channels.

    Where a representation is declared the last axis holds its components: ``(copies, samples, 1, components)``.
    What cannot be brought there, or whose values are no function of the copy alone, is left out: whole layers are
    named in `skipped` with the reason, single rows counted in `left_out`.
    """

    def __init__(
        self,
        representations: Mapping[str, Representation],
        meant: Set[str] = frozenset(),
        masks: Masks | None = None,
    ) -> None:
        self._representations = representations
        self._masks = masks or Masks(lambda layer, system: None)
        self._real: dict[str, dict[str, torch.Tensor]] = {}
        """By system and layer: the masks that fit."""
        self._masked: dict[str, list[int]] = {}
        """Of layers with a mask: rows that are padding, and all rows, over the systems so far."""
        self._longer: dict[str, tuple[int, ...]] = {}
        """Shapes of the values of one copy that has one more row of padding."""
        self._grown: dict[str, tuple[int, ...] | None] = {}
        """Axes of the values of one copy that grew with it."""
        self._stretching = False
        self._whole: dict[str, None] = {}
        """Layers with a mask that their values do not fit, and which are taken as they are."""
        self._meant = meant
        """Modules whose declaration says that its axes are meant as they stand."""
        self._rows = RowCounts()
        self._axes: dict[str, int] = {}
        """Which axis of a tensor runs over the copies."""
        self._good: dict[str, dict[str, torch.Tensor]] = {}
        """By system and layer: the samples that are functions of their copy, where some are not."""
        self._learned: dict[str, tuple[str, ...]] = {}
        """By system: the layers that have rows there."""
        self._filled: set[str] = set()
        self._empty: set[str] = set()
        """Layers that had values in some system, and those that had none in any."""
        self.skipped: dict[str, str] = {}
        self.left_out: dict[str, list[int]] = {}
        """Of layers: rows of one copy that were left out, and all rows, over the systems that had such."""

    def learn(self, captured: Mapping[str, torch.Tensor], system: System, copies: int) -> Values:
        """Rehearsal: find the axis of copies by the one fact known, that the first two copies are identical."""
        values: Values = {}
        self._masks.learn(captured, system, copies)
        self._real[system.name] = {}
        same = self._identical(captured, copies)
        for name, tensor in captured.items():
            if name in self.skipped or name in self._masks.names:
                continue
            axes = [self._axes[name]] if name in self._axes else [0, 1]
            for axis in axes:
                part = self._try(name, tensor, axis, system, copies, same=name in same and axis == axes[0])
                if part is not None:
                    self._axes[name] = axis
                    real = self._unpadded(name, system, part)
                    value = None if real is None else self._canonical(name, real)
                    if value is not None and value.numel():
                        values[name] = value
                    break
            else:
                self.skip(name, _unfit(tensor, axes, copies))
        self._learned[system.name] = tuple(values)
        self._empty = (self._empty | set(self._axes)) - self._filled - set(values)
        self._filled |= set(values)
        return values

    def stretch(self, captured: Mapping[str, torch.Tensor], longer: System, copies: int) -> None:
        """Take the shapes that values have in a system with one more row of padding."""
        skipped, empty, filled = dict(self.skipped), set(self._empty), set(self._filled)
        self._stretching = True
        try:
            self.learn(captured, longer, copies)
        finally:
            self._stretching = False
            self.skipped, self._empty, self._filled = skipped, empty, filled

    def skip(self, name: str, reason: str) -> None:
        """Leave the layer out, of the systems that were measured already too."""
        self.skipped.setdefault(name, reason)

    def unheard(self, elsewhere: Set[str], captured: Mapping[str, torch.Tensor]) -> None:
        """Say what is left out because only other threads called it."""
        heard = set(map(stem, captured))
        for name in elsewhere - heard:
            self.skip(name, "its module is called in other threads than the audit's")

    def _identical(self, captured: Mapping[str, torch.Tensor], copies: int) -> set[str]:
        """Layers whose first two copies are the same along the axis that is tried first; asked of all at once."""
        pairs = {}
        for name, tensor in captured.items():
            axis = self._axes.get(name, 0)
            if tensor.ndim > axis and tensor.numel() and tensor.shape[axis] % copies == 0:
                rows = tensor.shape[axis] // copies
                pairs[name] = _first(tensor, axis)[: 2 * rows].unflatten(0, (2, rows))
        differs = Stacked.of(pairs).ask(lambda stack: differ(stack[:, 0], stack[:, 1]))
        return {name for name, found in differs.items() if not found}

    def _try(
        self, name: str, tensor: torch.Tensor, axis: int, system: System, copies: int, *, same: bool
    ) -> torch.Tensor | None:
        """``(copies, rows, ...)`` where this may be the axis of copies; `same`: the first two are known to be so."""
        if tensor.ndim <= axis or tensor.shape[axis] % copies:
            return None
        part = self._rows.learn(name, system.name, _first(tensor, axis), copies)
        if same or not part.numel():  # no edges, say: nothing to see, and nothing against it
            return part
        mask = self._masks.of(name, system)
        real = self._rows_by(name, mask, part) if isinstance(mask, torch.Tensor) else None
        # a stochastic layer differs from copy to copy: then only the shape can decide
        first, second = (real if isinstance(real, torch.Tensor) and real.numel() else part)[:2]
        if torch.equal(first, second):
            return part
        first, second = first.double(), second.double()
        away = (first - second).abs() <= ALIKE * max(float(first.nan_to_num(0.0).abs().max()), 1e-30)
        alike = (away | first.isnan()).reshape(first.numel() // max(1, first.shape[-1]), -1).all(1)
        # padding may be filled from another copy: most rows decide
        return part if float(alike.double().mean()) > 0.5 or tensor.shape[axis] == copies else None

    def _rows_by(self, name: str, mask: torch.Tensor, part: torch.Tensor) -> torch.Tensor | str | None:
        if name in self._longer:  # the system that was made longer comes first
            self._grown[name] = grown_axes(shape_of_one(part), self._longer.pop(name), len(mask))
        return real_rows(part, mask, meant=self._masks.names_exactly(name), grown=self._grown.get(name))

    def _unpadded(self, name: str, system: System, part: torch.Tensor) -> torch.Tensor | None:
        """Rehearsal: the rows that are real by the mask of the layer, which is remembered where it fits; None where
        that cannot be told, and the layer is left out."""
        mask = self._masks.of(name, system)
        if self._stretching:
            self._longer[name] = shape_of_one(part)
            return part
        if mask is None:
            return part
        real = mask if isinstance(mask, str) else self._rows_by(name, mask, part)
        if isinstance(real, str):
            self.skip(name, real)
            return None
        if isinstance(mask, torch.Tensor) and real is not None:
            self._real[system.name][name] = mask
            return real
        self._whole[name] = None
        return part

    def begun(self, system: System) -> None:
        """The rows of a new system that are real count from now on."""
        for name, mask in self._real[system.name].items():
            count = self._masked.setdefault(name, [0, 0])
            count[0] += int((~mask).sum())
            count[1] += mask.numel()

    def split(self, captured: Mapping[str, torch.Tensor], pieces: Sequence[Piece]) -> list[Values]:
        """The values of a batch, for each of its pieces."""
        systems = [piece.system.name for piece in pieces]
        copies = [piece.rotations.shape[0] for piece in pieces]
        values: list[Values] = [{} for _ in pieces]
        for name in dict.fromkeys(name for system in systems for name in self._learned[system]):
            if name in self.skipped:
                continue
            # a layer that has no rows in one system is called there all the same
            there = [i for i, system in enumerate(systems) if self._rows.knows(name, system)]
            try:
                parts = self._parts(name, captured, [systems[i] for i in there], [copies[i] for i in there])
            except ModelError as error:
                self.skip(name, str(error).removeprefix(f"{name}: "))
                continue
            for i, part in zip(there, parts, strict=True):
                mask = self._real[systems[i]].get(name)
                real = part if mask is None else self._rows_by(name, mask, part)
                assert isinstance(real, torch.Tensor), "rows come in the shape that was learned"
                value = self._canonical(name, real)
                if value is not None and value.numel():
                    values[i][name] = self.kept(name, pieces[i].system, value)
        return values

    def wanted(self, system: System) -> list[str]:
        """Names of the layers that `split` takes of this system."""
        return [name for name in self._learned[system.name] if name not in self.skipped]

    def _parts(
        self, name: str, captured: Mapping[str, torch.Tensor], systems: list[str], copies: list[int]
    ) -> list[torch.Tensor]:
        if name not in captured:
            raise ModelError(
                f"{name}: expected as many calls of its module in every batch, got fewer with {systems[0]!r}"
            )
        tensor, axis = captured[name], self._axes[name]
        if tensor.ndim <= axis:
            raise ModelError(f"{name}: expected copies on axis {axis} in every batch, got shape {tuple(tensor.shape)}")
        return self._rows.split(name, systems, copies, _first(tensor, axis))

    def _canonical(self, name: str, part: torch.Tensor) -> torch.Tensor | None:
        copies, last = part.shape[0], part.shape[-1] if part.ndim > 2 else 1
        kind = representation_of(name, self._representations)
        if kind is None:
            return part.reshape(copies, part.numel() // (copies * last) if last else 0, last, 1)
        one_row = part.shape[1] == 1 and part.ndim > 2
        own = tuple(part.shape[2 if one_row else 1 :])
        try:
            kind.check(own, f"layers[{name!r}]")
            check_axes(f"layers[{name!r}]", kind, own, meant=place_of(name, self._meant) is not None)
        except ArgumentError as error:
            if uncounted(name) == stem(name):
                raise
            # the module was declared, and this is but one of the values that it returns
            self.skip(name, str(error))
            return None
        return kind.flatten(part).reshape(copies, part.numel() // (copies * kind.components), 1, kind.components)

    def keep(self, name: str, system: System, good: torch.Tensor) -> None:
        """Of this layer and system only the samples where `good` ``(samples,)`` holds are functions of their copy."""
        if bool(good.all()):
            return
        lost, rows = int((~good).sum()), good.numel()
        if lost == rows:
            self.skip(name, "its values depend on what else is in the batch")
            return
        self._good.setdefault(system.name, {})[name] = torch.nonzero(good)[:, 0]
        count = self.left_out.setdefault(name, [0, 0])
        count[0] += lost
        count[1] += rows

    def spread(self, system: System) -> None:
        """Rows that are padding in layers that betray it are so in those with the same axes that do not.

        Padding may hold what all copies of one system share, the species of an atom say, and differ only beside another
        system. Told where all layers of these axes, two at least before the channels, agree.
        """
        good = self._good.get(system.name, {})
        masked, declared = self._real[system.name], self._representations
        plain = [
            name
            for name in self._learned[system.name]
            if name not in masked and representation_of(name, declared) is None
        ]
        axes = {name: self._rows.shape(name, system.name)[:-1] for name in plain}
        for name in [name for name in plain if name not in good and len(axes[name]) > 1]:
            alike = {tuple(good[other].tolist()): other for other in good if axes.get(other) == axes[name]}
            if len(alike) == 1 and name not in self.skipped:
                (rows,) = alike
                kept = torch.zeros(math.prod(axes[name]), dtype=torch.bool, device=good[alike[rows]].device)
                kept[list(rows)] = True
                self.keep(name, system, kept)

    def kept(self, name: str, system: System, value: torch.Tensor) -> torch.Tensor:
        """`value` ``(copies, samples, ...)`` without the rows that are left out."""
        good = self._good.get(system.name, {}).get(name)
        return value if good is None else value[:, good]

    def masks(self, system: System) -> dict[str, torch.Tensor]:
        """By layer, what `keep` was told of this system where rows are left out."""
        return self._good.get(system.name, {})

    def restore(self, system: System, masks: Mapping[str, torch.Tensor]) -> None:
        """Leave the same rows out again, after the system was forgotten."""
        self._good[system.name] = dict(masks)

    def forget(self, system: System) -> None:
        """The system was finished or dropped."""
        self._rows.forget(system.name)
        self._learned.pop(system.name, None)
        self._good.pop(system.name, None)
        self._real.pop(system.name, None)
        self._masks.forget(system)

    def left(self) -> LeftOut:
        """What was left out so far."""
        empty = {name: NO_ROWS for name in sorted(self._empty)}
        return LeftOut({**empty, **self.skipped}, self.left_out, self._masked, list(self._whole), sorted(self._filled))


def _first(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    """With that axis before the others."""
    return tensor.movedim(axis, 0) if axis else tensor


def beside(layers: list[Values], outputs: Mapping[str, list[torch.Tensor]]) -> list[Values]:
    """The values of a batch by piece, outputs after layers; an output without an entry in a piece is left out there."""
    for i, values in enumerate(layers):
        values |= {name: parts[i] for name, parts in outputs.items() if parts[i].numel()}
    return layers


def _unfit(tensor: torch.Tensor, axes: Sequence[int], copies: int) -> str:
    """Why none of `axes` is known to run over the copies."""
    if not tensor.ndim:
        return "it is one number for all copies of the batch"
    shape = tuple(tensor.shape)
    if any(axis < tensor.ndim and tensor.shape[axis] % copies == 0 for axis in axes):
        return f"equal copies differ in {shape}: it is random, or neither of its first two axes runs over the copies"
    return f"neither the first nor the second axis of {shape} runs over the copies"
