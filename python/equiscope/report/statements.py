"""Plain-language statements about an audit, for a reader who never saw the definitions. No number is computed
here that the audit does not hold: only which of them deserve a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..result.data import AuditData, Failure, Output, Spectrum
from ..result.floor import noise_power, seen_above
from ..result.verdict import targets
from .failures import failed_systems, failures_alike, lacking
from .finding import Finding, Severity, warned
from .format import LISTED, every, percent, quote, several
from .labels import against_labels
from .origin import origin
from .standing import standing
from .words import irrep_place

UNRESOLVED_SHARE = 1e-2
"""Power above lmax from which the spectrum is incomplete for its reader: more than a heat map shows."""

ALIASED_SHARE = 0.1
"""Error of the power in an irrep, in parts of it, from which we say so: one digit is then left."""

NOTICED_SHARE = 1e-4
"""Irreps with a smaller share of the power are not worth a warning about their errors."""


def findings(audit: AuditData) -> list[Finding]:
    """Statements in order of importance: what invalidates the numbers, errors, where they arise, their
    trust, and last what more could be asked."""
    found = [
        *warned(_failures(audit)),
        *standing(audit),
        *map(Finding, against_labels(audit)),
        *origin(audit),
        *warned(_dead(audit)),
        *warned(_unresolved(audit)),
        *(Finding(text, Severity.NOTE) for text in _cut(audit)),
        *warned(_coarse(audit)),
        *warned(_convergence(audit)),
    ]
    return sorted(found, key=lambda finding: finding.severity is Severity.NOTE)


def messages(audit: AuditData) -> list[Finding]:
    """All that a report says in sentences: findings, then the warnings and the notes of how it went."""
    notes = (Finding(text, Severity.NOTE) for text in audit.notes)
    return [*findings(audit), *warned(audit.warnings), *notes]


def _failures(audit: AuditData) -> list[str]:
    if not (audit.failures or audit.outputs or audit.layers):
        return ["Nothing was measured: no output and no layer."]
    failed, missing = failed_systems(audit), lacking(audit)
    total = len(audit.systems) + len(failed)
    told = []
    if failed:
        are = "is" if len(failed) == 1 else "are"
        reasons = _reasons(failure for failure in audit.failures if failure.whole)
        told = [f"{len(failed)} of {total} systems failed and {are} in no number below: {reasons}"]
    if missing:
        named = several([f"{quote(name)} on {count} of {total}" for name, count in missing.items()])
        reasons = _reasons(f for f in audit.failures if not f.whole and f.where in missing)
        told += [f"Not finite, and measured on the other systems alone: {named}: {reasons}"]
    return told + [f"{quote(name)} was not measured: {reason}." for name, reason in audit.unmeasured.items()]


def _reasons(failures: Iterable[Failure]) -> str:
    found = failures_alike(failures, LISTED)
    more = f"; {len(found) - LISTED} more reasons, see the failures" if len(found) > LISTED else ""
    return "; ".join(found[:LISTED]) + more


def _dead(audit: AuditData) -> list[str]:
    dead = [
        name
        for name, spectrum in audit.results()
        if spectrum.samples and spectrum.pooled_total == 0 and not (isinstance(spectrum, Output) and spectrum.responds)
    ]
    are = "is" if len(dead) == 1 else "are"
    return [f"{every(dead)} {are} zero for every input: nothing was tested."] if dead else []


def _unresolved(audit: AuditData) -> list[str]:
    shares = {name: seen_above(s) for name, s in audit.results() if not _declared_above(s)}
    large = {name: share for name, share in shares.items() if share > UNRESOLVED_SHARE}
    if not large:
        return []
    name = max(large, key=large.__getitem__)
    lmax = audit.result(name).lmax
    return [
        f"{percent(large[name])} of the power of {quote(name)} lies above lmax={lmax}, "
        f"unresolved{_and_others(large)}: raise lmax to see it."
    ]


def _declared_above(spectrum: Spectrum) -> bool:
    """Whether it is declared to carry irreps that its chart does not hold."""
    return isinstance(spectrum, Output) and any(label not in spectrum.chart for label in spectrum.parts)


def _cut(audit: AuditData) -> list[str]:
    found = [name for name, spectrum in audit.results() if _declared_above(spectrum)]
    if not found:
        return []
    lmax, one = audit.result(found[0]).lmax, len(found) == 1
    return [
        f"{every(found)} {'is' if one else 'are'} declared with irreps above lmax={lmax}, so "
        f"{'its spectrum ends' if one else 'their spectra end'} below. Errors do not depend on lmax."
    ]


def _coarse(audit: AuditData) -> list[str]:
    """Where the errors of a spectrum are as large as what it shows."""
    found = {name: _blurred(spectrum) for name, spectrum in audit.results()}
    blurred = {name: worst for name, worst in found.items() if worst is not None}
    if not blurred:
        return []
    name = max(blurred, key=blurred.__getitem__)
    share, place = blurred[name]
    spectrum = audit.result(name)
    where = irrep_place(spectrum.chart, spectrum.chart.labels[place])
    if audit.sampled:
        return [
            f"The random rotations are few for the spectrum of {quote(name)}{_and_others(blurred)}: up to "
            f"{percent(share)} of what is shown at {where} may be their scatter. Ask for more rotations."
        ]
    return [
        f"The grid of degree {spectrum.degree} is coarse for {quote(name)}{_and_others(blurred)}: "
        f"up to {percent(share)} of what is shown at {where} may be folded down from above lmax. Raise the "
        "degree."
    ]


def _blurred(spectrum: Spectrum) -> tuple[float, int] | None:
    """The largest share of the power in an irrep that its error amounts to, and its place; None where none is worth
    a word. What lies within its error is shown as nothing."""
    chart, power, rest = spectrum.chart, spectrum.pooled_power, spectrum.pooled_total
    for target in targets(spectrum) if isinstance(spectrum, Output) else ():
        if target in chart:
            rest -= float(power[chart.place(target)])
    noticed = max(NOTICED_SHARE * rest, noise_power(spectrum))
    shown = zip(power.reshape(-1).tolist(), spectrum.power_error.reshape(-1).tolist(), strict=True)
    found = [
        (min(error / held, 1.0), place)
        for place, (held, error) in enumerate(shown)
        if held > noticed and error > ALIASED_SHARE * held and held > error
    ]
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
