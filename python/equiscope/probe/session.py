"""One audit in progress: the model's state is kept, the measure is settled on the first systems, the rest follows."""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..adapters.base import Adapter, System
from ..adapters.checks import distinct
from ..adapters.labels import Labels
from ..groups.group import Group
from ..groups.representation import Representation
from ..interrupts import undisturbed
from ..inuse import in_use
from ..measure.measure import Found, Measure
from ..progress import Bar
from .batch import BatchRows
from .board import Spent
from .book import Book, Notes
from .collect import Collector
from .drive import Drive
from .entry import Entry
from .evaluate import Evaluator
from .helpers import Helped, Helper
from .hooks import Capture
from .layers import Layers
from .masks import Masks
from .memory import Memory
from .outcome import convergence_entry
from .pooled import Pooled
from .refine import Refinement
from .rehearsal import Rehearsal
from .units import Stream, Unit, share_a_batch, stages, units
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
    """Names and patterns as they were given."""
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
    convergence: list[dict[str, Any]] = field(init=False, default_factory=list)
    """What was tried until the numbers settled; nothing where nothing had to."""
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)
    _capture: Capture | None = field(init=False, default=None)
    _evaluator: Evaluator = field(init=False)
    _layers: Layers = field(init=False)
    _rehearsal: Rehearsal = field(init=False)
    _notes: list[str] = field(init=False, default_factory=list)
    """What the report should say of what was done, where nothing is wrong."""
    _warnings: list[str] = field(init=False, default_factory=list)
    _book: Book = field(init=False)
    _began: float = field(init=False, default=0.0)
    _place: int = field(init=False, default=0)
    """In the data, of the next system that is read."""
    _firsts: list[System] | None = field(init=False, default_factory=list)
    """The first systems, while they settle how all others are evaluated."""
    _rows: int | None = field(init=False, default=None)
    """Rows of a batch, as they were when the first systems had ended."""
    _advance: Callable[[int], None] = field(init=False)
    _spent: Spent = field(init=False, default_factory=Spent)
    """By other processes for this one, without what this one spent for others."""

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
                self._notes.append("the model was in train mode; it was audited in eval mode and put back")
            for part in module.modules():
                stack.callback(setattr, part, "training", part.training)
            _to_eval(module)
        if module is not None:
            for parameter in module.parameters():
                # what a forward that calls backward leaves there must not reach the user's
                stack.callback(setattr, parameter, "grad", parameter.grad)
                parameter.grad = None
        masks = self._masks()
        if self.hooked is not None:
            self.adapter.hooked()
            self._capture = stack.enter_context(self._listening(self.hooked, masks.names))
        self._evaluator = Evaluator(self.adapter, self._capture)
        self._layers = Layers(self._representations, self._meant, masks)
        self._rehearsal = self._rehearsing(self._layers)
        stack.callback(self._rehearsal.forget_previous)
        if torch.cuda.is_available() and torch.backends.cuda.matmul.allow_tf32:
            self._warnings.append("TF32 matrix products are on: errors near 1e-3 may be their round-off")

    def _masks(self) -> Masks:
        inner = self.hooked.masks if self.hooked is not None else {}
        return Masks(self.adapter.mask, inner, self.adapter.is_real)

    def _rehearsing(self, layers: Layers) -> Rehearsal:
        return Rehearsal(self._evaluator, layers, self.group, stated=self.model_dtype, seed=self.seed)

    def _listening(self, hooked: Hooked, masks: frozenset[str]) -> Capture:
        once = self.adapter.calls_per_copy
        capture = Capture(hooked.module, hooked.names, copy=once, asked=hooked.asked, masks=masks)
        if capture.compiled:
            self._notes.append(
                "the model is compiled; it was audited as it was before torch.compile, since layers of compiled code "
                "cannot be heard. Without layers, an audit takes the compiled one"
            )
        return capture

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def remark(self, note: str) -> None:
        """Let the report say it, where nothing is wrong."""
        self._notes.append(note)

    def run(self, measure: Measure, book: Book) -> None:
        """Evaluate what `book` leaves to this process of the whole data set, by `measure` and what follows it until the
        numbers settle.

        Interrupted, by whatever is raised, it leaves in `book` the systems that ended, and nothing of the others.
        """
        self._book, self._began = book, time.perf_counter()
        self._open(measure)
        stream = self.memory.reading(distinct(self.adapter.systems()))
        ahead = Stream(self.labels.counted(stream) if self.labels else stream)
        with self._helping(ahead):
            self._run(self._counted(ahead))

    def _run(self, stream: Iterator[System]) -> None:
        measure = self.measure
        refinement = Refinement(self.collector, self._hand_over, measure) if measure.refines else None
        begun = self._book.begun()
        # the first systems of a pilot have bars of their own
        with self._bar(when=not measure.pilot):
            if begun is None:
                stream = self._first(stream, refinement)
            else:
                self._take_over(begun, stream, refinement)
            self.collector.settle()
            with self._bar(when=bool(measure.pilot)):
                self._stages(stream, refinement)

    @contextlib.contextmanager
    def _helping(self, ahead: Stream) -> Iterator[None]:
        """Within the block, this process evaluates systems of others while it waits for them."""
        board = self._book.board
        if board is None:
            yield
            return

        def at(place: int) -> System | None:
            # until the first systems have ended, those who wait have read none
            return ahead.ahead(place) if self._rows is None else self._book.held(place)

        rehearsal = self._rehearsing(Layers(self._representations, self._meant, self._masks()))
        helper = Helper(board, self._evaluator, rehearsal, at, lambda n: self.measure.sized(n), self._spent)
        with board.read_by(helper.help), contextlib.closing(helper):
            yield

    @contextlib.contextmanager
    def _bar(self, *, when: bool) -> Iterator[None]:
        """A bar for all systems that are not read yet."""
        if not when:
            yield
            return
        count = self.adapter.count
        with self.bar(len(self.measure), None if count is None else count - self._place) as self._advance:
            yield

    def _counted(self, systems: Iterator[System]) -> Iterator[System]:
        """The same systems, with their places in the data."""
        for system in systems:
            self._book.read(self._place, system)
            if self._firsts is not None:
                self.collector.places[system.name] = self._place
                self._firsts.append(system)
            self._place += 1
            yield system

    def _first(self, stream: Iterator[System], refinement: Refinement | None) -> Iterator[System]:
        """Evaluate the first systems, which settle how all others are; returns these."""
        behind: list[System] = []
        if refinement is not None:
            refinement.confirm(stream)
            self.convergence = refinement.entries
        else:
            first, behind = self._first_ones(stream)
            if self.measure.pilot and first:
                self._settle(first, has_more=bool(behind))
            else:
                self._hand_over(first)
        following = self._place - len(behind)
        found = {
            "next": following,
            "elements": len(self.measure),
            "refined": None if refinement is None else refinement.state(),
            "convergence": self.convergence,
            "computes": self._rehearsal.learned(),
            "rows": self.batch_rows.rows,
        }
        firsts, self._firsts, self._rows = self._firsts or [], None, self.batch_rows.rows
        with undisturbed():
            self._book.begin(found, firsts[:following], self.collector.take(), self.notes())
        self._place = following
        return itertools.chain(self._counted(iter(behind)), stream)

    def _first_ones(self, stream: Iterator[System]) -> tuple[list[System], list[System]]:
        """The systems of the pilot, or those of the first unit; and the one behind them, if there is one."""
        first: list[System] = []
        fits = self._together(len(self.measure))
        for system in stream:
            pilot = self.measure.pilot
            if first and (len(first) == pilot if pilot else not fits(first, system)):
                return first, [system]
            first.append(system)
        return first, []

    def _take_over(self, begun: Mapping[str, Any], stream: Iterator[System], refinement: Refinement | None) -> None:
        """Go on from what the first systems showed elsewhere."""
        self._firsts = None
        self.measure = self.collector.measure = self.measure.sized(begun["elements"])
        if refinement is not None:
            refinement.restore(begun["refined"])
        self.convergence = begun["convergence"]
        self._rehearsal.told(begun["computes"])
        self._rows = begun["rows"]
        self.batch_rows = BatchRows(begun["rows"])
        collections.deque(itertools.islice(stream, begun["next"]), maxlen=0)

    def _stages(self, stream: Iterator[System], refinement: Refinement | None) -> None:
        """Evaluate the rest; where every system is judged on its own, each stage by what those before showed."""
        book, pooled = self._book, self._book.pooled
        book.close(self._place)
        ends: Iterator[int | None] = iter((None,)) if refinement is None else stages(self._place)
        most = len(self.measure if refinement is None else refinement.start)
        for end in ends:
            before = pooled.settled.copy()
            stage = stream if end is None else itertools.islice(stream, end - self._place)
            for unit in book.open(units(stage, self._place, book.done, self._together(most))):
                self._evaluate_unit(unit, refinement)
            book.close(self._place)
            if refinement is None or self._place != end:
                return
            told = book.told(f"stage {end}", functools.partial(refinement.shown, pooled, before))
            refinement.judged_by(told)
            most = len(refinement.start)

    def _together(self, elements: int) -> Callable[[Sequence[System], System], bool]:
        """Whether all copies of some systems and of one more fit into one batch."""

        def fits(held: Sequence[System], system: System) -> bool:
            # where several processes have to come to the same units, what one of them learns must not matter
            limit = self.batch_rows.rows if self._book.alone or self._rows is None else self._rows
            return share_a_batch(self.adapter, held, system, elements, limit, self.batch_bytes)

        return fits

    def _evaluate_unit(self, unit: Unit, refinement: Refinement | None) -> None:
        self.collector.places = unit.places
        if refinement is None:
            self._hand_over(unit.systems)
        else:
            refinement.run(unit.systems)
        with undisturbed():
            self._book.write(unit.systems, self.collector.take(), self.notes())

    def _settle(self, pilot: list[System], *, has_more: bool) -> None:
        """Evaluate the first systems by one measure after the other, until their numbers do."""
        coarser: tuple[Measure, Collector] | None = None
        previous: Found | None = None
        places, done = self.collector.places, 0
        while True:
            self._evaluate(pilot, first=done)
            found = self._found(self.collector.entries)
            judgement = self.measure.judge(found, previous)
            self.convergence.append(convergence_entry(self.measure, found, **judgement.judged))
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
                coarser, previous, done = (self.measure, self.collector), found, 0
                self._open(judgement.following)
                self.collector.places = places

    def _found(self, entries: Sequence[Entry]) -> Found:
        pooled = Pooled(self.group, self.lmax, list(self.adapter.outputs))
        for entry in entries:
            pooled.add(entry)
        return pooled.results(self._layers.skipped)

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
    def _meant(self) -> frozenset[str]:
        return self.hooked.meant if self.hooked is not None else frozenset()

    @property
    def _representations(self) -> Mapping[str, Representation]:
        return self.hooked.representations if self.hooked is not None else {}

    def _evaluate(self, systems: Sequence[System], *, first: int = 0) -> None:
        """Hand the first systems, on the elements from `first` on, to the collector that is open."""
        with self.bar(len(self.measure) - first, len(systems)) as self._advance:
            self._hand_over(systems, first=first)

    def _hand_over(self, systems: Iterable[System], *, first: int = 0) -> None:
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
            helped=self._helped,
        )
        self.collector.consume(drive, self._advance)

    @property
    def _helped(self) -> Helped | None:
        board = self._book.board
        if board is None:
            return None
        places = self.collector.places
        return Helped(board, self._evaluator, self._layers, lambda system: places[system.name], self._spent)

    def notes(self) -> Notes:
        """What is to be said of the systems that were evaluated here so far."""
        heard = self._capture.notes() if self._capture is not None else {}
        return Notes(
            warnings=[*self._warnings, *self._rehearsal.warnings, *self.adapter.notes],
            notes=[*self._notes, *self.adapter.remarks],
            doubts=dict(self._rehearsal.doubts),
            unrepeatable=self.adapter.unrepeatable,
            left=self._layers.left(),
            unheard=dict(heard),
            settings={
                "described": dict(self.adapter.description),
                "batch_rows": self.batch_rows.rows,
                "computes_in": self._rehearsal.computes_in,
                "inputs": {name: kind.name for name, kind in self.adapter.inputs.items()},
            },
            evaluations=self._evaluator.evaluations + self._spent.evaluations,
            checks=self._rehearsal.evaluations + self._spent.checks,
            model_seconds=self.adapter.model_seconds + self._spent.model_seconds,
            seconds=time.perf_counter() - self._began,
            helpers_seconds=self._spent.seconds,
        )


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
