"""The audit: drives a model over the orbits of its inputs and reduces what comes back."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .adapters.base import Adapter, Request
from .adapters.registry import select_adapter
from .errors import ArgumentError, ModelError, fail
from .groups.group import Group
from .groups.representation import Representation
from .info import info
from .measure.measure import Measure
from .probe.batch import BatchRows
from .probe.declared import declared_by_module
from .probe.hooks import matching_modules, modules_by_name
from .probe.memory import Memory
from .probe.session import Hooked, Session
from .progress import progress_bar
from .report import Audit
from .result.place import check_writable
from .settings import Settings


def audit(
    model: Any,
    data: Any,
    *,
    inputs: Mapping[str, Any] | str | None = None,
    outputs: Mapping[str, Any] | Sequence[str] | str | None = None,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    group: str | Group = "O3",
    lmax: int = 8,
    degree: int | str | None = None,
    tolerance: float = 1e-2,
    estimator: str | Measure = "quadrature",
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

    Every system is brought to every element g of a grid on a group, by default O(3), and the model is evaluated on all
    copies. For an output with representation rho, ``z(g) = rho(g)^-1 f(g x)`` has mean Pi (the symmetrised output) and
    variance A, 0 exactly for an equivariant model. Outputs and hidden layers are projected onto the irreps
    of the group, for O(3) B_(l, sigma), which sum with `unresolved` to ``int |f(g x)|^2 dg``. Definitions:
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
            representation is known gets an equivariance error as well. A module that is called again, or returns
            several tensors, gives ``name#2``, ``name[0]``, ``name['x']``; one that cannot be heard or read is named in
            ``warnings`` with the reason.
        group: what the model should respect: "O3" (rotations and inversion), "SO3" (rotations alone: then nothing is
            said of parity, and labels are l without sigma), or an `equiscope.groups.Group`.
        lmax: highest l resolved, 0..65. Where only errors are of interest, 0 lets "auto" start from degree 6, 364
            elements, in place of 2 lmax (3740 at the default).
        degree: degree of the grid, 2 lmax..131; results are exact where the product of two matrix elements stays
            within it. "auto" (also None) raises it from 2 lmax until all that is asked for changes by less than
            `tolerance`.
        tolerance: relative, for "auto".
        estimator: "quadrature", or "monte-carlo" for models too dear for a grid: independent uniformly random elements
            of the group, others for every system. All estimates are unbiased (so B can come out negative) and each RMSE
            comes with its standard error. A needs few elements. B of degree l is known to about
            ``sqrt(2) (2l+1) / n`` of what an output breaks of its symmetry, or of what a layer varies.
            Or an `equiscope.measure.Measure`.
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
        out: directory into which the result is saved, as by `Audit.save`; refused at once when it cannot be written.

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
    request = Request(
        inputs=inputs,
        outputs=outputs,
        layers=layers,
        batching=batching,
        basis=basis,
        layout=layout,
        dtype=dtype,
        device=device,
    )
    settings = Settings(
        group=group,
        lmax=lmax,
        degree=degree,
        tolerance=tolerance,
        estimator=estimator,
        rotations=rotations,
        precision=precision,
        seed=seed,
        keep=keep,
        batch_rows=batch_rows,
        batch_bytes=batch_bytes,
        max_memory=max_memory,
        progress=progress,
        out=out,
    )
    return _audit(model, data, request, settings)


def _audit(model: Any, data: Any, request: Request, asked: Settings) -> Audit:
    started = time.perf_counter()
    asked.check()
    if asked.out is not None:
        check_writable(Path(asked.out))
    memory = Memory(asked.max_memory, int(asked.lmax))
    with memory.explained():
        adapter, patterns = select_adapter(model, data, request)
    if not adapter.outputs and not adapter.features and not patterns:
        fail(ArgumentError, "outputs", "at least one output or layer to audit", "neither outputs nor layers")
    session = Session(
        adapter=adapter,
        hooked=_hooked(adapter, patterns, request.layer_kinds),
        lmax=int(asked.lmax),
        keep=asked.keep,
        batch_rows=BatchRows(asked.batch_rows),
        batch_bytes=asked.batch_bytes,
        memory=memory,
        bar=progress_bar(asked.progress),
    )
    # tensors made in inference mode are kept by caches, and could never be differentiated
    with memory.explained(), session, torch.inference_mode(False), torch.no_grad():
        convergence = session.run(asked.measure(judged=bool(adapter.outputs)))
    result = _result(asked, session, convergence, time.perf_counter() - started)
    if asked.out is not None:
        result.save(asked.out)
    return result


def _hooked(adapter: Adapter, patterns: Sequence[str], declared: Mapping[str, Representation]) -> Hooked | None:
    if not patterns:
        return None
    module = adapter.module
    if module is None or isinstance(module, torch.jit.ScriptModule):
        why = adapter.unhookable_reason or (
            "the submodules of a TorchScript module cannot be hooked; audit the Python module it was made from"
            if module is not None
            else "a plain callable has no modules"
        )
        features = ", ".join(adapter.available_features)
        has = f"; outputs that can be audited as layers: {features}" if features else ""
        fail(ArgumentError, "layers", f"no module patterns for this model ({why}{has})", ", ".join(map(repr, patterns)))
    names = matching_modules(module, patterns)
    if both := [name for name in names if name in adapter.outputs]:
        fail(ArgumentError, "layers", "modules that are not called like an output", ", ".join(map(repr, both)))
    modules = modules_by_name(module)
    found = {name: kind for name in names if (kind := declared_by_module(modules[name])) is not None}
    for pattern, kind in declared.items():
        if pattern in patterns:
            found.update(dict.fromkeys(matching_modules(module, [pattern]), kind))
    return Hooked(module, names, found)


def _result(asked: Settings, session: Session, convergence: list[dict[str, Any]], total: float) -> Audit:
    collector, adapter = session.collector, session.adapter
    outputs, layers = collector.results()
    if not collector.systems:
        reasons = "; ".join(f"{f.system}: {f.where}: {f.reason}" for f in collector.failures[:5])
        raise ModelError(f"model: expected finite values for at least one system, got none ({reasons})")
    return Audit(
        outputs=outputs,
        layers=layers,
        systems=collector.systems,
        failures=collector.failures,
        warnings=session.warnings(),
        convergence=convergence,
        settings={
            **adapter.description,
            "lmax": int(asked.lmax),
            "estimator": session.measure.name,
            **session.measure.settings(outputs),
            "keep": asked.keep,
            "batch_rows": session.batch_rows.rows,
            "batch_rows_asked": asked.batch_rows,
            "max_memory": asked.max_memory,
            "dtype": next((r.dtype for r in (*outputs.values(), *layers.values())), None),
            "inputs": {name: kind.name for name, kind in adapter.inputs.items()},
            "outputs": {name: kind.name for name, kind in adapter.outputs.items()},
            "layers": list(layers),
        },
        environment={**info(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")},
        timings={
            "total": total,
            "model": adapter.model_seconds,
            "rest": total - adapter.model_seconds,
            "evaluations": session.evaluations,
        },
    )
