"""The audit: drives a model over the orbits of its inputs and reduces what comes back."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch

from .adapters.base import Adapter, System
from .adapters.e3nn import declared_by_module
from .adapters.select import select_adapter
from .errors import ArgumentError, ModelError, fail
from .groups.quadrature import MAXIMUM_DEGREE, Quadrature, next_degree
from .groups.registry import quadrature
from .groups.representation import Representation
from .info import info
from .measure.convergence import change, negligible, reached_precision
from .measure.random import RandomRotations
from .measure.sampled import GROUPS
from .probe.batch import BatchRows
from .probe.collect import Collector
from .probe.drive import Drive
from .probe.hooks import Capture, matching_modules
from .probe.memory import Memory, ran_out
from .progress import Bar, progress_bar
from .report import Audit

MINIMUM_DEGREE = 6
"""First degree that is tried: an error made of l <= 3, the least that a learned model shows, is exact from here."""

MAXIMUM_AUTO_DEGREE = 41
"""Where ``degree="auto"`` gives up: 39 thousand copies of every system."""

PILOT_SYSTEMS = 2
"""Systems on which ``degree="auto"`` is decided; further ones change it rarely and cost all of their copies."""

ESTIMATORS = ("quadrature", "monte-carlo")

MINIMUM_ROTATIONS = GROUPS
"""Random rotations of one system: fewer give no standard error."""

MAXIMUM_ROTATIONS = 1024
"""Random rotations where nothing else is asked: an RMSE to about 2 %."""


def audit(
    model: Any,
    data: Any,
    *,
    inputs: Mapping[str, Any] | str | None = None,
    outputs: Mapping[str, Any] | Sequence[str] | str | None = None,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    lmax: int = 8,
    degree: int | str | None = None,
    tolerance: float = 1e-2,
    estimator: str = "quadrature",
    rotations: int | None = None,
    precision: float | None = None,
    seed: int = 0,
    keep: str | None = None,
    batching: Any = None,
    batch_rows: int | str = "auto",
    batch_bytes: int | None = None,
    max_memory: int | None = None,
    basis: str = "standard",
    layout: str = "mul_ir",
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    progress: bool | None = None,
    out: str | Path | None = None,
) -> Audit:
    """Symmetry audit of `model` on `data`: equivariance errors of outputs, irrep spectra of outputs and layers.

    Every system is rotated (and inverted) to every element g of a quadrature grid of O(3) and the model is evaluated
    on all copies. For an output with representation rho, ``z(g) = rho(g)^-1 f(g x)`` has mean Pi (the symmetrised
    output) and variance A, 0 exactly for an equivariant model. Outputs and hidden layers are projected onto the irreps
    (l, sigma) of O(3): B_(l, sigma), which sum with `unresolved` to ``int |f(g x)|^2 dg``. Definitions:
    arXiv 2603.24638.

    Args:
        model: a `torch.nn.Module` or callable on tensors; a metatomic `AtomisticModel` or the path of one.
        data: for a plain module an iterable of systems without batch axis: dicts of tensors (keyword arguments),
            tensors or tuples (positional), or pairs ``(name, system)``. For a metatomic model: a file that ASE reads,
            an npz file, ASE atoms, metatomic systems, or a list of them.
        inputs: representation per input name: "vector", "pseudovector", "tensor", "voigt", "scalar",
            "pseudoscalar", "invariant", or an Irreps string such as "8x0e+4x1o". Names inside nested containers are
            joined by dots. Undeclared inputs are invariant; an undeclared floating-point input whose last axis is 3 is
            refused.
        outputs: likewise per output; for a metatomic model a list of names is enough.
        layers: glob patterns on qualified module names (``*`` stays within one level, ``**`` crosses levels); for
            metatomic models also names of unlabelled outputs such as "feature". A dict from pattern to
            representation (or None) declares how layers transform; e3nn modules say it themselves. A layer whose
            representation is known gets an equivariance error as well.
        lmax: highest l resolved, 0..65. Where only errors are of interest, 0 lets "auto" start from degree 6, 364
            elements, in place of 2 lmax (3740 at the default).
        degree: degree of the grid, 2 lmax..131; results are exact where the product of two matrix elements stays
            within it. "auto" (also None) raises it from 2 lmax until all that is asked for changes by less than
            `tolerance`.
        tolerance: relative, for "auto".
        estimator: "quadrature", or "monte-carlo" for models too dear for a grid: independent uniformly random elements
            of O(3), others for every system. All estimates are unbiased (so B can come out negative) and each RMSE
            comes with its standard error. A needs few elements. B of degree l is known to about
            ``sqrt(2) (2l+1) / n`` of what an output breaks of its symmetry, or of what a layer varies.
        rotations: number n of random elements, 32 or more (default 1024); with `precision` the most that are taken.
        precision: relative standard error of the RMSE at which sampling stops, between 0 and 1. The first systems
            are sampled until every output has reached it or lies within noise, n doubling from 32 and each orbit going
            on where it was; the other systems take the same n. Stopping by what was seen biases A, by a fraction of its
            standard error. Without declared outputs n is `rotations`.
        seed: of the random elements, >= 0. The global random state is left alone.
        keep: "samples" keeps arrays per sample and channel; the default keeps pooled numbers and a row per system.
        batching: "stack" (default: a new leading axis of copies), "concat" (rows joined, `batch` passed), "loop" (one
            call per copy), or a callable from the list of rotated systems to the model's argument.
        batch_rows, batch_bytes: a batch is filled across systems and rotations up to these. "auto" times the first
            batches at several sizes; ``settings["batch_rows"]`` says which one was taken.
        max_memory: bytes that statistics and one batch may take together. Batches are filled no further, and lmax or
            layers that cannot fit are refused. On the CPU the working memory of the model itself is not seen. The
            default is what the machine has: a batch that does not fit there is halved.
        basis, layout: of Irreps strings, "standard" or "e3nn", "mul_ir" or "ir_mul".
        dtype, device: data are brought there; the default leaves them.
        progress: show a progress bar; by default only on a terminal.
        out: directory that `Audit.save` will write; refused at once when it cannot be written.

    Returns:
        `Audit`, with ``outputs[name]`` and ``layers[name]``; ``print`` it or ``save`` it.

    Raises:
        ArgumentError, ShapeError, DTypeError, DeviceError, DataError: before any model call where the input alone
            decides, naming the argument, what was expected and what came.
        MemoryLimitError: statistics and one copy do not fit into `max_memory`, or into what the device has.
        ModelError: copies came back with different numbers of rows, or every system failed.

    Statistics are accumulated in float64, centred; the result does not depend on the batch size beyond the round-off
    of the model. Memory does not grow with the number of rotations or systems. NaN or infinity from the model stops
    that system alone and is recorded in ``failures`` with its rotation. Train mode, random state and hooks are
    restored.
    """
    started = time.perf_counter()
    _check_settings(lmax, degree, tolerance, keep, batch_rows, batch_bytes, max_memory)
    sampled = _check_estimator(estimator, degree, rotations, precision, seed)
    if out is not None:
        from .result.place import check_writable

        check_writable(Path(out))
    patterns = [layers] if isinstance(layers, str) else list(layers or ())
    adapter, patterns = select_adapter(
        model,
        data,
        inputs=inputs,
        outputs=outputs,
        layers=patterns,
        batching=batching,
        basis=basis,
        layout=layout,
        dtype=dtype,
        device=device,
    )
    if not adapter.outputs and not adapter.features and not patterns:
        fail(ArgumentError, "outputs", "at least one output or layer to audit", "neither outputs nor layers")
    declared = {name: kind for name, kind in layers.items() if kind} if isinstance(layers, Mapping) else {}
    kinds = {name: Representation.parse(kind, basis=basis, layout=layout) for name, kind in declared.items()}
    hooked = _hooked(adapter, patterns, kinds)
    memory = Memory(max_memory, int(lmax))
    run = _Run(adapter, hooked, int(lmax), keep, batch_rows, batch_bytes, memory, progress_bar(progress))
    try:
        with run, torch.no_grad():
            if sampled:
                n = MAXIMUM_ROTATIONS if rotations is None else int(rotations)
                convergence = run.sampled(n, precision, int(seed))
            else:
                convergence = run.fixed(degree) if isinstance(degree, Integral) else run.automatic(tolerance)
    except Exception as error:
        if not ran_out(error):
            raise
        raise memory.exhausted() from error
    audit_outputs, audit_layers = run.collector.results()
    if not run.collector.systems:
        reasons = "; ".join(f"{f.system}: {f.where}: {f.reason}" for f in run.collector.failures[:5])
        raise ModelError(f"model: expected finite values for at least one system, got none ({reasons})")
    grid = run.grid
    total = time.perf_counter() - started
    return Audit(
        outputs=audit_outputs,
        layers=audit_layers,
        systems=run.collector.systems,
        failures=run.collector.failures,
        warnings=run.warnings(),
        convergence=convergence,
        settings={
            **adapter.description,
            "lmax": int(lmax),
            "estimator": estimator,
            **(
                {
                    "degree": grid.degree,
                    "degree_asked": int(degree) if isinstance(degree, Integral) else "auto",
                    "tolerance": tolerance,
                    "rotations": len(grid),
                    "group": str(grid.group),
                    "lebedev_degree": grid.lebedev_degree,
                    "gammas": grid.gammas,
                }
                if isinstance(grid, Quadrature)
                else {
                    "rotations": len(grid),
                    "group": str(grid.group),
                    "seed": int(seed),
                    "precision": precision,
                    "precision_reached": reached_precision(audit_outputs),
                }
            ),
            "keep": keep,
            "batch_rows": run.batch_rows.rows,
            "batch_rows_asked": batch_rows,
            "max_memory": max_memory,
            "dtype": next((r.dtype for r in (*audit_outputs.values(), *audit_layers.values())), None),
            "inputs": {name: kind.name for name, kind in adapter.inputs.items()},
            "outputs": {name: kind.name for name, kind in adapter.outputs.items()},
            "layers": list(audit_layers),
        },
        environment={**info(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")},
        timings={
            "total": total,
            "model": adapter.model_seconds,
            "rest": total - adapter.model_seconds,
            "evaluations": run.evaluations,
        },
    )


def _check_settings(
    lmax: Any, degree: Any, tolerance: float, keep: Any, batch_rows: Any, batch_bytes: Any, max_memory: Any
) -> None:
    if isinstance(lmax, bool) or not isinstance(lmax, Integral) or lmax < 0:
        fail(ArgumentError, "lmax", "a non-negative integer", repr(lmax))
    if 2 * lmax > MAXIMUM_DEGREE:
        fail(ArgumentError, "lmax", f"at most {MAXIMUM_DEGREE // 2}, half the degree of the finest grid", lmax)
    if degree not in (None, "auto"):
        if isinstance(degree, bool) or not isinstance(degree, Integral):
            fail(ArgumentError, "degree", 'an integer from 0 to 131 or "auto"', repr(degree))
        quadrature(int(degree))
        if degree < 2 * lmax:
            fail(ArgumentError, "degree", f"at least 2 lmax = {2 * lmax}, below which sectors mix", degree)
    if not 0 < tolerance < 1:
        fail(ArgumentError, "tolerance", "a number between 0 and 1", repr(tolerance))
    if keep not in (None, "samples"):
        fail(ArgumentError, "keep", 'None or "samples"', repr(keep))
    for name, value, default in (
        ("batch_rows", batch_rows, "auto"),
        ("batch_bytes", batch_bytes, None),
        ("max_memory", max_memory, None),
    ):
        if value == default:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            fail(ArgumentError, name, f"a positive integer or {default!r}", repr(value))


def _check_estimator(estimator: Any, degree: Any, rotations: Any, precision: Any, seed: Any) -> bool:
    """Whether rotations are drawn at random."""
    if estimator not in ESTIMATORS:
        fail(ArgumentError, "estimator", " or ".join(f'"{name}"' for name in ESTIMATORS), repr(estimator))
    sampled: bool = estimator == "monte-carlo"
    if sampled and degree not in (None, "auto"):
        fail(ArgumentError, "degree", 'none with estimator="monte-carlo", which takes rotations', repr(degree))
    for name, value in (("rotations", rotations), ("precision", precision)):
        if value is not None and not sampled:
            fail(ArgumentError, name, 'None unless estimator="monte-carlo"', repr(value))
    integral = isinstance(rotations, Integral) and not isinstance(rotations, bool)
    if rotations is not None and (not integral or rotations < MINIMUM_ROTATIONS):
        fail(ArgumentError, "rotations", f"an integer of {MINIMUM_ROTATIONS} or more", repr(rotations))
    if precision is not None and not (isinstance(precision, Real) and 0 < precision < 1):
        fail(ArgumentError, "precision", "a number between 0 and 1", repr(precision))
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        fail(ArgumentError, "seed", "a non-negative integer", repr(seed))
    return sampled


@dataclass(frozen=True)
class _Hooked:
    """The modules to listen to, and how their outputs transform where that is known."""

    module: torch.nn.Module
    names: list[str]
    representations: dict[str, Representation]


def _hooked(adapter: Adapter, patterns: Sequence[str], declared: Mapping[str, Representation]) -> _Hooked | None:
    if not patterns:
        return None
    module = adapter.module
    if module is None or isinstance(module, torch.jit.ScriptModule):
        why = getattr(adapter, "unhookable_reason", None) or (
            "the submodules of a TorchScript module cannot be hooked; audit the Python module it was made from"
            if module is not None
            else "a plain callable has no modules"
        )
        has = f"; outputs that can be audited as layers: {', '.join(names)}" if (names := _features(adapter)) else ""
        fail(ArgumentError, "layers", f"no module patterns for this model ({why}{has})", ", ".join(map(repr, patterns)))
    names = matching_modules(module, patterns)
    if both := [name for name in names if name in adapter.outputs]:
        fail(ArgumentError, "layers", "modules that are not called like an output", ", ".join(map(repr, both)))
    modules = dict(module.named_modules())
    found = {name: kind for name in names if (kind := declared_by_module(modules[name])) is not None}
    for pattern, kind in declared.items():
        if pattern in patterns:
            found.update(dict.fromkeys(matching_modules(module, [pattern]), kind))
    return _Hooked(module, names, found)


def _features(adapter: Adapter) -> list[str]:
    return list(getattr(adapter, "available_features", ()))


def _random_devices(module: torch.nn.Module | None) -> list[int]:
    """CUDA devices whose random state the model may advance."""
    if not torch.cuda.is_initialized():
        return []
    tensors = itertools.chain(module.parameters(), module.buffers()) if module is not None else ()
    own = {tensor.device.index for tensor in tensors if tensor.device.type == "cuda"}
    return sorted(own or {torch.cuda.current_device()})


class _Run:
    """One audit in progress: the state of the module is saved on entry and restored on exit."""

    def __init__(
        self,
        adapter: Adapter,
        hooked: _Hooked | None,
        lmax: int,
        keep: str | None,
        batch_rows: int | str,
        batch_bytes: int | None,
        memory: Memory,
        bar: Bar,
    ) -> None:
        self._adapter = adapter
        self._hooked = hooked
        self._lmax = lmax
        self._keep = keep
        self.batch_rows = BatchRows(batch_rows)
        self._batch_bytes = batch_bytes
        self._memory = memory
        self._bar = bar
        self._stack = contextlib.ExitStack()
        self._capture: Capture | None = None
        self._kinds = hooked.representations if hooked is not None else {}
        self._skipped: dict[str, str] = {}
        self._notes: list[str] = []
        self.evaluations = 0

    def __enter__(self) -> _Run:
        module = self._adapter.module
        self._stack.enter_context(torch.random.fork_rng(devices=_random_devices(module)))
        if module is not None and not isinstance(module, torch.jit.ScriptModule):
            if module.training:
                self._notes.append("the model was in train mode; it was audited in eval mode and put back")
            for part in module.modules():
                self._stack.callback(setattr, part, "training", part.training)
            module.eval()
        if self._hooked is not None:
            self._adapter.hooked()
            self._capture = self._stack.enter_context(Capture(self._hooked.module, self._hooked.names))
        if torch.cuda.is_available() and torch.backends.cuda.matmul.allow_tf32:
            self._notes.append("TF32 matrix products are on: errors near 1e-3 may be their round-off")
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def fixed(self, degree: int) -> list[dict[str, Any]]:
        """The whole data set on one grid."""
        self._open(quadrature(int(degree)))
        self._evaluate(self._adapter.systems(), self._adapter.count)
        return [self._entry(change=None)]

    def automatic(self, tolerance: float) -> list[dict[str, Any]]:
        """Raise the degree on the first systems until nothing asked for changes; then the whole data set.

        A change from one degree to the next within the tolerance says that the lower one sufficed: the data set is
        run there, unless the first systems are all there is, whose better numbers are at hand. The first systems are
        not run again. Nothing passes from one degree to the next: a ring of twice as many angles holds the angles of
        the smaller one, but no Lebedev rule holds the points of another.
        """
        stream = self._adapter.systems()
        pilot = list(itertools.islice(stream, PILOT_SYSTEMS))
        further = next(stream, None)
        degree = max(2 * self._lmax, MINIMUM_DEGREE)
        entries: list[dict[str, Any]] = []
        previous = None
        while True:
            coarser = None if previous is None else (self.grid, self.collector)
            self._open(quadrature(degree))
            self._evaluate(iter(pilot), len(pilot))
            found = self.collector.results()
            moved = None if previous is None else change(previous, found)
            entries.append(self._entry(change=moved))
            if moved is not None and moved <= tolerance:
                if further is not None and coarser is not None:
                    self.grid, self.collector = coarser
                break
            if negligible(found, tolerance):
                break
            following = next_degree(degree)
            if following > max(MAXIMUM_AUTO_DEGREE, 2 * self._lmax):
                if moved is None:
                    self._notes.append(f"degree {degree} is the only one that was tried: ask for a higher degree")
                break
            previous, degree = found, following
        if further is not None:
            count = self._adapter.count
            self._evaluate(itertools.chain([further], stream), None if count is None else count - len(pilot))
        return entries

    def sampled(self, rotations: int, precision: float | None, seed: int) -> list[dict[str, Any]]:
        """Random rotations, as many as the first systems need for the precision; then the rest of the data set."""
        stream = self._adapter.systems()
        pilot = list(itertools.islice(stream, PILOT_SYSTEMS))
        entries: list[dict[str, Any]] = []
        done, n = 0, rotations if precision is None or not self._adapter.outputs else MINIMUM_ROTATIONS
        self._open(RandomRotations(n, seed))
        while True:
            self._evaluate(iter(pilot), len(pilot), first=done)
            reached = reached_precision(self.collector.results()[0])
            entries.append(self._entry(precision=reached))
            if n == rotations or reached is None or precision is None or reached <= precision:
                break
            done, n = n, min(2 * n, rotations)
            self.grid = RandomRotations(n, seed)
            left = self.collector.reopen(self.grid)
            pilot = [system for system in pilot if system.name in left]
        self.collector.settle()
        count = self._adapter.count
        self._evaluate(stream, None if count is None else max(count - PILOT_SYSTEMS, 0))
        return entries

    def _open(self, grid: Quadrature | RandomRotations) -> None:
        self.grid = grid
        self.collector = Collector(self._adapter, grid, self._lmax, keep=self._keep, layer_representations=self._kinds)
        self._memory.statistics = self.collector.nbytes

    def _evaluate(self, systems: Iterator[System], count: int | None, *, first: int = 0) -> None:
        """Hand further systems, on the elements from `first` on, to the collector that is open."""
        drive = Drive(
            self._adapter,
            self.grid,
            first=first,
            systems=systems,
            capture=self._capture,
            layer_representations=self._kinds,
            batch_rows=self.batch_rows,
            batch_bytes=self._batch_bytes,
            memory=self._memory,
        )
        with self._bar(len(self.grid) - first, count) as advance:
            self.collector.consume(drive, advance)
        self.evaluations += drive.evaluations
        self._skipped |= drive.layers.skipped

    def _entry(self, **judged: float | None) -> dict[str, Any]:
        outputs, layers = self.collector.results()
        return {
            "degree": self.grid.degree,
            "rotations": len(self.grid),
            **judged,
            "variance": {name: output.rmse**2 for name, output in outputs.items()},
            "power": {name: r.pooled_power.tolist() for name, r in {**layers, **outputs}.items()},
        }

    def warnings(self) -> list[str]:
        skipped = [f"layer {name} was left out: {reason}" for name, reason in self._skipped.items()]
        return [*self._notes, *skipped]
