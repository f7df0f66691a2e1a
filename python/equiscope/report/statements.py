"""Plain-language statements about an audit, for a reader who never saw the definitions. No number is computed
here that the audit does not hold: only which of them deserve a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from ..groups.group import Label
from ..result.data import AuditData, Output, Spectrum
from ..result.floor import noise_power, sector_floor, unresolved_floor, unresolved_share
from ..result.verdict import (
    Verdict,
    actual_irrep,
    error_sectors,
    insignificant,
    system_error,
    targets,
    verdict,
    worst_row,
)
from .format import listing, number, percent, quote
from .origin import origin
from .words import highest, irrep_name, irrep_place, irrep_symbol

UNRESOLVED_SHARE = 1e-2
"""Power above lmax from which the spectrum is incomplete for its reader: more than a heat map shows."""

ALIASED_SHARE = 0.1
"""Part of a sector that the finite grid may have folded in before we say so: one digit is then left."""

NOTICED_SHARE = 1e-4
"""Sectors with a smaller share of the power are not worth a warning about aliasing."""

FLAT = 0.5
"""Share of unresolved power from which an output that breaks its symmetry looks like noise: learned functions
fall off with l, while white noise has all but (lmax + 1)^3 of its many components above lmax."""

OUTLIER = 3.0
"""A system this many times above the pooled error is an outlier: by Markov's inequality at most 1 in 9 is."""


def findings(audit: AuditData) -> list[str]:
    """Statements in order of importance: what invalidates the numbers, errors, where they arise, their
    trust."""
    found = [*_failures(audit)]
    for output in audit.outputs.values():
        found += _output(audit, output)
    found += origin(audit)
    found += _dead(audit)
    found += _unresolved(audit)
    found += _coarse(audit)
    found += _convergence(audit)
    return found


def _failures(audit: AuditData) -> list[str]:
    if not audit.failures:
        return [] if audit.outputs or audit.layers else ["Nothing was measured: no output and no layer."]
    first = audit.failures[0]
    stopped = len({failure.system for failure in audit.failures})
    total = len({row.name for row in audit.systems} | {failure.system for failure in audit.failures})
    return [
        f"{stopped} of {total} systems failed and {'is' if stopped == 1 else 'are'} in no number below. "
        f"The first: {quote(first.system)} at {quote(first.where)}: {first.reason}"
    ]


def _output(audit: AuditData, output: Output) -> list[str]:
    name, state = quote(output.name), verdict(output)
    size = _size(output)
    found = []
    if output.stochastic:
        found.append(
            f"{name} is stochastic: the same input evaluated twice changes it by {number(output.noise)}. "
            "Errors up to that size are noise. Look for dropout, sampling or nondeterministic kernels."
        )
    if state is Verdict.UNMEASURED:
        return [*found, f"{name} could not be measured: its error is {number(output.rmse)}."]
    if state is Verdict.STOCHASTIC and output.rmse > 0:
        lost = output.rmse <= insignificant(output)
        found.append(
            f"Beyond that noise, {name} shows no symmetry breaking ({size})."
            if lost
            else f"{name} breaks its symmetry by {percent(output.relative)} of its size, noise included ({size})."
        )
    elif state is Verdict.EXACT:
        found.append(
            f"{name} is {_law(output)} as far as {output.dtype.removeprefix('torch.')} can tell: its error "
            f"is noise or round-off (RMSE {number(output.rmse)}, not above {number(insignificant(output))})."
        )
    elif state is Verdict.BROKEN:
        found.append(
            f"{name} is {_law(output)} to {percent(output.relative)} of its size ({size})."
            + _consists(output)
            + _worst(audit, output)
        )
    elif state is Verdict.WRONG:
        found.append(_wrong(output, size))
    return found


def _size(output: Output) -> str:
    return f"RMSE {number(output.rmse)}, noise floor {number(output.noise_floor)}"


def _law(output: Output) -> str:
    if output.representation in ("scalar", "invariant"):
        return "invariant"
    if output.representation in ("pseudoscalar", "vector", "pseudovector", "tensor"):
        return f"equivariant as a {output.representation}"
    return f"equivariant as {output.representation}"


def _consists(output: Output) -> str:
    """Which irrep the error sits in, where one explains most of it."""
    shares = error_sectors(output)
    if not shares:
        return ""
    above = output.pooled_unresolved / (output.components * output.rmse**2)
    if above > 0.5:
        return f" {percent(min(above, 1.0))} of the squared error is content above {highest(output.chart)}."
    sector, share = next(iter(shares.items()))
    if share < 0.5:
        rest = 1 - sum(shares.values())
        if rest > 0.5 and rest > unresolved_share(output):
            return " Most of the error is content of the right irrep in the wrong components."
        return ""
    return f" {percent(share)} of the squared error is content that turns like {irrep_place(output.chart, sector)}."


def _worst(audit: AuditData, output: Output) -> str:
    row = worst_row(audit, output.name)
    if row is None or len(audit.systems) < 2:
        return ""
    rmse = system_error(row, output.name)
    ratio = rmse / output.rmse
    return f" Worst system: {quote(row.name)}, RMSE {number(rmse)}" + (
        f", {number(ratio, 2)} times the pooled error: an outlier." if ratio >= OUTLIER else "."
    )


