"""Plain-language statements about an audit, for a reader who never saw the definitions. No number is computed
here that the audit does not hold: only which of them deserve a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..groups.group import Label
from ..result.data import AuditData, Output, Spectrum
from ..result.floor import assumed, noise_power, seen_above, unresolved_share
from ..result.judge import AT_NOISE, Parity, Verdict
from ..result.verdict import (
    actual_irrep,
    error_sectors,
    insignificant,
    per_row,
    rotations_alone,
    system_error,
    targets,
    uncertain,
    worst_row,
)
from .format import LISTED, listing, margin, number, percent, quantity, quote
from .labels import against_labels
from .origin import origin
from .words import highest, irrep_name, irrep_place, irrep_symbol

UNRESOLVED_SHARE = 1e-2
"""Power above lmax from which the spectrum is incomplete for its reader: more than a heat map shows."""

ALIASED_SHARE = 0.1
"""Error of the power in an irrep, in parts of it, from which we say so: one digit is then left."""

NOTICED_SHARE = 1e-4
"""Irreps with a smaller share of the power are not worth a warning about their errors."""

FLAT = 0.5
"""Share of unresolved power from which an output that breaks its symmetry looks like noise: learned functions
fall off with l, while white noise has all but (lmax + 1)^3 of its many components above lmax."""

HIDDEN, NOTICED_RELATIVE = 10.0, 1e-3
"""A relative error of one system is worth a word where it is so many times the pooled one, which systems with large
values decide, and at least so large."""

MANY = 10.0
"""From here on a ratio is written as so many times, not as per cent."""

OUTLIER = 3.0
"""A system this many times above the pooled error is an outlier: by Markov's inequality at most 1 in 9 is."""


def findings(audit: AuditData) -> list[str]:
    """Statements in order of importance: what invalidates the numbers, errors, where they arise, their
    trust."""
    return [
        *_failures(audit),
        *_outputs(audit),
        *against_labels(audit),
        *origin(audit),
        *_dead(audit),
        *_unresolved(audit),
        *_coarse(audit),
        *_convergence(audit),
    ]


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


def _outputs(audit: AuditData) -> list[str]:
    """What is wrong first; outputs of which the same is to be said share a sentence."""
    by_state = {state: [o for o in audit.outputs.values() if o.verdict is state] for state in Verdict}
    found = [
        f"{listing(names)} could not be measured: {_their(names, 'error is', 'errors are')} {number(value)}."
        for value, names in _grouped(by_state[Verdict.UNMEASURED], lambda output: output.rmse).items()
    ]
    noisy = [o for o in audit.outputs.values() if o.stochastic and o.verdict is not Verdict.UNMEASURED]
    found += [_stochastic(output) for output in noisy]
    found += _many_wrong(by_state[Verdict.WRONG]) if len(by_state[Verdict.WRONG]) > LISTED else []
    found += [_wrong(output) for output in by_state[Verdict.WRONG] if len(by_state[Verdict.WRONG]) <= LISTED]
    broken = by_state[Verdict.BROKEN]
    found += [_broken(audit, output) for output in broken] if len(broken) <= LISTED else _many_broken(audit, broken)
    found += _vanishing(by_state[Verdict.VANISHES])
    for (law, dtype), names in _grouped(by_state[Verdict.EXACT], lambda o: (_law(o), o.dtype)).items():
        found.append(_exact(law, dtype.removeprefix("torch."), [audit.outputs[name] for name in names]))
    for output in by_state[Verdict.EXACT]:
        found += _alone(audit, output)
    return found


def _grouped(outputs: Iterable[Output], key: Callable[[Output], Any]) -> dict[Any, list[str]]:
    """Names of the outputs of which `key` says the same."""
    found: dict[Any, list[str]] = {}
    for output in outputs:
        said = key(output)
        found.setdefault(str(said) if said != said else said, []).append(output.name)
    return found


def _their(names: Sequence[object], one: str, several: str) -> str:
    return f"its {one}" if len(names) == 1 else f"their {several}"


def _stochastic(output: Output) -> str:
    name = quote(output.name)
    text = f"{name} is stochastic: the same input evaluated twice changes it by {quantity(output, output.noise)}. "
    text += "Errors up to that size are noise. Look for dropout, sampling or nondeterministic kernels."
    if output.verdict is Verdict.STOCHASTIC:
        text += f" Beyond that noise, {name} shows no symmetry breaking ({_size(output)})."
    return text


