"""How the outputs stand, in sentences. A few are told one by one; of more, those of which the same is to be said share
a line that names each of them, so that the one that differs is seen."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import torch

from ..groups.group import Label
from ..result.data import AuditData, Output, SystemRow
from ..result.floor import components, seen_above
from ..result.judge import AT_NOISE, Parity, Verdict
from ..result.verdict import actual_irrep, insignificant, rotations_alone, system_error, targets, uncertain, untouched
from .amounts import consists, law, noun, scales, size, worst
from .finding import Finding, warned
from .format import LISTED, NAMED, every, listing, number, percent, quantity, quote, several
from .words import highest, irrep_name, irrep_symbol

FLAT = 0.5
"""Share of unresolved power from which an output that breaks its symmetry looks like noise: learned functions
fall off with l, while white noise has all but (lmax + 1)^3 of its many components above lmax."""

SINGLE = 1e-6
"""Relative error, of a model in double precision, up to which it is as small as round-off of float32 is."""

LOUD = 1e3
"""Noise, in round-off of values of this size, from which rounding alone does not explain it: sums over many terms and
differences of close numbers cost two to three digits."""

FAINT = 1e-3
"""Share of the error of an output from which on a part of it is not exact beside the others."""

FLATTENED = {9: "1xtensor", 6: "voigt"}
"""By the number of components, how a 3x3 tensor along one axis is declared."""

RANDOM = "Look for dropout, sampling or nondeterministic kernels."
"""What makes the same input give different values."""

SUDDEN = (
    "Look for a choice among equals, as of the nearest of equally near neighbours, or a hard cutoff at a distance that "
    "occurs in the data: such systems, moved a little, can be measured."
)
"""What makes the rounding of the input change a value by far more."""

Key = TypeVar("Key", bound=Hashable)


class Conclusion(NamedTuple):
    """What follows from the numbers of an output, as it is said of one and of several."""

    one: str
    several: str


def standing(audit: AuditData) -> list[Finding]:
    """What cannot be told, what is wrong, what is broken, what is kept."""
    by_state = {state: [o for o in audit.outputs.values() if o.verdict is state] for state in Verdict}
    noisy = [o for o in audit.outputs.values() if o.stochastic and o.verdict is not Verdict.UNMEASURED]
    return [
        *warned(_unmeasured(by_state[Verdict.UNMEASURED])),
        *warned(_stochastic(audit, noisy)),
        *warned(_jumping([o for o in audit.outputs.values() if o.jumps and o.verdict is not Verdict.UNMEASURED])),
        *map(Finding, _wrong(audit, by_state[Verdict.WRONG])),
        *map(Finding, _broken(audit, by_state[Verdict.BROKEN])),
        *map(Finding, _single(audit, by_state[Verdict.BROKEN])),
        *warned(_vanishing(by_state[Verdict.VANISHES])),
        *warned(_untouched([o for o in by_state[Verdict.EXACT] if untouched(o)])),
        *map(Finding, _exact(audit, [o for o in by_state[Verdict.EXACT] if not untouched(o)])),
        *map(Finding, _alone(audit, by_state[Verdict.EXACT])),
    ]


def alike(outputs: Iterable[Output], key: Callable[[Output], Key]) -> dict[Key, list[Output]]:
    """Outputs by what `key` says of them."""
    found: dict[Key, list[Output]] = {}
    for output in outputs:
        found.setdefault(key(output), []).append(output)
    return found


def of_all(audit: AuditData, outputs: Sequence[Output]) -> str:
    """``11 of 12 outputs``."""
    return f"{len(outputs)} of {len(audit.listed)} outputs"


def each(outputs: Sequence[Output], told: Callable[[Output], str]) -> str:
    """Every output with what is told of it: ```a` 12.0%, `b` 9.00%``."""
    return several([f"{quote(output.name)} {told(output)}" for output in outputs])


def _names(outputs: Sequence[Output]) -> list[str]:
    return [output.name for output in outputs]


def _relative(output: Output) -> str:
    return percent(output.relative)


def _largest_first(outputs: Iterable[Output]) -> list[Output]:
    return sorted(outputs, key=lambda output: -output.relative)


def _their(outputs: Sequence[object], one: str, several: str) -> str:
    return f"its {one}" if len(outputs) == 1 else f"their {several}"


# -- what the numbers do not tell ------------------------------------------------------------------------------------


def _unmeasured(outputs: Sequence[Output]) -> list[str]:
    return [
        f"{every(_names(own))} could not be measured: {_their(own, 'error is', 'errors are')} {value}."
        for value, own in alike(outputs, lambda output: number(output.rmse)).items()
    ]


def _stochastic(audit: AuditData, outputs: Sequence[Output]) -> list[str]:
    if len(outputs) <= LISTED:
        return [_stochastic_one(output) for output in outputs]
    changes = each(outputs, lambda output: f"by {quantity(output, output.noise)}")
    text = f"{of_all(audit, outputs)} are stochastic: the same input evaluated twice changes {changes}. "
    text += f"Errors up to these sizes are noise. {RANDOM}"
    silent = [output for output in outputs if output.verdict is Verdict.STOCHASTIC and not untouched(output)]
    if silent:
        shows = "shows" if len(silent) == 1 else "show"
        text += f" Beyond that noise, {every(_names(silent))} {shows} no symmetry breaking."
    return [text + _drowned(outputs)]


def _stochastic_one(output: Output) -> str:
    name = quote(output.name)
    text = f"{name} is stochastic: the same input evaluated twice changes it by {quantity(output, output.noise)}. "
    text += f"Errors up to that size are noise. {RANDOM}"
    if output.verdict is Verdict.STOCHASTIC and not untouched(output):
        text += f" Beyond that noise, {name} shows no symmetry breaking ({size(output)})."
    return text + _drowned([output])


def _drowned(outputs: Sequence[Output]) -> str:
    """That the noise is larger than all that an input which is turned does."""
    drowned = [output for output in outputs if untouched(output)]
    if not drowned:
        return ""
    are, show = ("is", "it shows") if len(drowned) == 1 else ("are", "they show")
    return (
        f" Above that noise, {every(_names(drowned))} {are} not seen to depend on any input that is turned: that "
        f"{show} no error says nothing."
    )


def _jumping(outputs: Sequence[Output]) -> list[str]:
    if not outputs:
        return []
    jump = "jumps" if len(outputs) == 1 else "jump"
    if len(outputs) == 1:
        changes = f"it by {quantity(outputs[0], outputs[0].noise_floor)}"
    else:
        changes = each(outputs, lambda output: f"by {quantity(output, output.noise_floor)}")
    text = f"{every(_names(outputs))} {jump}: the same input gives the same, but rounding it in the last place changes "
    text += f"{changes}. Errors up to that size cannot be told from it. {SUDDEN}"
    silent = [output for output in outputs if output.verdict is Verdict.JUMPS]
    if silent:
        shows = "shows" if len(silent) == 1 else "show"
        text += f" Beyond that, {every(_names(silent))} {shows} no symmetry breaking."
    return [text]


def _vanishing(outputs: Sequence[Output]) -> list[str]:
    if not outputs:
        return []
    sizes = "; ".join(
        f"{quote(o.name) + ' ' if len(outputs) > 1 else ''}{quantity(o, o.size)} beside a noise floor of "
        f"{number(o.scatter)}"
        for o in outputs[:LISTED]
    )
    return [
        f"{every(_names(outputs))} {'vanishes' if len(outputs) == 1 else 'vanish'} on these data, as of what is zero "
        f"by symmetry: nothing stands above the noise ({sizes}{'; ...' if len(outputs) > LISTED else ''}). So nothing "
        "was tested but that."
    ]


def _untouched(outputs: Sequence[Output]) -> list[str]:
    if not outputs:
        return []
    does, shows = ("does", "it shows") if len(outputs) == 1 else ("do", "they show")
    return [
        f"{every(_names(outputs))} {does} not depend on any input that is turned, by more than noise: that {shows} "
        "no error says nothing. An input that ought to turn may be declared invariant, or be missing in the "
        f"declaration; or the model has a mask the wrong way round, and reads padding alone.{_hidden(outputs)}"
    ]


def _hidden(outputs: Sequence[Output]) -> str:
    """That values in half precision may change by less than a step."""
    dtypes = dict.fromkeys(o.dtype for o in outputs if _is_half(o.dtype))
    return f" Or steps of {' and '.join(dtypes)} at these sizes are too long to show it." if dtypes else ""


def _is_half(dtype: str) -> bool:
    return _eps(dtype) > _eps("float32")


def _eps(dtype: str) -> float:
    kind = getattr(torch, dtype, None)
    return torch.finfo(kind).eps if isinstance(kind, torch.dtype) and kind.is_floating_point else 0.0


# -- what is wrong ---------------------------------------------------------------------------------------------------


def _wrong(audit: AuditData, outputs: Sequence[Output]) -> list[str]:
    if len(outputs) <= LISTED:
        return [_wrong_one(output) for output in outputs]
    found = []
    for conclusion, own in alike(_largest_first(outputs), lambda output: _guess(output).several).items():
        if len(own) == 1:
            found.append(_wrong_one(own[0]))
            continue
        sizes = each(own, _relative)
        found.append(f"{of_all(audit, own)} do not transform as declared: {sizes} of their size.{conclusion}")
    return found


def _wrong_one(output: Output) -> str:
    text = f"{quote(output.name)} does not transform as declared ({output.representation}): its error is "
    text += f"{percent(output.relative)} of its size ({size(output)})."
    alone = _parity(output)
    decided = rotations_alone(output) in (Parity.REVERSED, Parity.MIXED)
    return text + alone.one + ("" if decided else _guess(output).one)


def _guess(output: Output) -> Conclusion:
    """What is most likely wrong where an output does not transform as declared."""
    if rotations_alone(output) in (Parity.REVERSED, Parity.MIXED):
        return _parity(output)
    if not output.depends:
        missing = "on any input that is turned: one that ought to turn was declared invariant, or not at all."
        return Conclusion(f" It does not depend {missing}", f" They do not depend {missing}")
    if seen_above(output) > FLAT:
        above = f"above {highest(output.chart)}, as that of noise does."
        return Conclusion(f" Most of its power lies {above}", f" Most of their power lies {above}")
    if _out_of_order(output):
        order = (
            "their components may be in another order: (y, z, x) in the standard basis, (x, y, z) in e3nn's (basis=)."
        )
        return Conclusion(
            f" Its invariant parts are exact, and every part that turns is not: {order}",
            f" Their invariant parts are exact, and every part that turns is not: {order}",
        )
    actual = actual_irrep(output)
    if actual is None:
        text = (
            " Either the model has not learned the symmetry, or an input that should rotate was not declared "
            "(cell, edge vectors), or the "
        )
        return Conclusion(f"{text}declaration is wrong.", f"{text}declarations are wrong.")
    if actual not in targets(output):
        share, like = percent(float(output.fractions.max())), _a(output, actual)
        if components(output) * output.channels == 1:
            cause = "one number cannot be that, so it is a component of one, or an axis is fixed in the model."
            return Conclusion(
                f" {share} of its power turns like {like}: {cause}", f" The power of each turns like {like}: {cause}"
            )
        if flat := FLATTENED.get(components(output) * output.channels):
            kinds = f'{like}: is it a 3x3 tensor, flattened ("{flat}")?'
            return Conclusion(f" {share} of its power turns like {kinds}", f" The power of each turns like {kinds}")
        return Conclusion(
            f" {share} of its power turns like {like}: is that what it is?",
            f" The power of each turns like {like}: is that what they are?",
        )
    text = (
        "an absolute axis in the model (a field, a fixed direction), or components that do not line up: check their "
        "order (x, y, z or y, z, x), the basis and the layout, and R against its transpose."
    )
    return Conclusion(
        f" It carries the declared irrep, so the cause is {text}",
        f" They carry the declared irreps, so the cause is {text}",
    )


def _out_of_order(output: Output) -> bool:
    """Whether, of declared irreps, those with l >= 1 alone are broken, and each by a lot."""
    if re.search(r"\d[eo]\b", output.representation) is None:
        return False
    still: list[float] = []
    turning: list[float] = []
    for label, part in output.parts.items():
        (turning if isinstance(label, tuple) and label[0] >= 1 else still).append(part.rmse)
    return bool(still and turning) and max(still) < FAINT * output.rmse and min(turning) > output.rmse / 2


def _a(output: Output, irrep: Label) -> str:
    """``a vector (1o in e3nn's notation)``; a name alone where the group has nothing but names."""
    name, symbol = irrep_name(output.chart, irrep), irrep_symbol(output.chart, irrep)
    if symbol == str(irrep):
        return f"a {name}" if output.chart.counts else name
    return f"a {name} ({symbol} in e3nn's notation)"


def _parity(output: Output) -> Conclusion:
    """What rotations alone do, where the group has an inversion."""
    found = rotations_alone(output)
    if found is None:
        return Conclusion("", "")
    alone = f"RMSE {quantity(output, output.rmse_rotations or 0.0)}"
    if found is not Parity.BROKEN:
        several = {
            Parity.REVERSED: " They are exact under rotations; inversion changes their signs.",
            Parity.MIXED: " They are exact under rotations; they mix parities.",
        }
        return Conclusion(f" It is {found} ({alone} under rotations alone).", several[found])
    share = (output.rmse_rotations or 0.0) / output.size if output.size > 0 else 0.0
    # what rounds to the whole error is not less than it, so nothing was there already
    already = " already" if percent(share) != percent(output.relative) and share < output.relative else ""
    return Conclusion(
        f" It breaks under rotations by {percent(share)}{already} ({alone}).", f" They break under rotations{already}."
    )


# -- what is broken --------------------------------------------------------------------------------------------------


def _broken(audit: AuditData, outputs: Sequence[Output]) -> list[str]:
    if len(outputs) <= LISTED:
        return [_broken_one(audit, output) for output in outputs]
    found = []
    for (noisy, doubt), own in alike(_largest_first(outputs), lambda o: (o.stochastic, _doubt(o).several)).items():
        if len(own) == 1:
            found.append(_broken_one(audit, own[0]))
            continue
        sizes, noise = each(own, lambda output: f"by {_relative(output)}"), ", noise included" if noisy else ""
        found.append(f"{of_all(audit, own)} break their symmetry: {sizes} of their size{noise}.{doubt}")
    return found


def _broken_one(audit: AuditData, output: Output) -> str:
    text = f"{quote(output.name)} breaks {noun(output)} by {percent(output.relative)} of its size"
    text += f"{', noise included' if output.stochastic else ''} ({size(output)}{scales(audit, output)})."
    text += _doubt(output).one
    return text if uncertain(output) else text + consists(output) + worst(audit, output)


def _doubt(output: Output) -> Conclusion:
    """That the error may be none, or else what it is under rotations alone."""
    if not uncertain(output):
        return _parity(output)
    rest = "may as well be none: ask for a finer grid or more rotations."
    return Conclusion(
        f" With so large an error of its own this {rest}", f" With so large errors of their own these {rest}"
    )


def _single(audit: AuditData, outputs: Sequence[Output]) -> list[str]:
    """Of errors that are what a model keeps of having been made in float32."""
    double = [o for o in outputs if o.dtype == "float64" and audit.settings.get("computes_in") in (None, "float64")]
    own = [o for o in double if o.relative <= SINGLE and not (o.stochastic or uncertain(o))]
    if not own:
        return []
    verb = "breaks" if len(own) == 1 else "break"
    return [
        f"{every(_names(own))} {verb} by no more than float32 resolves, in float64. A model that is brought to float64 "
        "keeps constants, such as those of tensor products, as they were rounded when it was made: set the default "
        "dtype before."
    ]


# -- what is kept ----------------------------------------------------------------------------------------------------


def _exact(audit: AuditData, outputs: Sequence[Output]) -> list[str]:
    found, inner = [], str(audit.settings.get("computes_in") or "")
    for (kept, dtype), own in alike(outputs, lambda o: (law(o), max(inner, o.dtype, key=_eps))).items():
        are = f"{every(_names(own))} {'is' if len(own) == 1 else 'are'} {kept} as far as {dtype} can tell"
        least = "; ".join(
            f"{quote(o.name) + ' ' if len(own) > 1 else ''}RMSE {quantity(o, o.rmse)}, not above "
            f"{number(insignificant(o))}"
            for o in own
        )
        if len(own) > LISTED:
            least = f"none above {AT_NOISE:g} noise floors"
        more = _coarse(own, dtype) if _is_half(dtype) else _loudness([o for o in own if _is_loud(o, dtype)])
        found.append(f"{are}: {_their(own, 'error is', 'errors are')} no more than noise or round-off ({least}).{more}")
    return found


def _is_loud(output: Output, dtype: str) -> bool:
    """Whether the noise of `output` is far more than rounding, in `dtype`, of values of its size explains."""
    return bool(_eps(dtype)) and output.scatter > LOUD * _eps(dtype) * output.size


def _shares(outputs: Sequence[Output]) -> str:
    return each(outputs, lambda output: f"{percent(output.scatter / output.size)} of its size")


def _coarse(outputs: Sequence[Output], dtype: str) -> str:
    """That half precision sees little."""
    seen = [output for output in outputs if output.size > 0]
    noise = f" ({_shares(seen)})" if seen else ""
    return (
        f" That says little: what rounding of input and value to {dtype} does counts as noise{noise}, and no error of "
        "symmetry below it is seen. Audit the model in float32 to know what it does by itself."
    )


def _loudness(outputs: Sequence[Output]) -> str:
    if not outputs:
        return ""
    shares = _shares(outputs)
    return (
        f" But the noise itself is large ({shares}), far above round-off: a change in the last digit of the input is "
        "enough for it, so the model jumps there or is ill-conditioned, and an error of symmetry below it is not seen."
    )


def _alone(audit: AuditData, outputs: Sequence[Output]) -> list[str]:
    """Systems that break by themselves what is exact beside the noise of all: where noise grows with size."""
    broken = [(output, rows) for output in outputs if (rows := _loud(audit, output))]
    if len(broken) <= LISTED:
        return [_alone_one(audit, output, rows) for output, rows in broken]
    counts = ", ".join(f"{quote(output.name)} on {len(rows)}" for output, rows in broken[:NAMED])
    output, rows = max(broken, key=lambda pair: _most(*pair).outputs[pair[0].name].get("relative", 0.0))
    top = _most(output, rows)
    own = top.outputs[output.name]
    return [
        f"Of {len(audit.systems)} systems some break the symmetry of {len(broken)} outputs all the same: {counts}. "
        f"Most does {quote(output.name)} at {quote(top.name)}, by {percent(own.get('relative'))} of its size."
    ]


def _loud(audit: AuditData, output: Output) -> list[SystemRow]:
    """The systems whose error stands above their own noise."""
    return [
        row
        for row in audit.systems
        if system_error(row, output.name) > AT_NOISE * row.outputs.get(output.name, {}).get("noise_floor", math.inf)
    ]


def _most(output: Output, rows: Sequence[SystemRow]) -> SystemRow:
    return max(rows, key=lambda row: row.outputs[output.name].get("relative", 0.0))


def _alone_one(audit: AuditData, output: Output, rows: Sequence[SystemRow]) -> str:
    top = _most(output, rows)
    own, where = top.outputs[output.name], listing([row.name for row in rows])
    told = f"RMSE {quantity(output, own['rmse'])}, noise floor {number(own['noise_floor'])} there"
    return (
        f"On {len(rows)} of {len(audit.systems)} systems, {where}, {quote(output.name)} breaks {noun(output)} all "
        f"the same, at {quote(top.name)} by {percent(own.get('relative'))} of its size ({told})."
    )
