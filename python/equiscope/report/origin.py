"""Where in the network the symmetry is lost: the first layer that breaks its own representation or, in layers
that declare none, the first with power in irreps that nothing before it has."""

from __future__ import annotations

from ..errors import ArgumentError
from ..groups.group import Label
from ..groups.representation import Representation
from ..result.carrier import carrier
from ..result.data import AuditData, Output, Spectrum, widest
from ..result.floor import content, seen_above, unresolved_floor
from ..result.judge import Verdict
from ..result.verdict import error_sectors, targets, uncertain
from .finding import Finding, Severity
from .format import LISTED, listing, number, percent, quote, several, with_error
from .shares import family_share
from .words import group_of, highest, irrep_list

HIGH_L = 4
"""Degree above which content is remarkable: equivariant architectures in common use keep l <= 3 or 4 inside,
and no common target (up to rank-2 tensors, l = 2) needs more."""

HIGH_SHARE = 1e-3
"""Share of power that counts as content at high l: 3 % of the amplitude, so that it matters to what
follows."""

PSEUDO_SHARE = 1e-6
"""Share of power that counts as pseudo content: 0.1 % of the amplitude. Below lie products of small terms
that every unconstrained layer has."""

_EXPLAINED = {"pseudo": ", sigma = -1, as in pseudoscalars and cross products"}
"""What a family of irreps is, for those who do not know it."""

WEAK_SHARE = 1e-2
"""New irreps that hold less than this look like a leak; a layer designed to make them gives them 10 % of its
amplitude or more."""

FAR = 0.1
"""Relative error from which an output is too far off for a leak."""

PART = 0.05
"""Share of the squared error of an output that new irreps hold at the least where they are its leak."""


def origin(audit: AuditData) -> list[Finding]:
    """Statements about where errors, new irreps, pseudo content and high degrees first appear."""
    return [*map(Finding, _where(audit)), *(Finding(text, Severity.NOTE) for text in _advice(audit))]


def _where(audit: AuditData) -> list[str]:
    located = _first_broken(audit)
    if not audit.layers:
        return located
    if audit.sampled:
        return located  # random rotations hide what lies within their scatter: no layer can be said to lack it
    sectors = _first_sectors(audit, bool(located))
    return [*located, *_carriers(audit), *sectors, *_first_pseudo(audit, sectors), *_first_high(audit)]


def _advice(audit: AuditData) -> list[str]:
    """How to see more of where the symmetry is lost."""
    broken = _broken(audit)
    if audit.layers or not broken or not audit.settings.get("hookable", True):
        return []
    return [f'To see where {listing(broken)} {_verb(broken)} the symmetry, audit hidden layers too (`layers="*"`).']


def declared_input_irreps(audit: AuditData) -> set[Label]:
    """The irreps that the inputs carry as declared in the settings; what is not understood adds nothing."""
    group = group_of(widest(spectrum for _, spectrum in audit.results()))
    inputs = audit.settings.get("inputs")
    if group is None or not isinstance(inputs, dict):
        return set()
    irreps: set[Label] = set()
    for declared in inputs.values():
        try:
            parts = group.decompose(Representation.parse(str(declared))).parts
        except ArgumentError:  # of an azimuth too, which is no linear representation
            continue
        irreps |= {part.label for part in parts}
    return irreps


def _broken(audit: AuditData) -> list[str]:
    return [name for name, output in audit.outputs.items() if output.verdict.is_broken and not uncertain(output)]


def _verb(names: list[str]) -> str:
    return "loses" if len(names) == 1 else "lose"


def _closed(spectrum: Spectrum) -> bool:
    """Whether the spectrum ends below lmax, as that of a layer with finitely many irreps does, or where its declaration
    says."""
    if isinstance(spectrum, Output) and spectrum.verdict.is_kept:
        return True
    if spectrum.pooled_unresolved > unresolved_floor(spectrum):
        return False
    chart = spectrum.chart
    return not chart.counts or all(chart.column(label) < len(chart.headings) - 1 for label in content(spectrum))


