"""The average of a model over a group, and its spread, a few elements at a time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ArgumentError, ModelError, fail
from ..groups.representation import Representation
from ..groups.rotations import handedness
from ..ops.rotation import rotate
from ..tolerance import orthogonality
from .elements import Elements
from .recompute import captured_leaves, recomputed

SEES_OTHERS = 1e4
"""In eps of the largest value: a copy in a batch and the same copy alone may differ by so much, for sums in another
order."""


@dataclass(frozen=True)
class Value:
    """One output on rotated copies, ``(copies, *batch, *components)``."""

    name: str
    kind: Representation
    values: torch.Tensor


Evaluate = Callable[[Sequence[torch.Tensor], torch.Tensor], Sequence[Value]]
"""From the tensors that the model is given, and elements ``(copies, 3, 3)`` float64, to its outputs on the copies.
Always the same outputs in the same order."""


@dataclass(frozen=True)
class Average:
    """One output over the group; float64."""

    mean: torch.Tensor
    """``(*batch, *components)``: Pi = sum_g w_g rho(g)^-1 f(g x)."""
    variance: torch.Tensor
    """``(*batch,)``: A = (sum_g w_g |rho(g)^-1 f(g x)|^2 - |Pi|^2) / components."""


class Averager:
    """Averages over `elements`, `batch` of them at a time."""

    def __init__(self, elements: Elements, batch: int) -> None:
        self.elements = elements
        self.batch = batch
        self._tried = batch == 1

    def __call__(
        self,
        evaluate: Evaluate,
        tensors: Sequence[torch.Tensor] = (),
        closed: Sequence[torch.Tensor] = (),
        *,
        trial: bool = False,
        gradients: bool = True,
    ) -> dict[str, Average]:
        """Averages of what `evaluate` gives, by name.

        With `gradients` these flow to `tensors` and to what `evaluate` has captured; `closed` are leaves known to be
        captured. With a `trial` the first call makes sure that copies of one batch do not see each other.
        """
        devices = [x.device for x in tensors] or [torch.device("cpu")]
        if trial and not self._tried:
            self._try(evaluate, tensors, devices)
            self._tried = True
        captured: tuple[torch.Tensor, ...] = ()
        if gradients and torch.is_grad_enabled():
            captured = self._captured(evaluate, tensors, closed, devices)
        run = _Run(evaluate, tensors, captured, devices, graph=gradients and torch.is_grad_enabled())
        for start in range(0, len(self.elements), self.batch):
            stop = min(start + self.batch, len(self.elements))
            run.add(*self.elements.select(start, stop, devices[0]))
        return run.averages(len(self.elements) if self.elements.sampled else None)

    def _captured(
        self, evaluate: Evaluate, tensors: Sequence[torch.Tensor], closed: Sequence[torch.Tensor], devices: Any
    ) -> tuple[torch.Tensor, ...]:
        """Leaves that gradients reach beside `tensors`, told by one copy."""
        one, _ = self.elements.select(0, 1, devices[0])
        with torch.random.fork_rng(devices=_cuda(devices)):
            found = captured_leaves(lambda *own: tuple(v.values for v in evaluate(own, one)), tensors)
        known = {id(leaf) for leaf in (*closed, *tensors)}
        return (*closed, *(leaf for leaf in found if id(leaf) not in known))

    def _try(self, evaluate: Evaluate, tensors: Sequence[torch.Tensor], devices: Any) -> None:
        """Refuse a model that gives a copy in a batch anything else than the copy alone."""
        pair, _ = self.elements.select(0, min(2, len(self.elements)), devices[0])
        own = [x.detach() for x in tensors]
        with torch.random.fork_rng(devices=_cuda(devices)):
            alone, joined = evaluate(own, pair[:1]), evaluate(own, pair)
        for one, two in zip(alone, joined, strict=True):
            a, b = one.values[0].detach(), two.values[0].detach()
            scale = float(a.abs().max()) if a.numel() else 0.0
            bound = SEES_OTHERS * torch.finfo(a.dtype).eps * scale
            if a.shape != b.shape or not bool(((a - b).abs() <= bound).all() | ~a.isfinite().all()):
                off = float((a - b).abs().max()) if a.shape == b.shape else math.inf
                raise ModelError(
                    f"{one.name}: expected the same value of a copy alone and in a batch of two, got a difference of "
                    f"{off:.3g}: copies of one batch see each other (statistics over the batch, indices joined "
                    "without offsets), or the model is random. batching='loop' evaluates one copy per call"
                )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_tried": self.batch == 1}


class _Run:
    """One average in progress."""

    def __init__(
        self,
        evaluate: Evaluate,
        tensors: Sequence[torch.Tensor],
        captured: tuple[torch.Tensor, ...],
        devices: Sequence[torch.device],
        *,
        graph: bool,
    ) -> None:
        self._evaluate = evaluate
        self._tensors = tensors
        self._captured = captured
        self._devices = devices
        self._graph = graph and any(x.requires_grad for x in (*tensors, *captured))
        self._centres: list[torch.Tensor] = []
        self._sums: list[torch.Tensor] = []
        self._finite: list[torch.Tensor] = []
        self._handed = 0.0
        self._outputs: list[tuple[str, Representation]] = []

    def add(self, rotations: torch.Tensor, weights: torch.Tensor) -> None:
        """The next elements."""
        tensors = (*self._tensors, *self._centres)
        part = _Part(self, rotations, weights, len(self._tensors))
        if self._graph:
            found = recomputed(part, tensors, self._captured, self._devices)
        else:
            found = tuple(x.detach() for x in part(*tensors))
        n = len(found) // 5
        sums, finite, centres = found[: 3 * n], found[3 * n : 4 * n], found[4 * n :]
        self._centres = self._centres or [centre.detach() for centre in centres]
        self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)] if self._sums else list(sums)
        self._finite.append(torch.stack(finite))
        self._handed += float((weights * handedness(rotations)).sum())

    def outputs(self, tensors: Sequence[torch.Tensor], rotations: torch.Tensor) -> Sequence[Value]:
        """What the model gives, checked to be what it gave before."""
        found = self._evaluate(tensors, rotations)
        named = [(value.name, value.kind) for value in found]
        self._outputs = self._outputs or named
        if named != self._outputs:
            expected, got = (", ".join(name for name, _ in outputs) for outputs in (self._outputs, named))
            raise ModelError(f"model: expected outputs {expected} from every rotated copy, got {got}")
        return found

    def averages(self, count: int | None) -> dict[str, Average]:
        """By output; `count` is that of independent elements, None on a grid."""
        self._check_finite()
        n = len(self._outputs)
        found = {}
        for k, (name, kind) in enumerate(self._outputs):
            off, square, odd = self._sums[k::n]
            variance = (square - _square(kind, off)) / kind.entries
            low = float((variance + ROUND_OFF * square).detach().min()) if variance.numel() else 0.0
            if low < 0:
                fail(ArgumentError, "group", "a grid whose weights give no negative variance", f"{low:.3g} for {name}")
            if count is not None:
                variance = variance * (count / (count - 1))
            found[name] = average = Average(self._centres[k] + off, variance.clamp_min(0.0))
            _warn_of_sign(name, kind, average, odd + self._handed * self._centres[k])
        return found

    def _check_finite(self) -> None:
        finite = torch.cat(self._finite, dim=1)
        if not bool(finite.all()):
            k, element = (int(i) for i in (~finite).nonzero()[0])
            name, _ = self._outputs[k]
            raise ModelError(f"{name}: expected finite values, got NaN or infinity at element {element} of the group")


ROUND_OFF = 1e2 * orthogonality(torch.float64)
"""Relative size up to which a variance below 0 is round-off."""


class _Part:
    """Sums over some elements: ``(off, square, odd, finite, centre)``, each for all outputs.

    off: what is off the centre, the value at the first element; square: its squared norm; odd: with the sign of det(g).
    """

    def __init__(self, run: _Run, rotations: torch.Tensor, weights: torch.Tensor, count: int) -> None:
        self._run = run
        self._rotations = rotations
        self._weights = weights
        self._count = count

    def __call__(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self._run.outputs(tensors[: self._count], self._rotations)
        known = tensors[self._count :] or [None] * len(found)
        columns = [self._of(value, centre) for value, centre in zip(found, known, strict=True)]
        return tuple(x for column in zip(*columns, strict=True) for x in column)

    def _of(self, value: Value, centre: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        values, kind = value.values, value.kind
        rotations = self._rotations.to(values.device)
        copies = len(rotations)
        ones = [1] * (values.ndim - 1 - kind.component_axes)
        z = rotate(values.to(torch.float64), rotations.reshape(copies, *ones, 3, 3), kind, inverse=True)
        # sums about a value, not about 0: total energies would leave no digits for a spread
        centre = z[0].detach() if centre is None else centre
        off = z - centre
        finite = values.detach().isfinite().reshape(copies, math.prod(values.shape[1:])).all(1)
        weights = self._weights.to(values.device)
        odd = _sum(weights * handedness(rotations), off.detach())
        return _sum(weights, off), _sum(weights, _square(kind, off)), odd, finite, centre


def _sum(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    summed: torch.Tensor = torch.tensordot(weights, values, dims=1)
    return summed


def _square(kind: Representation, x: torch.Tensor) -> torch.Tensor:
    """``|x|^2`` over the components, of "voigt" that of the full tensor."""
    flat = kind.flatten(x)
    if kind.entries != kind.components:
        flat = flat @ kind.matrix.to(flat).mT
    squares: torch.Tensor = flat.square().sum(-1)
    return squares


def _warn_of_sign(name: str, kind: Representation, average: Average, odd: torch.Tensor) -> None:
    """Say that rotations alone would leave an output, of which their negatives take away everything."""
    even = float(_square(kind, average.mean.detach()).sum())
    power = even + float(average.variance.detach().sum()) * kind.entries
    if even < LEFT * power and float(_square(kind, odd.detach()).sum()) > POWER * power:
        warnings.warn(
            f"{name}: of {kind.name!r} nothing is left in the average, because it changes its sign under inversion; "
            "group='SO3' averages over rotations alone, or another representation is meant",
            stacklevel=6,
        )


LEFT, POWER = 1e-4, 0.5
"""Shares of the mean square: of an average that has vanished, and of what rotations alone would have left."""


def _cuda(devices: Sequence[torch.device]) -> list[torch.device]:
    return [device for device in set(devices) if device.type == "cuda"]