def _exact(law: str, dtype: str, outputs: list[Output]) -> str:
    names = [output.name for output in outputs]
    are = f"{listing(names)} {'is' if len(names) == 1 else 'are'} {law} as far as {dtype} can tell"
    least = ", ".join(
        f"{quote(o.name) + ' ' if len(outputs) > 1 else ''}RMSE {quantity(o, o.rmse)}, not above "
        f"{number(insignificant(o))}"
        for o in outputs[:LISTED]
    )
    return f"{are}: {_their(names, 'error is', 'errors are')} noise or round-off ({least})."


def _alone(audit: AuditData, output: Output) -> list[str]:
    """Systems that break by themselves what is exact beside the noise of all: where noise grows with size."""
    broken = [
        row
        for row in audit.systems
        if system_error(row, output.name) > AT_NOISE * row.outputs.get(output.name, {}).get("noise_floor", math.inf)
    ]
    if not broken:
        return []
    worst = max(broken, key=lambda row: row.outputs[output.name].get("relative", 0.0))
    own, where = worst.outputs[output.name], listing([row.name for row in broken])
    size = f"RMSE {quantity(output, own['rmse'])}, noise floor {number(own['noise_floor'])} there"
    return [
        f"On {len(broken)} of {len(audit.systems)} systems, {where}, {quote(output.name)} breaks {_noun(output)} all "
        f"the same, at {quote(worst.name)} by {percent(own.get('relative'))} of its size ({size})."
    ]


def _vanishing(outputs: list[Output]) -> list[str]:
    if not outputs:
        return []
    names = [output.name for output in outputs]
    sizes = ", ".join(f"{quantity(o, o.size)} beside a noise floor of {number(o.scatter)}" for o in outputs[:LISTED])
    return [
        f"{listing(names)} {'vanishes' if len(names) == 1 else 'vanish'} on these data, as of what is zero by "
        f"symmetry: nothing stands above the noise ({sizes}). So nothing was tested but that."
    ]


def _broken(audit: AuditData, output: Output) -> str:
    text = f"{quote(output.name)} breaks {_noun(output)} by {percent(output.relative)} of its size"
    text += f"{', noise included' if output.stochastic else ''} ({_size(output)}{_scales(audit, output)})."
    if uncertain(output):
        text += " With so large an error of its own this may as well be none: ask for a finer grid or more rotations."
        return text
    return text + _parity(output) + _consists(output) + _worst(audit, output)


def _many_broken(audit: AuditData, outputs: list[Output]) -> list[str]:
    ordered = sorted(outputs, key=lambda output: -output.relative)
    sizes = ", ".join(f"{quote(o.name)} by {percent(o.relative)} of its size ({_size(o)})" for o in ordered[:LISTED])
    rest = len(outputs) - LISTED
    return [
        f"{len(outputs)} of {len(audit.outputs)} outputs break their symmetry: {sizes} and {rest} more, see the table."
    ]


def _many_wrong(outputs: list[Output]) -> list[str]:
    names = listing([output.name for output in outputs])
    return [
        f"{len(outputs)} outputs do not transform as declared: {names}. Either the "
        "model has not learned the symmetry, or an input that should rotate was not declared (cell, edge vectors), or "
        "the declarations are wrong."
    ]


def _parity(output: Output) -> str:
    """What rotations alone do, where the group has an inversion."""
    found = rotations_alone(output)
    if found is None:
        return ""
    alone = f"RMSE {quantity(output, output.rmse_rotations or 0.0)}"
    if found is not Parity.BROKEN:
        return f" It is {found} ({alone} under rotations alone)."
    size = (output.rmse_rotations or 0.0) / output.size if output.size > 0 else 0.0
    return f" It breaks under rotations by {percent(size)} already ({alone})."


def _size(output: Output) -> str:
    error = output.rmse_error
    resting = " by assumption" if assumed(output) else ""
    around = f" +- {margin(output.rmse, error)}{resting}" if error else ""
    return f"RMSE {quantity(output, output.rmse)}{around}, noise floor {number(output.noise_floor)}"


def _scales(audit: AuditData, output: Output) -> str:
    """The error against what else it can be read by."""
    found = ""
    if output.spread:
        found += f"; {_part(output.rmse / output.spread)} its spread over the systems"
    if per := per_row(audit, output.name):
        found += f"; {number(per[0])} {per[1]} per atom"
    if output.reference_rmse:
        found += f"; {_part(output.rmse / output.reference_rmse)} the model's own error"
    return found


