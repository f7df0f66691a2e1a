"""Several audits beside each other: what they share, how it differs, and what cannot be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ArgumentError, DTypeError, fail
from .data import AuditData, Output, widest
from .paired import Difference, paired, shared_systems

SETTINGS = (
    "model", "data", "group", "estimator", "lmax", "degree", "rotations", "seed", "shift", "dtype", "computes_in",
    "device",
)  # fmt: skip
"""What is told of each audit, where they differ in it."""

LISTED = 3
"""Names in a note before the rest is only counted."""


@dataclass
class ComparisonData:
    """The numbers of a comparison. The first audit is the baseline of all differences."""

    audits: Mapping[str, AuditData]
    differences: dict[str, dict[str, Difference]] = field(default_factory=dict)
    """By output, then by the name of the audit."""
    layers: list[str] = field(default_factory=list)
    """That all audits have, in order of execution; none where the groups differ."""
    notes: list[str] = field(default_factory=list)
    """What is not compared, and why."""

    @property
    def baseline(self) -> str:
        """The name of the first."""
        return next(iter(self.audits))

    @property
    def outputs(self) -> list[str]:
        """That any audit has, in the order in which they are met."""
        return [name for name in self.listed if any(name in audit.outputs for audit in self.audits.values())]

    @property
    def listed(self) -> list[str]:
        """That any audit was asked for, those too that none has."""
        return list(dict.fromkeys(name for audit in self.audits.values() for name in audit.listed))

    @property
    def shared(self) -> list[str]:
        """Outputs that all audits have."""
        return [name for name in self.outputs if all(name in audit.outputs for audit in self.audits.values())]

    @property
    def steps(self) -> list[float] | None:
        """The one number in the name of each audit, of checkpoints; None where names hold none, or the same twice."""
        found = [re.findall(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", name) for name in self.audits]
        if any(len(numbers) != 1 for numbers in found):
            return None
        steps = [float(numbers[0]) for numbers in found]
        return steps if len(set(steps)) == len(steps) else None

    def differing(self) -> dict[str, list[Any]]:
        """Settings in which the audits differ, one value for each."""
        values = {key: [audit.settings.get(key) for audit in self.audits.values()] for key in SETTINGS}
        return {key: found for key, found in values.items() if any(value != found[0] for value in found)}


def contrast(audits: Mapping[str, AuditData]) -> ComparisonData:
    """What `audits` share, compared; the rest in notes. Refused where there is nothing that two of them share."""
    _check(audits)
    found = ComparisonData(audits)
    first, *others = audits.items()
    same_group = _same_group(found)
    for name in found.listed:
        asked = [audit for audit, result in audits.items() if name in result.listed]
        if len(asked) < len(audits):
            found.notes.append(f"`{name}` is an output of {_listing(asked)} alone")
        having = [audit for audit in asked if name in audits[audit].outputs]
        if first[0] not in having or not same_group:
            continue
        for other, result in others:
            if other in having and _alike(found, name, other):
                _add(found, name, other, result)
    if same_group:
        found.layers = _shared_layers(found)
    shared = [name for name in found.outputs if sum(name in result.outputs for result in audits.values()) > 1]
    if not shared and not found.layers:
        had = "; ".join(f"{name}: {', '.join([*r.outputs, *r.layers]) or 'nothing'}" for name, r in audits.items())
        fail(ArgumentError, "audits", "audits that share an output, or a layer on the same group", had)
    _note_partial(found)
    return found


def _check(audits: Mapping[str, AuditData]) -> None:
    if not isinstance(audits, Mapping):
        fail(DTypeError, "audits", "a dict from a name to an Audit", type(audits).__name__)
    if len(audits) < 2:
        fail(ArgumentError, "audits", "two audits or more", len(audits))
    for name, audit in audits.items():
        if not isinstance(name, str) or not name:
            fail(DTypeError, "audits", "names that are strings", repr(name))
        if not isinstance(audit, AuditData):
            fail(DTypeError, f"audits[{name!r}]", "an Audit", type(audit).__name__)


def _same_group(found: ComparisonData) -> bool:
    groups = {name: _group(audit) for name, audit in found.audits.items()}
    if len(set(groups.values())) == 1:
        return True
    told = ", ".join(f"{name}: {group}" for name, group in groups.items())
    found.notes.append(
        f"the groups differ ({told}): each error is the distance from its own symmetry, so errors stand beside each "
        "other and no difference is taken; irreps are not compared"
    )
    return False


def _group(audit: AuditData) -> str:
    return widest(spectrum for _, spectrum in audit.results()).group


def _alike(found: ComparisonData, name: str, other: str) -> bool:
    """Whether an output means the same in the baseline and in another audit."""
    own, its = (found.audits[key].outputs[name] for key in (found.baseline, other))
    if own.representation != its.representation:
        kinds = f"{own.representation} in {found.baseline}, {its.representation} in {other}"
        found.notes.append(f"`{name}` is declared as {kinds}: no difference is taken")
        return False
    if own.unit != its.unit:
        return _units(found, name, other, own, its)
    return True


def _units(found: ComparisonData, name: str, other: str, own: Output, its: Output) -> bool:
    if own.unit and its.unit:
        units = f"{own.unit} in {found.baseline}, in {its.unit} in {other}"
        found.notes.append(f"`{name}` is in {units}: no difference is taken")
        return False
    stated, silent = (found.baseline, other) if own.unit else (other, found.baseline)
    found.notes.append(
        f"{silent} states no unit of `{name}`: it is taken to be that of {stated}, {own.unit or its.unit}"
    )
    return True


def _add(found: ComparisonData, name: str, other: str, result: AuditData) -> None:
    baseline = found.audits[found.baseline]
    systems = shared_systems([baseline, result], name)
    count = len({row.name for audit in (baseline, result) for row in audit.systems if name in row.outputs})
    if not systems:
        found.notes.append(f"`{name}`: {found.baseline} and {other} share no system by name and size")
        return
    if len(systems) < count:
        note = f"`{name}`: {other} and {found.baseline} are compared on the {len(systems)} systems that both have"
        found.notes.append(f"{note}, of {count}")
    found.differences.setdefault(name, {})[other] = paired(baseline, result, name, systems)


def _shared_layers(found: ComparisonData) -> list[str]:
    results = list(found.audits.values())
    every = list(dict.fromkeys(name for result in results for name in result.layers))
    shared = [name for name in every if all(name in result.layers for result in results)]
    if left := [name for name in every if name not in shared]:
        found.notes.append(f"{len(left)} of {len(every)} layers are not in every audit: {_listing(left)}")
    lmax = {widest(spectrum for _, spectrum in result.results()).lmax for result in results}
    if len(lmax) > 1:
        found.notes.append(f"spectra are compared up to lmax {min(lmax)}, the lowest")
    return shared


def _note_partial(found: ComparisonData) -> None:
    for name, result in found.audits.items():
        found.notes += [f"`{output}` was not measured in {name}: {why}" for output, why in result.unmeasured.items()]
        if stopped := result.settings.get("stopped_after"):
            found.notes.append(f"{name} was stopped after {stopped}")


def _listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(f"`{name}`" for name in names[:LISTED]) + more
