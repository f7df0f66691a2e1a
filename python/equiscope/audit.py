"""The audit: drives a model over the orbits of its inputs and reduces what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .adapters.base import Adapter, Request
from .adapters.framed import Framed, in_frames
from .adapters.labels import Labels
from .adapters.registry import select_adapter
from .errors import ArgumentError, fail
from .groups.group import Group
from .groups.representation import Representation
from .groups.so2 import SO2
from .interrupts import Terminated
from .measure.measure import Measure
from .patterns import stem
from .probe.batch import BatchRows
from .probe.declared import declared_by_module
from .probe.masks import PADDING
from .probe.memory import Memory
from .probe.names import apart, matching_places, modules_by_name, split
from .probe.session import Hooked, Session
from .probe.witness import Witness
from .progress import progress_bar
from .ranks import Ranks, ranks
from .report import Audit
from .result.place import check_writable
from .settings import Settings
from .task import Task, is_hookable


def audit(
    model: Any,
    data: Any,
    *,
    inputs: Mapping[str, Any] | str | None = None,
    outputs: Mapping[str, Any] | Sequence[str] | str | None = None,
    targets: Mapping[str, Any] | None = None,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    group: str | Group = "O3",
    lmax: int | None = 8,
    degree: int | str | None = None,
    tolerance: float = 1e-2,
    estimator: str | Measure = "quadrature",
    rotations: int | None = None,
    precision: float | None = None,
    precision_of_model: torch.dtype | None = None,
    seed: int = 0,
    shift: str | None = "system",
    keep: str | None = None,
    batching: Any = None,
    call: Any = None,
    grad: bool | None = None,
    masks: Mapping[str, str] | str | None = None,
    batch_rows: int | str = "auto",
    batch_bytes: int | None = None,
    max_memory: int | None = None,
    basis: str | None = None,
    layout: str = "mul_ir",
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    progress: bool | None = None,
    out: str | Path | None = None,
    formats: Sequence[str] = ("png",),
    units: Mapping[str, str] | None = None,
    reference_rmse: Mapping[str, float] | None = None,
    resume: bool = False,
    distributed: bool | None = None,
) -> Audit:
    """Symmetry audit of `model` on `data`: equivariance errors of outputs, irrep spectra of outputs and layers.

    Every system is brought to every element g of a grid on a group, by default O(3), and the model is evaluated on all
    copies. For an output with representation rho, ``z(g) = rho(g)^-1 f(g x)`` has mean Pi (the symmetrised output) and
    variance A, 0 exactly for an equivariant model. Outputs and hidden layers are projected onto the irreps
    of the group, for O(3) B_(l, sigma), which sum with `unresolved` to ``int |f(g x)|^2 dg``. Definitions:
    arXiv 2603.24638.

    Args:
        model: a `torch.nn.Module` or another callable; a metatomic `AtomisticModel` or the path of one; a calculator of
            ASE, or what makes one for every copy: its class, or a function without arguments.
        data: for a plain module an iterable of systems without batch axis, each a dict of tensors (keyword arguments),
            a tensor or a tuple (positional), an object that holds tensors (PyG `Data`, a dataclass, a TensorDict), or a
            pair ``(name, system)``. NumPy arrays are handed to a module as tensors, to another callable as arrays. A
            PyG `Batch` is taken apart, a DataLoader of other batches refused. For any model also structures: a file
            that ASE reads, an npz file, ASE atoms, metatomic systems, or a list of them; a plain model is given of
            these what its parameters ask for by name, or ASE atoms.
        inputs: representation per input name: "vector", "pseudovector", "tensor", "voigt", "scalar",
            "pseudoscalar", "invariant", an Irreps string such as "8x0e+4x1o", a sum such as "scalar+vector", or slices
            of an axis, ``{"vector": slice(1, 4)}``; all kinds are in docs/representations.md. Where components are not
            in the last axis, ``Representation.parse("vector", axis=-2)``. Names inside nested containers are joined by
            dots. Undeclared inputs are invariant; an undeclared floating-point input whose last axis is 3 is
            refused, and so is an audit in which no input rotates.
        outputs: likewise per output; for a metatomic model or a calculator a list of names is enough, and None takes
            all whose representation is known; in a dict None leaves a representation to these.
        targets: what outputs ought to be, of labelled data: a dict from output to the key of the label in each system,
            ``{"energy": "y"}``, which is then taken out of systems that are dicts, or to the labels themselves, one per
            system in order, or a dict by the names of systems. Each label has the layout of the output for its system.
            Labels transform exactly, so that their irreps are known without a model call: ``outputs[name].target`` has
            the power of target, prediction and error in each, and the split of the mean square error into that of the
            symmetrised model and A. ``reference_rmse`` is then measured.
        layers: glob patterns on qualified module names (``*`` stays within one level, ``**`` crosses levels): what
            they return. ``block.*:input`` is what they are given, ``block.*:relu`` what calls of that function of torch
            in their forwards return, ``block.*:*`` those of any function of torch.nn.functional. For metatomic models
            also names of unlabelled outputs such as "feature". A dict from pattern to representation (or None) declares
            how layers transform; e3nn modules say it themselves. A layer whose representation is known gets an
            equivariance error as well. A module that is called again, or returns several tensors, gives ``name#2``,
            ``name[0]``, ``name['x']``; one that cannot be heard or read is named in ``warnings`` with the reason. What
            torch.compile made runs as it was written while layers are heard. More in docs/layers.md.
        group: what the model should respect: "O3" (rotations and inversion), "SO3" (rotations alone: then nothing is
            said of parity, and labels are l without sigma), "SO2" and "O2" (about z, without and with mirror planes;
            labels are m), or an `equiscope.groups.Group`, such as ``SO2(axis=(1, 0, 0))``.
        lmax: highest l resolved, 0..65. None: the errors of outputs are what is asked. Then low degrees will do: "auto"
            begins at degree 6, 364 elements, in place of 3740 at the default lmax of 8, and judges the errors
            alone; the spectrum is shown up to half of the degree, and only its own error bars say what it is worth.
        degree: degree of the grid, 2 lmax..131; results are exact where the product of two matrix elements stays
            within it. "auto", which None means for a grid, begins at 2 lmax and judges every system by itself: one
            whose errors are larger than `tolerance` is evaluated again at the next degree, up to 41. The first two
            systems are evaluated at two degrees whatever they say, which shows how far their stated errors are true.
            ``settings["degrees"]`` says how many systems ran at which degree, ``settings["unsettled"]`` how many
            had not settled.
        tolerance: relative, for "auto": half width of the RMSE of a system over that RMSE, or over the pooled one where
            that is larger; and of the power in an irrep over all the power outside the strongest one.
        estimator: "quadrature", or "monte-carlo" for models too dear for a grid: independent uniformly random elements
            of the group, others for every system. All estimates are unbiased (so B can come out negative). A needs few
            elements. B of degree l is known to about ``sqrt(2) (2l+1) / n`` of what an output breaks of its symmetry,
            or of what a layer varies.
            Or an `equiscope.measure.Measure`.
        rotations: number n of random elements, 32 or more (default 1024); with `precision` the most that are taken.
        precision: relative standard error of the RMSE at which sampling stops, between 0 and 1. The first systems
            are sampled until every output has reached it or lies within noise, n doubling from 32 and each orbit going
            on where it was; the other systems take the same n. Stopping by what was seen biases A, by a fraction of its
            standard error. Without declared outputs n is `rotations`.
        precision_of_model: dtype that the model computes in, where it cannot be seen: in code outside of torch that
            works in less than the dtype it takes. The noise floor is measured for rounding to it. By default it is that
            of the inputs, or any coarser one that rotated copies pass through on their way.
        seed: of the random elements, and of the turns of grids, >= 0. The global random state is left alone.
        shift: "system" turns the grid of every system by its own random pair of elements, g -> h1 g h2, drawn from
            `seed`, the name of the system and the degree. What a grid resolves is the same for every pair; what it does
            not resolve depends on how its points lie to the axes of the data, which are seldom at random. None: the
            bare grid for all systems, as other programs take it, whose errors are then not independent.
        keep: "samples" keeps arrays per sample and channel; the default keeps pooled numbers and a row per system.
        batching: "stack" (default: a new leading axis of copies), "concat" (rows joined, `batch` passed), an
            `equiscope.Concat` that says which inputs are indices or belong to the system, "loop" (one call per copy),
            or a callable from the list of rotated systems to the model's argument. PyG `Data` are collated by PyG.
        call: how the model is called, where its signature does not say it: the name of a method ("encode"), or a
            function of the model and what it would be called with, ``lambda model, batch: model(batch, forces=True)``.
            By default a dict gives keyword arguments, those that the model takes, or is the one argument of a model
            that takes one; an object is the one argument, or gives the attributes that the model asks for by name.
            Layers are heard in `model`, whatever `call` does.
        grad: whether the model is called with gradients recorded, as one that derives forces from its energy must be.
            None: if it turns out to differentiate. No graph outlives its batch.
        masks: which rows of padded values are real: the name of an input (n,) that is true or 1 there ("~name" where it
            is true for padding), for all inputs, outputs and layers that have such rows; or a dict to it from their
            names, or patterns of them, where it may also name a tensor inside the model, for layers alone:
            ``{"encoder.**": "encoder:input['mask']"}``. Rows of padding are left out before anything is compared or
            counted, and may hold NaN. A mask by which what is filled up is real is refused. None: an input called a
            mask, if what rotates is 0 exactly where it says so; an empty dict: none. ``settings["masks"]`` says what
            was used.
        batch_rows, batch_bytes: a batch holds rotations of one system, or all of several that follow one another, up to
            these. "auto" times the first batches at several sizes; ``settings["batch_rows"]`` says which one was taken.
        max_memory: bytes that statistics and one batch may take together. Batches are filled no further, and lmax or
            layers that cannot fit are refused. On the CPU the working memory of the model itself is not seen. The
            default is what the machine has: a batch that does not fit there is halved.
        basis: of Irreps strings: "standard" (l = 1 is y, z, x) or "e3nn" (l = 1 is x, y, z). The two differ by a
            permutation that no result would show, so strings with l >= 1 are refused without it. For one key alone
            give ``Representation.parse("1x0e+1x1o", basis="e3nn")``.
        layout: of Irreps strings, "mul_ir" or "ir_mul".
        dtype, device: data are brought there; the default leaves them.
        progress: show a progress bar; by default only on a terminal.
        out: directory into which the result is saved, as by `Audit.save`; refused at once when it cannot be written.
            What has finished is written there at once: whatever ends the run leaves a valid audit of the systems that
            had ended, which `Audit.load` reads and which says so. A directory in which another run is going on, or
            stopped, is refused.
        formats: of the pictures there, of "png", "pdf" and "svg".
        units: of outputs, ``{"energy": "eV"}``, for table, page and pictures. A metatomic model states its own.
        reference_rmse: error of the model against its reference by output, in the same unit: the error of symmetry is
            then also given as a share of it.
        resume: go on with the run that was stopped in `out`, from the systems that had ended there; refused where
            model, systems, settings or versions are others. Begins a new run where there is none.
        distributed: in a process group of torch.distributed all processes share the systems, each of which must call
            this alike; with False this process does it alone. More in docs/scale.md.

    Returns:
        `Audit`, the same in all processes, with ``outputs[name]`` and ``layers[name]``; ``print`` it or ``save`` it.
        ``outputs[name].verdict`` is the one word that its numbers amount to. RMSE, powers and unresolved power have
        errors, half widths that hold the truth in 95 of 100 cases (``rmse_error``, ``power_error``,
        ``unresolved_error``); ``errors_assumed`` says whether these rest on one grid for some system.

    Raises:
        ArgumentError, ShapeError, DTypeError, DeviceError, DataError: before any model call where the input alone
            decides, naming the argument, what was expected and what came.
        MemoryLimitError: statistics and one copy do not fit into `max_memory`, or into what the device has.
        ModelError: copies of a batch see each other, every system failed, or the model runs with another `batching`
            alone. Where it raised at every system otherwise, its first error as it was, with a note of its arguments.

    Statistics are accumulated in float64, centred; the result does not depend on the batch size beyond the round-off
    of the model. Memory does not grow with the number of rotations or systems. An error that the model raises stops
    that system alone, and NaN or infinity in an output or layer leaves that one without the system; where no output is
    finite the system stops. Both are recorded in ``failures``, with the rotation. An output that some systems do not
    have is measured on the others, and ``warnings`` says on how many. Train mode, random state and hooks are restored.
    """
    request = Request(
        inputs=inputs, outputs=outputs, layers=layers, batching=batching, call=call, grad=grad, masks=masks,
        basis=basis, layout=layout, dtype=dtype, device=device, labels=Labels(targets, data),
    )  # fmt: skip
    settings = Settings(
        group=group, lmax=lmax, degree=degree, tolerance=tolerance, estimator=estimator, rotations=rotations,
        precision=precision, precision_of_model=precision_of_model, seed=seed, shift=shift, keep=keep,
        batch_rows=batch_rows, batch_bytes=batch_bytes, max_memory=max_memory, progress=progress, out=out,
        formats=formats, units=units, reference_rmse=reference_rmse, resume=resume, distributed=distributed,
    )  # fmt: skip
    return run(model, data, request, settings)


def run(model: Any, data: Any, request: Request, asked: Settings, witness: Witness | None = None) -> Audit:
    """The audit of what was asked; `witness` sees all values."""
    # what sees all values has to be where they are
    processes = ranks(asked.distributed if witness is None else False)
    try:
        return _task(model, data, request, asked, witness, processes).run()
    except BaseException as error:
        processes.fail(error)
        if isinstance(error, KeyboardInterrupt | Terminated) and asked.out is not None:
            # it says what is left; where in the model each process met it says nothing
            raise error.with_traceback(None) from None
        raise


def _task(model: Any, data: Any, request: Request, asked: Settings, witness: Witness | None, processes: Ranks) -> Task:
    """Refuses what cannot be audited, before any model call."""
    asked.check()
    if asked.out is not None:
        check_writable(Path(asked.out), "out")
    memory = Memory(asked.max_memory, asked.resolved)
    with memory.explained():
        adapter, patterns = select_adapter(model, data, request)
    if not adapter.outputs and not adapter.features and not patterns:
        fail(ArgumentError, "outputs", "at least one output or layer to audit", "neither outputs nor layers")
    asked.check_outputs(list(adapter.outputs))
    if request.labels is not None:
        request.labels.check(adapter)
    measure = asked.measure(judged=bool(adapter.outputs))
    _check_turns(measure.group, adapter.inputs)
    adapter = in_frames(adapter, measure.group.input, request.layer_kinds)
    session = Session(
        adapter=adapter,
        hooked=_hooked(adapter, patterns, request),
        lmax=asked.resolved,
        keep=asked.keep,
        batch_rows=BatchRows(asked.batch_rows),
        batch_bytes=asked.batch_bytes,
        memory=memory,
        bar=progress_bar(asked.progress),
        group=measure.group,
        seed=int(asked.seed),
        labels=request.labels,
        witness=witness,
        model_dtype=asked.precision_of_model,
    )
    return Task(asked, request, adapter, measure, session, processes)


def _check_turns(group: Group, inputs: Mapping[str, Representation]) -> None:
    """Refuse inputs that turn under O(3) and not under `group`: pseudoscalars alone, under rotations."""
    trivial = group.labels(0)[0]
    for name, kind in inputs.items():
        if kind.keeps_z and not (isinstance(group, SO2) and group.is_about_z):
            fail(
                ArgumentError,
                f"inputs[{name!r}]",
                'a group about the z axis, group="SO2" or "O2", under which alone an azimuth turns by itself (under '
                "others: the components of the vector)",
                f"{kind.name!r} and group {group}",
            )
    turning = [kind for kind in inputs.values() if not kind.is_invariant]
    if any(kind.keeps_z or kind.partial for kind in turning):
        return
    if turning and all(part.label == trivial for kind in turning for part in group.decompose(kind).parts):
        declared = ", ".join(f"{name}: {kind.name}" for name, kind in inputs.items())
        fail(ArgumentError, "inputs", f"at least one input that {group} turns", f"only invariant ones ({declared})")


def _hooked(adapter: Adapter, patterns: Sequence[str], request: Request) -> Hooked | None:
    if not patterns:
        return None
    module = adapter.module
    if module is None or not is_hookable(adapter):
        why = adapter.unhookable_reason or (
            "the submodules of a TorchScript module cannot be hooked; audit the Python module it was made from"
            if module is not None
            else "a plain callable has no modules"
        )
        features = ", ".join(adapter.available_features)
        has = f"; outputs that can be audited as layers: {features}" if features else ""
        fail(ArgumentError, "layers", f"no module patterns for this model ({why}{has})", ", ".join(map(repr, patterns)))
    plain = matching_places(module, patterns)
    names = apart(plain, adapter.outputs)
    if both := [name for name in plain if name in patterns and name not in names]:
        # either could be meant where the name is written out, which stands for the output in all that follows
        ask = ", ".join(map(repr, apart(both, adapter.outputs)))
        fail(ArgumentError, "layers", f"{ask} of what is called like an output", ", ".join(map(repr, both)))
    modules = modules_by_name(module)
    found: dict[str, Representation] = {}
    for name in names:
        found |= declared_by_module(modules[split(stem(name))[0]], name)
    if isinstance(adapter, Framed):
        found = {}
    meant: set[str] = set()
    for pattern, kind in request.layer_kinds.items():
        if pattern in patterns:
            fitting = apart(matching_places(module, [pattern]), adapter.outputs)
            found.update(dict.fromkeys(fitting, kind))
            meant |= set(fitting) if pattern in request.meant else set()
    for mask in request.inner_masks.values():
        matching_places(module, [stem(mask.removeprefix(PADDING))])
    return Hooked(module, names, found, frozenset(meant), frozenset(patterns), request.inner_masks)
