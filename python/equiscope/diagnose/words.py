"""A diagnosis in words: table and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..report.format import number, percent, quote
from .fate import NEAR, READABLE, Fate, LayerReading
from .remedy import constant_in, remedy
from .sector import SectorDiagnosis

FEW = 1e-2
"""Share of the power of a target that is hardly any."""

HEADINGS = ("output", "sector", "power", "explained", "averaged", "best layer", "reads", "verdict")


def table(sectors: Sequence[SectorDiagnosis]) -> str:
    """One row per sector, columns aligned."""
    rows = [HEADINGS, *map(cells, sectors)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def markdown(sectors: Sequence[SectorDiagnosis], findings: Sequence[str]) -> str:
    """The same for a page, with the sentences below."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *map(cells, sectors)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"- {each}" for each in findings)]) + "\n"


def cells(sector: SectorDiagnosis) -> tuple[str, ...]:
    """What stands under `HEADINGS`."""
    best = max(sector.layers, key=lambda layer: layer.symmetrised, default=None)
    told = best is not None and best.symmetrised > 0
    return (
        sector.output,
        sector.words,
        number(sector.power),
        _share(sector.explained),
        _share(sector.symmetrised),
        best.layer if best is not None and told else "-",
        _share(best.symmetrised) if best is not None and told else "-",
        sector.verdict,
    )


def _share(explained: float) -> str:
    """Of a target that is explained: what is below 0 explains nothing."""
    if not math.isfinite(explained):
        return "-"
    return "none" if explained < 0.005 else f"{100 * explained:.1f}%" if explained < 0.9995 else "100%"


def unmeasured(output: str, reason: str) -> str:
    """Of an output without a number, whose sectors are none."""
    return f"{quote(output)} was not measured, and no sector of it is told of: {reason}."


def finding(sector: SectorDiagnosis) -> str:
    """What became of one sector, and what to change."""
    return f"{sentence(sector)} {remedy(sector)}".strip()


def sentence(sector: SectorDiagnosis) -> str:
    """What became of one sector, and what its numbers say of why."""
    told = {
        Fate.NOISE: _noise,
        Fate.LEARNED: _learned,
        Fate.BROKEN: _broken,
        Fate.NEVER: _never,
        Fate.LOST: _lost,
        Fate.UNREAD: _unread,
        Fate.PARTLY: _partly,
        Fate.UNTOLD: _untold,
    }
    text = told[sector.fate](sector)
    if sector.fate in (Fate.NOISE, Fate.LEARNED, Fate.BROKEN):
        return text
    return text + _component(sector)


def _name(sector: SectorDiagnosis) -> str:
    return f"{quote(sector.output)}, {sector.words}"


def _formed(sector: SectorDiagnosis) -> str:
    return f" It is formed at {quote(sector.formed_at)}." if sector.formed_at else ""


def _noise(sector: SectorDiagnosis) -> str:
    why = "is the same for every system" if sector.power > 0 and sector.varying < 1e-6 else "stands not above noise"
    return f"{_name(sector)}: below noise. The target {why}, so that there is nothing to learn."


def _learned(sector: SectorDiagnosis) -> str:
    return f"{_name(sector)}: learned. The output explains {_share(sector.explained)} of the target.{_formed(sector)}"


def _broken(sector: SectorDiagnosis) -> str:
    text = (
        f"{_name(sector)}: learned on average over orientations ({_share(sector.symmetrised)} of the target), and not "
        f"in any one ({_share(sector.explained)})."
    )
    others = {words: power for words, power in sector.error_in.items() if words != sector.words}
    if others:
        most = max(others, key=others.__getitem__)
        text += f" The error lies in the sector {most} ({number(others[most])}), which this target does not have"
        text += ": a bias of the readout puts it there." if constant_in(sector) else "."
    return text + _formed(sector)


def _never(sector: SectorDiagnosis) -> str:
    loudest = max(sector.layers, key=lambda layer: layer.share if layer.seen else -1.0, default=None)
    text = f"{_name(sector)}: never formed. It can be read from no layer"
    if loudest is None or not loudest.seen:
        return f"{text}: none has power in this sector. It has to be put in by the embedding, or made by products."
    best = max((layer for layer in sector.layers if layer.seen), key=lambda layer: layer.symmetrised)
    return (
        f"{text}, though there is power in this sector ({percent(loudest.share)} of {quote(loudest.layer)}): what is "
        f"there is something else (at most {_share(best.symmetrised)} is read, from {quote(best.layer)})."
    )


def _lost(sector: SectorDiagnosis) -> str:
    last = [layer for layer in sector.layers if layer.holds][-1]
    after = next(layer for layer in sector.layers if layer.layer == sector.lost_at)
    then = f"{_share(after.symmetrised)} is read, from {percent(after.share)} of its power"
    then = then if after.seen else "this sector has no power"
    return (
        f"{_name(sector)}: lost at {quote(after.layer)}. {quote(last.layer)} before it holds "
        f"{_share(last.symmetrised)} of the target; there {then}.{_formed(sector)}"
    )


def _unread(sector: SectorDiagnosis) -> str:
    last = sector.layers[-1]
    text = (
        f"{_name(sector)}: present but not read out. {quote(last.layer)}, the last layer, holds "
        f"{_share(last.symmetrised)} of the target, and the output gives {_share(sector.symmetrised)}."
    )
    return text + _how(last) + _formed(sector)


def _partly(sector: SectorDiagnosis) -> str:
    text = f"{_name(sector)}: learned in part, {_share(sector.explained)} of the target"
    text += f" ({_share(sector.symmetrised)} on average over orientations)."
    best = max(sector.layers, key=lambda layer: layer.symmetrised, default=None)
    if best is not None and best.holds:
        text += f" The layers hold no more than {_share(best.symmetrised)} ({quote(best.layer)})."
    return text + _formed(sector)


def _untold(sector: SectorDiagnosis) -> str:
    return (
        f"{_name(sector)}: cannot be told. The output does not give it ({_share(sector.symmetrised)}), but from "
        f"{sector.samples} samples targets that are made of the features of a layer could not be read either: add "
        "systems, or choose layers with fewer channels."
    )


def _how(layer: LayerReading) -> str:
    if layer.linear >= layer.symmetrised - NEAR:
        return " A linear readout would give it at any orientation: the readout is at fault."
    if layer.linear < READABLE:
        return (
            f" At random orientations a linear readout would give {_share(layer.linear)}: the sector is there, among "
            "other content that does not cancel but on average over orientations."
        )
    return f" A linear readout would give {_share(layer.linear)} at random orientations."


def _component(sector: SectorDiagnosis) -> str:
    """Whether the output has power in the sector, and whether it is that of the target."""
    varying = sector.power * sector.varying
    if abs(sector.offset) > math.sqrt(varying):
        return f" The output is off by a constant, {number(sector.offset)}."
    if sector.predicted < FEW * varying:
        share = sector.predicted / varying
        return f" The output has {percent(share) if share > 1e-12 else 'none'} of the target's power in this sector."
    if sector.cosine**2 >= 0.9:
        return f" The output follows the target at the wrong size, {number(sector.gain)} times it."
    if sector.cosine**2 < 0.25:
        cosine = number(sector.cosine)
        return f" The output has power in this sector, but not the target's component: their cosine is {cosine}."
    return f" Output and target have a cosine of {number(sector.cosine)} in this sector."
