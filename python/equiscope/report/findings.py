"""Plain-language statements about an audit, for a reader who never saw the definitions. No number is computed
here that the audit does not hold: only which of them deserve a sentence."""

from __future__ import annotations

import math
import re

from .floor import content, noise_power, results, sector_floor, unresolved_floor, unresolved_share
from .format import e3nn_name, number, percent, sector_name, sector_names
from .result import Audit, Output, Sector, Spectrum
from .verdict import (
    Verdict,
    actual_irrep,
    error_sectors,
    insignificant,
    system_error,
    targets,
    verdict,
    worst_row,
)

HIGH_L = 4
"""Degree above which content is remarkable: equivariant architectures in common use keep l <= 3 or 4 inside, and no
common target (up to rank-2 tensors, l = 2) needs more."""

HIGH_SHARE = 1e-3
"""Share of power that counts as content at high l: 3 % of the amplitude, so that it matters to what follows."""

PSEUDO_SHARE = 1e-6
"""Share of power that counts as pseudo content: 0.1 % of the amplitude. Below lie products of small terms that every
unconstrained layer has."""

WEAK_SHARE = 1e-2
"""New irreps that hold less than this look like a leak; a layer designed to make them gives them 10 % of its
amplitude or more."""

UNRESOLVED_SHARE = 1e-2
"""Power above lmax from which the spectrum is incomplete for its reader: more than a heat map shows."""

ALIASED_SHARE = 0.1
"""Part of a sector that the finite grid may have folded in before we say so: one digit is then left."""

NOTICED_SHARE = 1e-4
"""Sectors with a smaller share of the power are not worth a warning about aliasing."""

OUTLIER = 3.0
"""A system this many times above the pooled error is an outlier: by Markov's inequality at most 1 in 9 can be."""

LISTED = 3
"""Statements of one kind before the rest is only counted."""


def findings(audit: Audit) -> list[str]:
    """Statements in order of importance: what invalidates the numbers, the errors, where they arise, their trust."""
    found = [*_failures(audit)]
    for output in audit.outputs.values():
        found += _output(audit, output)
    located = _first_broken(audit)
    found += located
    found += _first_sectors(audit, bool(located))
    found += _first_pseudo(audit)
    found += _first_high(audit)
    found += _dead(audit)
    found += _unresolved(audit)
    found += _aliasing(audit)
    found += _convergence(audit)
    return found


def declared_input_sectors(audit: Audit) -> set[Sector]:
    """The irreps that the inputs carry as declared in the settings; what is not understood adds nothing."""
    kinds: dict[str, set[Sector]] = {
        "scalar": {(0, 1)},
        "invariant": {(0, 1)},
        "pseudoscalar": {(0, -1)},
        "vector": {(1, 1)},
        "pseudovector": {(1, -1)},
        "tensor": {(0, 1), (1, -1), (2, 1)},
        "voigt": {(0, 1), (2, 1)},
    }
    inputs = audit.settings.get("inputs")
    sectors: set[Sector] = set()
    for rep in inputs.values() if isinstance(inputs, dict) else ():
        sectors |= kinds.get(str(rep), set())
        for lam, parity in re.findall(r"(?:^|[x+\s])(\d+)([eo])(?=$|[+\s])", str(rep)):
            sectors.add((int(lam), (1 if parity == "e" else -1) * (-1) ** int(lam)))
    return sectors


def _failures(audit: Audit) -> list[str]:
    if not audit.failures:
        return [] if audit.outputs or audit.layers else ["Nothing was measured: no output and no layer."]
    first = audit.failures[0]
    stopped = len({failure.system for failure in audit.failures})
    total = len({row.name for row in audit.systems} | {failure.system for failure in audit.failures})
    return [
        f"{stopped} of {total} systems failed and {'is' if stopped == 1 else 'are'} in no number below. "
        f"The first: {_quote(first.system)} at {_quote(first.where)}: {first.reason}"
    ]


def _output(audit: Audit, output: Output) -> list[str]:
    name, state = _quote(output.name), verdict(output)
    size = _size(output)
    found = []
    if output.stochastic:
        found.append(
            f"{name} is stochastic: the same input evaluated twice changes it by {number(output.noise)}. Errors up "
            "to that size are noise. Look for dropout, train mode, sampling or nondeterministic kernels."
        )
    if state is Verdict.UNMEASURED:
        return [*found, f"{name} could not be measured: its error is {number(output.rmse)}."]
    if state is Verdict.STOCHASTIC and output.rmse > 0:
        lost = output.rmse <= insignificant(output)
        found.append(
            f"Beyond that noise, {name} shows no symmetry breaking ({size})." if lost
            else f"{name} breaks its symmetry by {percent(output.relative)} of its size, noise included ({size})."
        )
    elif state is Verdict.EXACT:
        found.append(
            f"{name} is {_law(output)} as far as {output.dtype.removeprefix('torch.')} can tell: its error is noise or "
            f"round-off (RMSE {number(output.rmse)}; up to {number(insignificant(output))} is)."
        )
    elif state is Verdict.BROKEN:
        found.append(f"{name} is {_law(output)} to {percent(output.relative)} of its size ({size})."
                     + _consists(output) + _worst(audit, output))
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
        return f" {percent(min(above, 1.0))} of the squared error is content above l={output.lmax}."
    sector, share = next(iter(shares.items()))
    if share < 0.5:
        rest = 1 - sum(shares.values())
        if rest > 0.5 and rest > unresolved_share(output):
            return " Most of the error is content of the right irrep in the wrong components."
        return ""
    return f" {percent(share)} of the squared error is content that turns like l={sector[0]}" + (
        f", {'pseudo' if sector[1] < 0 else 'proper'} (sigma = {sector[1]:+d})."
    )


