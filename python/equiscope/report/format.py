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

NAMED = 40
"""Names in a sentence that is about each of them."""


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


def broken(name: str, width: int, indent: str = "") -> str:
    """`name`, whole, in lines of at most `width` characters, those after the first behind `indent`.

    It breaks between the parts of a path, and within one that is longer than a line after spaces, underscores and
    dashes, else where the line ends.
    """
    lines = [""]
    for part in re.split(r"(?<=[.:/])|(?=\[)", name):
        pieces = [part] if len(indent) + len(part) <= width else re.split(r"(?<=[ _-])", part)
        for piece in pieces:
            if lines[-1].strip() and len(lines[-1]) + len(piece) > width:
                lines.append(indent)
            while len(lines[-1]) + len(piece) > width:
                room = max(width - len(lines[-1]), 1)
                lines[-1] += piece[:room]
                piece = piece[room:]
                lines.append(indent)
            lines[-1] += piece
    return "\n".join(lines)


def shortened(name: str, letters: int) -> str:
    """`name` in one line of at most so many letters: its beginning and its end."""
    name = " ".join(name.splitlines())
    if len(name) <= letters:
        return name
    end = (letters - 1) // 2
    return name[: letters - 1 - end] + "…" + name[len(name) - end :]


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


def listing(names: Iterable[str], most: int = LISTED) -> str:
    """Quoted names as a phrase; beyond the first few they are only counted."""
    quoted = [quote(name) for name in names]
    if len(quoted) > most:
        return ", ".join(quoted[:most]) + f" and {len(quoted) - most} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def every(names: Iterable[str]) -> str:
    """The same with each of the names, unless they are very many."""
    return listing(names, NAMED)


def several(told: Sequence[str]) -> str:
    """What is told of each of many, after commas, unless they are very many."""
    return ", ".join(told[:NAMED]) + (f" and {len(told) - NAMED} more" if len(told) > NAMED else "")


def with_error(value: float, error: float | None, sign: str = "+-", assumed: bool = False) -> str:
    """`value` as a cell, with its error where it has one, and a star where that rests on an assumption."""
    if not error or not math.isfinite(value):
        return number(value)
    return f"{number(value)} {sign} {margin(value, error)}{'*' if assumed else ''}"


def margin(value: float, error: float) -> str:
    """The error of `value` to two digits, with an exponent only where the value has one or the error is tiny beside."""
    if "e" in number(value) or value == 0 or not TINY * abs(value) < error < math.inf:
        return number(error, 2)
    return np.format_float_positional(float(f"{error:.1e}"), trim="-")


def quantity(output: Output, value: float) -> str:
    """`value` of an output, in its unit where that is known."""
    return f"{number(value)} {output.unit}" if output.unit else number(value)