def _first_broken(audit: AuditData) -> list[str]:
    """Which of the layers that declare a representation breaks it first: with one, the search ends."""
    broken, declared = _broken(audit), [layer for layer in audit.layers.values() if isinstance(layer, Output)]
    exact: list[str] = []
    for layer in declared:
        state = layer.verdict
        if state.is_broken and not uncertain(layer):
            before = f"{listing(exact[-1:])} before it is exact" if exact else "no layer before it declares one"
            return [
                f"{quote(layer.name)} is the first layer that breaks its own representation "
                f"({layer.representation}), by {percent(layer.relative)} of its size (RMSE "
                f"{with_error(layer.rmse, layer.rmse_error)}, noise floor {number(layer.noise_floor)}); {before}."
                + (f" The error of {listing(broken)} starts here or in what feeds it." if broken else "")
            ]
        if state.is_kept:
            exact.append(layer.name)
    if broken and exact:
        return [
            f"All {len(exact)} layers that declare a representation keep it to round-off: the error of "
            f"{listing(broken)} arises after {quote(exact[-1])} or in a layer that declares none."
        ]
    return []


def _carriers(audit: AuditData) -> list[str]:
    """The first layer that carries the irrep in which most of the error of an invariant output lies."""
    found: dict[tuple[str, Label, str | None], list[tuple[str, float]]] = {}
    for name, output in audit.outputs.items():
        if first := carrier(audit, output):
            found.setdefault((first.layer, first.irrep, first.earlier), []).append((name, first.share))
    said = [_carrying(audit.layers[layer], irrep, earlier, errors) for (layer, irrep, earlier), errors in found.items()]
    return _first_few(said, "further layers carry errors of other outputs")


def _carrying(layer: Spectrum, irrep: Label, earlier: str | None, errors: list[tuple[str, float]]) -> str:
    shares = several([f"{percent(share)} of the squared error of {quote(name)}" for name, share in errors])
    where, block = irrep_list(layer.chart, {irrep}), (earlier or layer.name).partition(".")[0]
    pattern = f"{block}.**" if block != (earlier or layer.name) else block
    return (
        f"{quote(layer.name)} is the first audited layer that carries {where}, in which {shares} "
        f"{'lies' if len(errors) == 1 else 'lie'}"
        + (f"; {quote(earlier)} before it is the first that is not invariant" if earlier else "")
        + ". That is no fault where layers are meant to hold more than invariants; where they are not, "
        f'`layers={{"{pattern}": "scalar"}}` tells at which one exactness is lost.'
    )


def _first_sectors(audit: AuditData, located: bool) -> list[str]:
    """Where irreps enter that no earlier layer has: the only trace of a leak in undeclared layers."""
    broken = _broken(audit)
    # of what is not as declared the declaration is the likelier cause
    leaking = [name for name in broken if audit.outputs[name].verdict is Verdict.BROKEN]
    errors = [error_sectors(output) for name in leaking if (output := audit.outputs[name]).relative < FAR]
    seen = declared_input_irreps(audit)
    known_input, open_before, suspected = bool(seen), False, False
    found: list[str] = []
    for position, (name, layer) in enumerate(audit.layers.items()):
        chart, present, opens = layer.chart, _weighty(layer), not _closed(layer)
        allowed = {chart.labels[0]} | (targets(layer) if isinstance(layer, Output) else set())
        fresh = present - seen - allowed if position or known_input else set()
        if position == 0 and opens:
            every = len(set(map(chart.column, present))) == len(chart.headings)
            extent = f"at every {chart.axis} up to {chart.lmax}" if every else f"up to {highest(chart)}"
            beyond = seen_above(layer)
            text = f"{quote(name)}, the first layer audited, already has power {extent}"
            text += f" and above ({percent(beyond)})" if beyond > 0 else ""
            found.append(f"{text}{', as layers of unconstrained models do' if beyond > 0 and broken else ''}.")
        elif not open_before and (fresh or opens):
            share = sum(float(layer.fractions[chart.place(irrep)]) for irrep in fresh) or seen_above(layer)
            text = f"{quote(name)} is the first layer with power {_entering(layer, fresh)}; "
            text += f"{'the layers before it' if position else 'the inputs'} had none."
            held = max((sum(shares.get(irrep, 0.0) for irrep in fresh) for shares in errors), default=0.0)
            if held > PART and share < WEAK_SHARE and not (suspected or located):
                suspected = True
                text += " In a model that is meant to be equivariant, so little of them looks like a leak."
            found.append(text)
        open_before = open_before or opens
        seen |= present
    seen = seen.union(*map(content, audit.layers.values()))  # what is too little for a word as well
    late = [] if open_before else _late(audit, leaking, seen)
    return _first_few([*found, *late], "further layers bring new irreps, see the table")