def _worst(audit: Audit, output: Output) -> str:
    row = worst_row(audit, output.name)
    if row is None or len(audit.systems) < 2:
        return ""
    rmse = system_error(row, output.name)
    ratio = rmse / output.rmse
    return f" Worst system: {_quote(row.name)}, RMSE {number(rmse)}" + (
        f", {number(ratio, 2)} times the pooled error: an outlier." if ratio >= OUTLIER else "."
    )


def _wrong(output: Output, size: str) -> str:
    text = f"{_quote(output.name)} does not transform as declared ({output.representation}): its error is "
    text += f"{percent(output.relative)} of its size ({size}). "
    declared, actual = targets(output), actual_irrep(output)
    if actual is None:
        return text + (
            "Either the model has not learned the symmetry, or an input that should rotate was not declared "
            "(cell, edge vectors), or the declaration is wrong."
        )
    if actual not in declared:
        return text + (
            f"{percent(float(output.fractions.max()))} of its power turns like a {sector_name(actual)} "
            f"({e3nn_name(*actual)} in e3nn's notation): is that what it is?"
        )
    return text + (
        "It carries the declared irrep, so its components do not line up: check their order (x, y, z or y, z, x), "
        "the basis and the layout, and R against its transpose."
    )


def _broken(audit: Audit) -> list[str]:
    return [name for name, output in audit.outputs.items() if verdict(output) in (Verdict.BROKEN, Verdict.WRONG)]


def _closed(spectrum: Spectrum) -> bool:
    """Whether the spectrum ends below lmax, as that of a layer with finitely many irreps does."""
    if spectrum.pooled_unresolved > unresolved_floor(spectrum):
        return False
    return all(lam < spectrum.lmax for lam, _ in content(spectrum))


def _first_broken(audit: Audit) -> list[str]:
    """Which of the layers that declare a representation breaks it first: the end of the search where there is one."""
    broken, declared = _broken(audit), [layer for layer in audit.layers.values() if isinstance(layer, Output)]
    exact: list[str] = []
    for layer in declared:
        state = verdict(layer)
        if state in (Verdict.BROKEN, Verdict.WRONG):
            before = f"{_list(exact[-1:])} before it is exact" if exact else "no layer before it declares one"
            return [
                f"{_quote(layer.name)} is the first layer that breaks its own representation ({layer.representation}), by "
                f"{percent(layer.relative)} of its size ({_size(layer)}); {before}."
                + (f" The error of {_list(broken)} starts here or in what feeds it." if broken else "")
            ]
        if state is Verdict.EXACT:
            exact.append(layer.name)
    if broken and exact:
        return [
            f"All {len(exact)} layers that declare a representation keep it to round-off: the error of {_list(broken)} "
            f"arises after {_quote(exact[-1])} or in a layer that declares none."
        ]
    return []