def _wrong(output: Output, size: str) -> str:
    text = f"{quote(output.name)} does not transform as declared ({output.representation}): its error is "
    text += f"{percent(output.relative)} of its size ({size}). "
    if unresolved_share(output) > FLAT:
        return text + (
            f"Most of its power lies above {highest(output.chart)}, as that of noise does: if it is zero by "
            "symmetry, this is the round-off that is left of it."
        )
    declared, actual = targets(output), actual_irrep(output)
    if actual is None:
        return text + (
            "Either the model has not learned the symmetry, or an input that should rotate was not declared "
            "(cell, edge vectors), or the declaration is wrong."
        )
    if actual not in declared:
        share = percent(float(output.fractions.max()))
        return text + f"{share} of its power turns like {_a(output, actual)}: is that what it is?"
    return text + (
        "It carries the declared irrep, so its components do not line up: check their order (x, y, z or y, "
        "z, x), the basis and the layout, and R against its transpose."
    )


def _a(output: Output, irrep: Label) -> str:
    """``a vector (1o in e3nn's notation)``; a name alone where the group has nothing but names."""
    name, symbol = irrep_name(output.chart, irrep), irrep_symbol(output.chart, irrep)
    if symbol == str(irrep):
        return f"a {name}" if output.chart.counts else name
    return f"a {name} ({symbol} in e3nn's notation)"


def _dead(audit: AuditData) -> list[str]:
    dead = [name for name, spectrum in audit.results() if spectrum.samples and spectrum.pooled_total == 0]
    return [f"{listing(dead)} {'is' if len(dead) == 1 else 'are'} zero for every input."] if dead else []


def _unresolved(audit: AuditData) -> list[str]:
    shares = {name: unresolved_share(s) for name, s in audit.results() if s.pooled_total > 0}
    large = {
        name: share
        for name, share in shares.items()
        if share > UNRESOLVED_SHARE and audit.result(name).pooled_unresolved > unresolved_floor(audit.result(name))
    }
    if not large:
        return []
    name = max(large, key=large.__getitem__)
    lmax = audit.result(name).lmax
    return [
        f"{percent(large[name])} of the power of {quote(name)} lies above lmax={lmax}, "
        f"unresolved{_and_others(large)}: raise lmax to see it."
    ]


def _coarse(audit: AuditData) -> list[str]:
    every = {name: _folded(spectrum, audit.sampled) for name, spectrum in audit.results()}
    folded = {name: found for name, found in every.items() if found is not None}
    if not folded:
        return []
    name = max(folded, key=folded.__getitem__)
    share, column = folded[name]
    where = audit.result(name).chart.title(column)
    if audit.sampled:
        return [
            f"The random rotations are few for the spectrum of {quote(name)}{_and_others(folded)}: up to "
            f"{percent(share)} of what is shown at {where} may be their scatter. Ask for more rotations."
        ]
    return [
        f"The grid of degree {audit.result(name).degree} is coarse for {quote(name)}{_and_others(folded)}: "
        f"up to {percent(share)} of what is shown at {where} may be folded down from above lmax. Raise the "
        "degree."
    ]


def _folded(spectrum: Spectrum, sampled: bool) -> tuple[float, int] | None:
    """The largest share of a column that aliasing may have put there, and the column; None where none is worth it."""
    chart, power, rest = spectrum.chart, spectrum.pooled_power, spectrum.pooled_total
    for target in targets(spectrum) if isinstance(spectrum, Output) else ():
        if target in chart:
            rest -= float(power[chart.place(target)])
    noticed = max(NOTICED_SHARE * rest, noise_power(spectrum))
    found = []
    errors = sector_floor(spectrum).tolist()
    shown = zip(chart.by_column(power).tolist(), errors, strict=True)
    for column, (held, alias) in enumerate(shown):
        if held <= alias:
            continue  # within its error, and shown as nothing
        if held > noticed and alias > ALIASED_SHARE * held:
            found.append((min(alias / held, 1.0), column))
    return max(found, default=None)


def _convergence(audit: AuditData) -> list[str]:
    asked, reached = audit.settings.get("precision"), audit.settings.get("precision_reached")
    if isinstance(asked, float) and isinstance(reached, float) and reached > asked:
        return [
            f"The standard error of an RMSE is {percent(reached)} of it, where {percent(asked)} was asked for: ask for "
            f"more than {audit.settings.get('rotations')} rotations."
        ]
    tolerance, unsettled = audit.settings.get("tolerance"), audit.settings.get("unsettled")
    if not unsettled or not isinstance(tolerance, int | float):
        return []
    return [
        f"The numbers of {unsettled} of {len(audit.systems)} systems have not settled to {100 * tolerance:g}% at "
        f"degree {max(map(int, audit.settings.get('degrees', {'0': 0})))}, the finest that was tried."
    ]


def _and_others(names: Mapping[str, object]) -> str:
    others = len(names) - 1
    return f" ({others} more {'is' if others == 1 else 'are'} affected)" if others else ""