def _late(audit: AuditData, leaking: list[str], seen: set[Label]) -> list[str]:
    """The outputs that have irreps that were not `seen` in any layer, those of the same ones together."""
    by_place: dict[str, list[str]] = {}
    for name in leaking:
        output = audit.outputs[name]
        if fresh := content(output) - seen - targets(output):
            by_place.setdefault(irrep_list(output.chart, fresh), []).append(name)
    last = next(reversed(audit.layers))
    return [
        f"{listing(names)} {'has' if len(names) == 1 else 'have'} power in {where}, which no audited layer has: the "
        f"leak is after {quote(last)}, or in a module that was not captured."
        for where, names in by_place.items()
    ]


def _weighty(layer: Spectrum) -> set[Label]:
    """The irreps that hold something, of families after the first at least so much that it is worth a word."""
    chart = layer.chart
    return {
        label
        for label in content(layer)
        if not chart.family(label) or float(layer.fractions[chart.place(label)]) > PSEUDO_SHARE
    }


def _entering(layer: Spectrum, fresh: set[Label]) -> str:
    """Where `fresh` lie and what share of the power they hold, each family by itself."""
    chart = layer.chart
    if not fresh:
        return f"above {highest(chart)} ({percent(seen_above(layer))} of its power)"
    said: list[str] = []
    for family in sorted({chart.family(label) for label in fresh}):
        own = {label for label in fresh if chart.family(label) == family}
        share = sum(float(layer.fractions[chart.place(label)]) for label in own)
        what = f"in {irrep_list(chart, own)}{_EXPLAINED.get(chart.family_names[family], '')}"
        said.append(f"{what} ({percent(share)}{' of its power' if not said else ''})")
    return " and ".join(said)


def _first_pseudo(audit: AuditData, said: list[str]) -> list[str]:
    if not audit.layers:
        return []
    chart = widest(audit.layers.values())
    group = group_of(chart)
    known = {group.family(irrep) for irrep in declared_input_irreps(audit)} if group is not None else set()
    found = []
    for family in set(range(1, len(chart.family_names))) - known:
        for name, layer in audit.layers.items():
            share = family_share(layer, family)
            if share > PSEUDO_SHARE and any(f"{quote(name)} is the first layer with power" in line for line in said):
                break  # what enters there was just said, with its own share
            if share > PSEUDO_SHARE:
                called = chart.family_names[family]
                found.append(
                    f"{quote(name)} is the first layer with {called} content{_EXPLAINED.get(called, '')}: "
                    f"{percent(share)} of its power."
                )
                break
    return found


def _first_high(audit: AuditData) -> list[str]:
    for name, layer in audit.layers.items():
        chart = layer.chart
        if not chart.counts:
            continue
        cut = min(HIGH_L, chart.lmax)
        high = [column for column, heading in enumerate(chart.headings) if int(heading) > cut]
        held = {label: float(layer.fractions[chart.place(label)]) for label in content(layer)}
        above = sum(share for label, share in held.items() if chart.column(label) in high) + seen_above(layer)
        if above > HIGH_SHARE and layer.pooled_total > 0:
            return [
                f"{quote(name)} is the first layer with more than {100 * HIGH_SHARE:g}% of its power above "
                f"{chart.axis}={cut}: {percent(above)}."
            ]
    return []


def _first_few(found: list[str], rest: str) -> list[str]:
    return found if len(found) <= LISTED else [*found[:LISTED], f"{len(found) - LISTED} {rest}."]