def _first_sectors(audit: Audit, located: bool) -> list[str]:
    """Where irreps enter that no earlier layer has: the only trace of a leak in layers without a declaration."""
    broken = _broken(audit)
    if not audit.layers:
        return [
            f"To see where {_list(broken)} {'loses' if len(broken) == 1 else 'lose'} the symmetry, "
            "audit hidden layers too (`layers=\"*\"`)."
        ] if broken else []
    seen = declared_input_sectors(audit)
    known_input, open_before, suspected = bool(seen), False, False
    found: list[str] = []
    for position, (name, layer) in enumerate(audit.layers.items()):
        present, opens = content(layer), not _closed(layer)
        allowed = {(0, 1)} | (targets(layer) if isinstance(layer, Output) else set())
        fresh = present - seen - allowed if position or known_input else set()
        if position == 0 and opens:
            every = len({lam for lam, _ in present}) == layer.lmax + 1
            found.append(
                f"{_quote(name)}, the first layer audited, already has power in every irrep up to l={layer.lmax}, as layers "
                "of unconstrained models do." if every
                else f"{_quote(name)}, the first layer audited, already has power up to l={layer.lmax} and above."
            )
        elif not open_before and (fresh or opens):
            share = sum(float(layer.fractions[lam, (1 - sigma) // 2]) for lam, sigma in fresh)
            share = share or unresolved_share(layer)
            where = f"in {sector_names(fresh)}" if fresh else f"above l={layer.lmax}"
            before = "the layers before it" if position else "the inputs"
            text = f"{_quote(name)} is the first layer with power {where} ({percent(share)} of its power); {before} had none."
            if broken and share < WEAK_SHARE and not (suspected or located):
                suspected = True
                text += f" If the model is meant to be equivariant, the leak seen in {_list(broken)} starts here."
            found.append(text)
        open_before = open_before or opens
        seen |= present
    late = {
        sector
        for name in broken
        for sector in content(audit.outputs[name])
        if sector not in seen | targets(audit.outputs[name])
    }
    if late and not open_before:
        last = next(reversed(audit.layers))
        found.append(
            f"{_list(broken)} {'has' if len(broken) == 1 else 'have'} power in {sector_names(late)}, which no audited layer has: the leak is after "
            f"{_quote(last)}, or in a module that was not captured."
        )
    return _first_few(found, "further layers bring new irreps, see the table")


def _first_pseudo(audit: Audit) -> list[str]:
    if any(sigma < 0 for _, sigma in declared_input_sectors(audit)):
        return []
    for name, layer in audit.layers.items():
        floor, pseudo = sector_floor(layer), layer.pooled_power[:, 1]
        share = float(layer.fractions[:, 1].sum())
        if share > PSEUDO_SHARE and bool((pseudo > floor).any()):
            return [
                f"{_quote(name)} is the first layer with pseudo content (sigma = -1, as in pseudoscalars and cross products): "
                f"{percent(share)} of its power."
            ]
    return []


def _first_high(audit: Audit) -> list[str]:
    for name, layer in audit.layers.items():
        cut = min(HIGH_L, layer.lmax)
        above = float(layer.fractions[cut + 1 :].sum()) + max(unresolved_share(layer), 0.0)
        if above > HIGH_SHARE and layer.pooled_total > 0:
            return [
                f"{_quote(name)} is the first layer with more than {100 * HIGH_SHARE:g}% of its power above l={cut}: "
                f"{percent(above)}."
            ]
    return []


def _dead(audit: Audit) -> list[str]:
    dead = [name for name, spectrum in results(audit) if spectrum.samples and spectrum.pooled_total == 0]
    return [f"{_list(dead)} {'is' if len(dead) == 1 else 'are'} zero for every input."] if dead else []


def _unresolved(audit: Audit) -> list[str]:
    shares = {name: unresolved_share(s) for name, s in results(audit) if s.pooled_total > 0}
    large = {name: share for name, share in shares.items() if share > UNRESOLVED_SHARE}
    if not large:
        return []
    name = max(large, key=large.__getitem__)
    lmax = audit.result(name).lmax
    return [
        f"{percent(large[name])} of the power of {_quote(name)} lies above lmax={lmax}, unresolved{_and_others(large)}: "
        "raise lmax to see it."
    ]


def _aliasing(audit: Audit) -> list[str]:
    folded: dict[str, tuple[float, int]] = {}
    for name, spectrum in results(audit):
        power, rest = spectrum.pooled_power, spectrum.pooled_total
        for lam, sigma in targets(spectrum) if isinstance(spectrum, Output) else ():
            if lam <= spectrum.lmax:
                rest -= float(power[lam, (1 - sigma) // 2])
        noticed = max(NOTICED_SHARE * rest, noise_power(spectrum))
        for lam, sector in enumerate(power.sum(dim=1).tolist()):
            alias = float(spectrum.aliasing[lam])
            if sector > noticed and alias > ALIASED_SHARE * sector:
                folded[name] = max(folded.get(name, (0.0, 0)), (min(alias / sector, 1.0), lam))
    if not folded:
        return []
    name = max(folded, key=folded.__getitem__)
    share, lam = folded[name]
    return [
        f"The grid of degree {audit.result(name).degree} is coarse for {_quote(name)}{_and_others(folded)}: up to "
        f"{percent(share)} of what is shown at l={lam} may be folded down from above lmax. Raise the degree."
    ]


def _convergence(audit: Audit) -> list[str]:
    tolerance = audit.settings.get("tolerance")
    if len(audit.convergence) < 2 or not isinstance(tolerance, int | float):
        return []
    before, last = audit.convergence[-2], audit.convergence[-1]
    change = last.get("change")
    if not isinstance(change, int | float) or change <= tolerance:
        return []
    return [
        f"The numbers have not settled: from degree {before['degree']} to {last['degree']} they still changed by "
        f"{percent(change)}, where {100 * tolerance:g}% was asked for. Raise the degree."
    ]


def _quote(name: str) -> str:
    """A name between backquotes, which the page shows as code; it cannot hold any itself."""
    return "`" + name.replace("`", "'") + "`"


def _list(names: list[str]) -> str:
    quoted = [_quote(name) for name in names[:LISTED]]
    if len(names) > LISTED:
        return ", ".join(quoted) + f" and {len(names) - LISTED} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def _and_others(names: dict[str, object] | dict[str, float]) -> str:
    others = len(names) - 1
    return f" ({others} more {'is' if others == 1 else 'are'} affected)" if others else ""


def _first_few(found: list[str], rest: str) -> list[str]:
    return found if len(found) <= LISTED else [*found[:LISTED], f"{len(found) - LISTED} {rest}."]
