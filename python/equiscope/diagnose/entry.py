"""`equiscope.diagnose`: an audit that keeps what can be read from its layers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from ..adapters.base import Request
from ..adapters.labels import Labels
from ..adapters.registry import select_adapter
from ..audit import run
from ..errors import ArgumentError, DataError, DTypeError, fail
from ..groups.group import Group
from ..groups.registry import resolve
from ..settings import Settings
from .diagnosis import Diagnosis
from .readings import Readings
from .reduction import sectors
from .ridge import FOLDS

FEWEST = 2 * FOLDS
"""Groups of systems: less than two in a fold say nothing."""


def diagnose(
    model: Any,
    data: Any,
    *,
    inputs: Mapping[str, Any] | str | None = None,
    outputs: Mapping[str, Any] | Sequence[str] | str | None = None,
    targets: Mapping[str, Any],
    layers: str | Sequence[str] | Mapping[str, Any] = "*",
    groups: Sequence[Hashable] | Mapping[str, Hashable] | None = None,
    group: str | Group = "O3",
    lmax: int = 2,
    degree: int | None = None,
    seed: int = 0,
    **asked: Any,
) -> Diagnosis:
    """Which sectors of its targets a model fails to produce, and where in the network they are lost.

    The labels of a target have power in the irreps of its representation. For each of these, and each layer, two shares
    of the target are measured, 1 for all of it and 0 for none:

    - `linear`: what a linear readout of the layer explains at random orientations, as the readout of the model would;
    - `symmetrised`: what such a readout explains when its predictions are averaged over orientations: what is in the
      layer's coefficients of that irrep, with whatever else is there averaged away.

    Both are of systems that were not fitted (ridge regression, `FOLDS` parts, each predicted from the others), and of
    whole orbits, which are averaged on the grid and never split. `control` is the most that is read so of targets that
    belong to other systems, `planted` what is read of targets made of the layer's own features: nothing is read from
    nothing, and nothing is said to be missing that so few systems could not show. Definitions: docs/diagnose.md.

    Args:
        model, data, inputs, outputs, group: as for `equiscope.audit`.
        targets: as for `equiscope.audit`: by output the key of its labels, or the labels.
        layers: as for `equiscope.audit`; all modules at the top by default.
        groups: what must not be split between parts: of each system, in order or by name, the molecule or event that it
            is a conformation or a piece of. By default every system stands for itself.
        lmax: at least the degree of the targets.
        degree: of the grid, 2 lmax or more; None: 2 lmax + 2.
        seed: of grids and controls.
        asked: further keywords of `equiscope.audit`, but for `estimator` and what concerns it.

    Returns:
        `Diagnosis`: print it, ``plot()`` or ``save`` it; ``diagnosis["dipole", (1, 1)].fate`` is the one word.

    Raises:
        ArgumentError, DataError, DTypeError: as `equiscope.audit`; fewer than 10 groups of systems; a target of higher
            degree than lmax.

    Memory grows with systems: K (2l + 1)^2 numbers for each of them, layer of K channels, and irrep of a target; time
    with K^3 for each layer.
    """
    for name in ("estimator", "rotations", "precision", "tolerance", "keep"):
        if name in asked:
            fail(ArgumentError, name, "no such keyword: a diagnosis has one grid for all systems", repr(asked[name]))
    labels = Labels(targets, data)
    if not labels:
        fail(ArgumentError, "targets", "labels of at least one output", repr(targets))
    known = Request.__dataclass_fields__
    request = Request(
        inputs=inputs,
        outputs=outputs,
        layers=layers,
        labels=labels,
        **{key: value for key, value in asked.items() if key in known},
    )
    degree = 2 * lmax + 2 if degree is None else degree
    settings = Settings(
        group=group,
        lmax=lmax,
        degree=degree,
        seed=seed,
        **{**_DEFAULTS, **{key: value for key, value in asked.items() if key not in known}},
    )
    settings.check()
    if lmax is None:
        fail(ArgumentError, "lmax", "the highest l of the targets' irreps", lmax)
    adapter, _ = select_adapter(model, data, request)
    labels.check(adapter)
    own = resolve(group)
    kinds = dict(adapter.outputs)
    for name in labels.outputs:
        if kinds[name].degree > lmax:
            fail(ArgumentError, "lmax", f"at least {kinds[name].degree}, the degree of {name!r}", lmax)
    readings = Readings(own, kinds, _member(groups, labels))
    audit = run(adapter, data, request, settings, readings)
    if len(readings.members) < FEWEST:
        fail(DataError, "data", f"at least {FEWEST} groups of systems to compare", len(readings.members))
    counts = {"systems": len(audit.systems), "groups": len(readings.members), "folds": FOLDS}
    told = {**counts, "lmax": lmax, "degree": degree, "group": own.name, "seed": seed}
    return Diagnosis(list(sectors(audit, readings, own, seed)), audit, told)


_DEFAULTS: dict[str, Any] = dict(
    tolerance=1e-2, estimator="quadrature", rotations=None, precision=None, precision_of_model=None, shift="system",
    keep=None, batch_rows="auto", batch_bytes=None, max_memory=None, progress=None, out=None,
)  # fmt: skip


def _member(groups: Any, labels: Labels) -> Any:
    """By the name of a system, what it must not be parted from."""
    if groups is None:
        return lambda system: system
    if isinstance(groups, str) or not isinstance(groups, Mapping | Sequence):
        fail(DTypeError, "groups", "one per system in order, or a dict by name", type(groups).__name__)

    def member(system: str) -> Hashable:
        by_name = isinstance(groups, Mapping)
        place: Any = system if by_name else labels.place(system)
        if not (place in groups if by_name else place < len(groups)):
            fail(DataError, "groups", f"the group of {system!r}", "none")
        found: Hashable = groups[place]
        return found

    return member