def _part(ratio: float) -> str:
    """``11.4% of`` something, or ``15 times``."""
    return f"{percent(ratio)} of" if ratio < MANY else f"{number(ratio)} times"


def _noun(output: Output) -> str:
    law = _law(output)
    return law.replace("invariant", "invariance").replace("equivariant", "equivariance")


def _law(output: Output) -> str:
    if output.representation in ("scalar", "invariant"):
        return "invariant"
    if output.representation in ("pseudoscalar", "vector", "pseudovector", "tensor"):
        return f"equivariant as a {output.representation}"
    if output.representation == "voigt":
        return "equivariant as a tensor (voigt)"
    return f"equivariant as {output.representation}"


def _consists(output: Output) -> str:
    """Which irrep the error sits in, where one explains most of it."""
    shares = error_sectors(output)
    if not shares:
        return ""
    above = seen_above(output) * output.pooled_total / (output.components * output.rmse**2)
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
    text = _small(audit, output)
    return (
        f" Worst system: {quote(row.name)}, RMSE {quantity(output, rmse)}"
        + (f", {number(ratio, 2)} times the pooled error: an outlier." if ratio >= OUTLIER else ".")
        + text
    )


def _small(audit: AuditData, output: Output) -> str:
    """The system whose error is the largest part of its own size, where the pooled relative error hides it."""
    loud = [row for row in audit.systems if system_error(row, output.name) > insignificant(output)]
    own = {row.name: row.outputs.get(output.name, {}).get("relative", math.nan) for row in loud}
    finite = {name: relative for name, relative in own.items() if math.isfinite(relative)}
    if not finite:
        return ""
    name = max(finite, key=finite.__getitem__)
    if finite[name] < max(HIDDEN * output.relative, NOTICED_RELATIVE):
        return ""
    return f" Relative to its own size the largest is that of {quote(name)}, {percent(finite[name])}."


def _wrong(output: Output) -> str:
    text = f"{quote(output.name)} does not transform as declared ({output.representation}): its error is "
    text += f"{percent(output.relative)} of its size ({_size(output)})." + _parity(output)
    if rotations_alone(output) in (Parity.REVERSED, Parity.MIXED):
        return text
    if seen_above(output) > FLAT:
        return f"{text} Most of its power lies above {highest(output.chart)}, as that of noise does."
    declared, actual = targets(output), actual_irrep(output)
    if actual is None:
        return text + (
            " Either the model has not learned the symmetry, or an input that should rotate was not declared "
            "(cell, edge vectors), or the declaration is wrong."
        )
    if actual not in declared:
        share = percent(float(output.fractions.max()))
        return f"{text} {share} of its power turns like {_a(output, actual)}: is that what it is?"
    return text + (
        " It carries the declared irrep, so its components do not line up: check their order (x, y, z or y, "
        "z, x), the basis and the layout, and R against its transpose."
    )


def _a(output: Output, irrep: Label) -> str:
    """``a vector (1o in e3nn's notation)``; a name alone where the group has nothing but names."""
    name, symbol = irrep_name(output.chart, irrep), irrep_symbol(output.chart, irrep)
    if symbol == str(irrep):
        return f"a {name}" if output.chart.counts else name
    return f"a {name} ({symbol} in e3nn's notation)"


def _dead(audit: AuditData) -> list[str]:
    dead = [
        name
        for name, spectrum in audit.results()
        if spectrum.samples and spectrum.pooled_total == 0 and not (isinstance(spectrum, Output) and spectrum.responds)
    ]
    are = "is" if len(dead) == 1 else "are"
    return [f"{listing(dead)} {are} zero for every input: nothing was tested."] if dead else []


def _unresolved(audit: AuditData) -> list[str]:
    shares = {name: seen_above(s) for name, s in audit.results()}
    large = {name: share for name, share in shares.items() if share > UNRESOLVED_SHARE}
    if not large:
        return []
    name = max(large, key=large.__getitem__)
    lmax = audit.result(name).lmax
    return [
        f"{percent(large[name])} of the power of {quote(name)} lies above lmax={lmax}, "
        f"unresolved{_and_others(large)}: raise lmax to see it."
    ]


def _coarse(audit: AuditData) -> list[str]:
    """Where the errors of a spectrum are as large as what it shows."""
    every = {name: _blurred(spectrum) for name, spectrum in audit.results()}
    blurred = {name: found for name, found in every.items() if found is not None}
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
