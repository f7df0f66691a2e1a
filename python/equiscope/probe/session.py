"""One audit in progress: the model's state is kept, the measure is settled on the first systems, the rest follows."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..adapters.base import Adapter, System
from ..adapters.checks import distinct
from ..adapters.labels import Labels
from ..groups.group import Group
from ..groups.representation import Representation
from ..inuse import in_use
from ..measure.measure import Found, Measure
from ..progress import Bar
from .batch import BatchRows
from .collect import Collector
from .drive import Drive
from .evaluate import Evaluator
from .hooks import Capture
from .layers import Layers
from .masks import Masks
from .memory import Memory
from .refine import Refinement
from .rehearsal import Rehearsal
from .witness import Witness


@dataclass(frozen=True)
class Hooked:
    """The places to listen to (`names`), and how what passes there transforms, where that is known."""

    module: torch.nn.Module
    names: list[str]
    representations: dict[str, Representation]
    meant: frozenset[str] = frozenset()
    """Those whose declaration says that its axes are meant as they stand."""
    asked: frozenset[str] = frozenset()
    """Those that were given by name, not by a pattern."""
    masks: Mapping[str, str] = field(default_factory=dict)
    """By pattern of places, tensors inside the model that are True where rows are real."""


@dataclass
class Session:
    """Context manager: state and gradients of the module are saved on entry, restored on exit. `run` does the work."""

    adapter: Adapter
    hooked: Hooked | None
    lmax: int
    keep: str | None
    batch_rows: BatchRows
    batch_bytes: int | None
    memory: Memory
    bar: Bar
    group: Group
    seed: int = 0
    labels: Labels | None = None
    """What outputs ought to be."""
    witness: Witness | None = None
    """Who sees all values."""
    model_dtype: torch.dtype | None = None
    """What the model computes in, where it was said."""
    collector: Collector = field(init=False)
    measure: Measure = field(init=False)
    settled: dict[str, Any] = field(init=False, default_factory=dict)
    """Of a measure that refines, for the settings of the report."""
    convergence: list[dict[str, Any]] = field(init=False, default_factory=list)
    """What was tried until the numbers settled; nothing where nothing had to."""
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)
    _capture: Capture | None = field(init=False, default=None)
    _evaluator: Evaluator = field(init=False)
    _layers: Layers = field(init=False)
    _rehearsal: Rehearsal = field(init=False)
    notes: list[str] = field(init=False, default_factory=list)
    """What the report should say of what was done, where nothing is wrong."""
    _warnings: list[str] = field(init=False, default_factory=list)

    def __enter__(self) -> Session:
        module = self.adapter.module
        with contextlib.ExitStack() as stack:
            stack.enter_context(in_use(module))
            self._enter(stack, module)
            self._stack = stack.pop_all()
        return self

    def _enter(self, stack: contextlib.ExitStack, module: torch.nn.Module | None) -> None:
        stack.enter_context(torch.random.fork_rng(devices=_random_devices(module)))
        if module is not None and not isinstance(module, torch.jit.ScriptModule):
            if module.training:
                self.notes.append("the model was in train mode; it was audited in eval mode and put back")
            for part in module.modules():
                stack.callback(setattr, part, "training", part.training)
            _to_eval(module)
        if module is not None:
            for parameter in module.parameters():
                # what a forward that calls backward leaves there must not reach the user's
                stack.callback(setattr, parameter, "grad", parameter.grad)
                parameter.grad = None
        masks = Masks(self.adapter.mask, self.hooked.masks if self.hooked is not None else {})
        if self.hooked is not None:
            self.adapter.hooked()
            self._capture = stack.enter_context(self._listening(self.hooked, masks.names))
        self._evaluator = Evaluator(self.adapter, self._capture)
        meant = self.hooked.meant if self.hooked is not None else frozenset()
        self._layers = Layers(self._representations, meant, masks)
        self._rehearsal = Rehearsal(self._evaluator, self._layers, self.group, stated=self.model_dtype, seed=self.seed)
        if torch.cuda.is_available() and torch.backends.cuda.matmul.allow_tf32:
            self._warnings.append("TF32 matrix products are on: errors near 1e-3 may be their round-off")

    def _listening(self, hooked: Hooked, masks: frozenset[str]) -> Capture:
        once = self.adapter.calls_per_copy
        capture = Capture(hooked.module, hooked.names, copy=once, asked=hooked.asked, masks=masks)
        if capture.compiled:
            self.notes.append(
                "the model is compiled; it was audited as it was before torch.compile, since layers of compiled code "
                "cannot be heard. Without layers, an audit takes the compiled one"
            )
        return capture

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def run(self, measure: Measure) -> None:
        """Evaluate the whole data set, by `measure` and what follows it until the numbers settle.

        Interrupted, by whatever is raised, it leaves in `collector` the systems that ended, and nothing of the others.
        """
        self._open(measure)
        stream = self.memory.reading(distinct(self.adapter.systems()))
        stream = stream if self.labels is None else self.labels.counted(stream)
        if measure.refines:
            self._refine(measure, stream)
            return
        first = list(itertools.islice(stream, measure.pilot))
        further = next(stream, None)
        if first:
            self._settle(first, has_more=further is not None)
        self.collector.settle()
        if further is not None:
            count = self.adapter.count
            self._evaluate(itertools.chain([further], stream), None if count is None else count - len(first))

    def _refine(self, measure: Measure, stream: Iterator[System]) -> None:
        """Evaluate every system at the degree that it needs."""
        with self.bar(len(measure), self.adapter.count) as advance:
            refinement = Refinement(self.collector, lambda systems: self._hand_over(systems, advance), measure)
            try:
                refinement.run(stream)
            finally:
                self.measure, self.settled = refinement.mostly, refinement.settings()
                self.convergence = refinement.entries
                self.collector.sort()

    def _settle(self, pilot: list[System], *, has_more: bool) -> None:
        """Evaluate the first systems by one measure after the other, until their numbers do."""
        coarser: tuple[Measure, Collector] | None = None
        previous: Found | None = None
        done = 0
        while True:
            self._evaluate(pilot, len(pilot), first=done)
            found = self.collector.results()
            judgement = self.measure.judge(found, previous)
            self.convergence.append(self._entry(found, **judgement.judged))
            if judgement.note is not None:
                self._warnings.append(judgement.note)
            if judgement.following is None:
                # the better numbers of the first systems are at hand, and are kept where these are all there is
                if judgement.previous_suffices and coarser is not None and has_more:
                    self.measure, self.collector = coarser
                return
            if judgement.goes_on:
                done, self.measure = len(self.measure), judgement.following
                left = self.collector.reopen(self.measure)
                pilot = [system for system in pilot if system.name in left]
            else:
                coarser, previous = (self.measure, self.collector), found
                self._open(judgement.following)

    def _open(self, measure: Measure) -> None:
        self.measure = measure
        self.collector = Collector(
            self.adapter,
            measure,
            self.lmax,
            keep=self.keep,
            layer_representations=self._representations,
            skipped=self._layers.skipped,
            labels=self.labels,
            witness=self.witness,
        )
        self.memory.statistics = self.collector.nbytes

    @property
    def _representations(self) -> Mapping[str, Representation]:
        return self.hooked.representations if self.hooked is not None else {}

    def _evaluate(self, systems: Iterable[System], count: int | None, *, first: int = 0) -> None:
        """Hand further systems, on the elements from `first` on, to the collector that is open."""
        with self.bar(len(self.measure) - first, count) as advance:
            self._hand_over(systems, advance, first=first)

    def _hand_over(self, systems: Iterable[System], advance: Callable[[int], None], *, first: int = 0) -> None:
        drive = Drive(
            self._evaluator,
            self._rehearsal,
            self._layers,
            self.collector.measure,
            first=first,
            systems=iter(systems),
            batch_rows=self.batch_rows,
            batch_bytes=self.batch_bytes,
            memory=self.memory,
        )
        self.collector.consume(drive, advance)

    def record(self) -> list[dict[str, Any]]:
        """Entries for `AuditData.convergence`, one at least."""
        return self.convergence or [self._entry(self.collector.results(), change=None)]

    def _entry(self, found: Found, **judged: float | None) -> dict[str, Any]:
        outputs, layers = found
        return {
            "degree": self.measure.degree,
            "rotations": len(self.measure),
            **judged,
            "variance": {name: output.rmse**2 for name, output in outputs.items()},
            "power": {name: r.pooled_power.tolist() for name, r in {**layers, **outputs}.items()},
        }

    @property
    def evaluations(self) -> int:
        """Copies evaluated so far."""
        return self._evaluator.evaluations

    @property
    def checks(self) -> int:
        """How many of them went into rehearsals."""
        return self._rehearsal.evaluations

    @property
    def computes_in(self) -> str | None:
        """The dtype for whose rounding floors were measured."""
        return self._rehearsal.computes_in

    def masking(self) -> dict[str, Any]:
        """What masks did to layers, for the settings; nothing where there were none."""
        told = self._layers.masking()
        return {"masks_of_layers": told} if told else {}

    def warnings(self) -> list[str]:
        """What the report should warn of."""
        heard = self._capture.notes() if self._capture is not None else {}
        return [
            *self._warnings,
            *self.adapter.notes,
            *self._unrepeatable(),
            *self.collector.absent(),
            *self._layers.notes(heard),
        ]

    def _unrepeatable(self) -> list[str]:
        random = ", ".join(f"`{name}`" for name in self.collector.stochastic())
        return [f"{random}: {self.adapter.unrepeatable}"] if random and self.adapter.unrepeatable else []


def _to_eval(module: torch.nn.Module) -> None:
    """Evaluation mode; a program of torch.export has one mode for good, and refuses to be asked."""
    try:
        module.eval()
    except NotImplementedError:
        for part in module.modules():
            part.training = False


def _random_devices(module: torch.nn.Module | None) -> list[int]:
    """CUDA devices whose random state the model may advance."""
    if not torch.cuda.is_initialized():
        return []
    tensors: Iterator[torch.Tensor] = (
        itertools.chain(module.parameters(), module.buffers()) if module is not None else iter(())
    )
    own = {tensor.device.index for tensor in tensors if tensor.device.type == "cuda"}
    return sorted(own or {torch.cuda.current_device()})
