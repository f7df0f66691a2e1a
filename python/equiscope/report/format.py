"""How numbers and names are written, in every table, picture and sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from ..result.data import Output

TINY = 1e-3
"""Errors of a smaller part of their value are written with an exponent."""

LISTED = 3
"""Names or statements of one kind before the rest is only counted."""


def number(value: float | None, digits: int = 3) -> str:
    """`value` to `digits` significant digits: positional from 0.001 to 1000, with an exponent beyond."""
    if value is None:
        return "-"
    value = float(value)
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    scientific = f"{value:.{digits - 1}e}"
    mantissa, exponent = scientific.split("e")
    if -3 <= int(exponent) <= 2:
        return f"{value:#.{digits}g}".rstrip(".")
    return f"{mantissa}e{int(exponent):+03d}"


def percent(share: float | None) -> str:
    """A share of a whole: per cent down to 0.1 %, the bare number with an exponent below."""
    if share is None or not math.isfinite(share):
        return number(share)
    return f"{number(100 * share)}%" if abs(share) >= 1e-3 or share == 0 else number(share)


def short_share(share: float, floor: float = 0.0, digits: int = 2) -> str:
    """A share in as few characters as it takes; ``-`` where it does not exceed `floor`."""
    if not math.isfinite(share):
        return str(share)
    if share <= max(floor, 0.0):
        return "-"
    if share >= 1 - 0.5 * 10.0**-digits:
        return "1"
    if share >= 0.1:
        return f"{share:.{digits}f}"
    mantissa, exponent = f"{share:.{digits - 1 if digits > 2 else 0}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def seconds(value: float) -> str:
    """A duration, in the unit that suits it."""
    if value < 120:
        return f"{number(value)} s"
    if value < 7200:
        return f"{value / 60:.1f} min"
    return f"{value / 3600:.1f} h"


def count(value: float) -> str:
    """A whole number, thousands apart."""
    return f"{int(value):,}".replace(",", " ")


def elide(name: str, width: int) -> str:
    """`name` in at most `width` characters: the middle goes, since both ends tell names apart."""
    if len(name) <= width:
        return name
    if width < 5:
        return name[: max(width, 0)]
    head = (width - 2) // 2
    return f"{name[:head]}..{name[len(name) - (width - 2 - head) :]}"


def elide_paths(names: Sequence[str], width: int) -> list[str]:
    """Each of `names` in at most `width` characters, as `elide`. Dotted paths first give up the letters of
    their middle parts, then of their first, and keep numbers and end; alike for all paths that start
    alike."""
    paths = [name.split(".") if re.fullmatch(r"\w+(\.\w+)*", name) else [name] for name in names]
    short = list(names)
    for root in {path[0] for path in paths}:
        group = [i for i, path in enumerate(paths) if path[0] == root]
        for level in range(max(len(paths[i]) for i in group)):
            if all(len(short[i]) <= width for i in group):
                break
            for i in group:
                short[i] = _abbreviated(paths[i], level)
    return [elide(name, width) for name in short]


def _abbreviated(path: Sequence[str], level: int) -> str:
    """The path with its parts 1..level cut to their first letter; with the first part too at the last
    level."""
    order = [*range(1, len(path) - 1), 0][: level + 1] if len(path) > 1 else []
    return ".".join(part[:1] if i in order and not part.isdigit() else part for i, part in enumerate(path))


def runs(values: Iterable[int]) -> str:
    """Whole numbers as a list with ranges: ``0, 2..4``."""
    parts: list[list[int]] = []
    for value in sorted(set(values)):
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(f"{part[0]}..{part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts)


def quote(name: str) -> str:
    """A name between backquotes, which the page shows as code; it cannot hold any itself."""
    return "`" + name.replace("`", "'") + "`"


def listing(names: Sequence[str]) -> str:
    """Quoted names as a phrase; beyond the first few they are only counted."""
    quoted = [quote(name) for name in names[:LISTED]]
    if len(names) > LISTED:
        return ", ".join(quoted) + f" and {len(names) - LISTED} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def with_error(value: float, error: float | None, sign: str = "+-", assumed: bool = False) -> str:
    """`value` as a cell, with its error where it has one, and a star where that rests on an assumption."""
    return number(value) + (f" {sign} {margin(value, error)}{'*' if assumed else ''}" if error else "")


def margin(value: float, error: float) -> str:
    """The error of `value` to two digits, with an exponent only where the value has one or the error is tiny beside."""
    if "e" in number(value) or not TINY * abs(value) < error < math.inf:
        return number(error, 2)
    return np.format_float_positional(float(f"{error:.1e}"), trim="-")


def quantity(output: Output, value: float) -> str:
    """`value` of an output, in its unit where that is known."""
    return f"{number(value)} {output.unit}" if output.unit else number(value)
