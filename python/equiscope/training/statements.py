"""A history in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..report.format import listing, number, percent, quantity, quote

if TYPE_CHECKING:
    from .data import HistoryData, Point

FAR = 2.0
"""Factor between the lowest error and the last one from which the lowest is worth a word."""


def findings(history: HistoryData) -> list[str]:
    """A line for each output, then what failed, what was skipped and what it cost."""
    if not history.points:
        return ["There are no points.", *_missing(history)]
    lines = [_output(history, name) for name in history.outputs]
    return [*lines, *_unmeasured(history), *_missing(history)]


def _output(history: HistoryData, name: str) -> str:
    found = [(point, point.audit.outputs[name]) for point in history if name in point.audit.outputs]
    (first, before), (last, now) = found[0], found[-1]
    text = f"{quote(name)}: RMSE {quantity(before, before.rmse)} ({percent(before.relative)} of its size) {_at(first)}"
    if len(found) == 1:
        return f"{text}."
    text += f", {quantity(now, now.rmse)} ({percent(now.relative)}) {_at(last)}"
    if not now.verdict.is_broken:
        text += f"; verdict at the end: {now.verdict}"
    elif abs(now.rmse - before.rmse) <= before.rmse_error + now.rmse_error:
        text += "; the two do not differ beyond their errors"
    best, lowest = min(found, key=lambda pair: pair[1].rmse)
    if lowest.rmse * FAR < now.rmse and now.verdict.is_broken:
        text += f"; it was lowest, {quantity(lowest, lowest.rmse)}, {_at(best)}"
    return f"{text}."


def _unmeasured(history: HistoryData) -> list[str]:
    """Where outputs have no number, and why they had none the first time."""
    lines = []
    for name in history.listed:
        lacking = [point for point in history if name in point.audit.unmeasured]
        if lacking:
            steps = listing([str(point.step) for point in lacking]).replace("`", "")
            lines.append(f"{quote(name)} was not measured at step {steps}: {lacking[0].audit.unmeasured[name]}.")
    return lines


def _at(point: Point) -> str:
    return "untrained" if point.step == 0 else f"at step {point.step}"


def _missing(history: HistoryData) -> list[str]:
    lines = []
    if history.failures:
        steps = listing([str(failed.step) for failed in history.failures]).replace("`", "")
        lines.append(f"Audits failed at step {steps}: {history.failures[0].reason}")
    if history.all_skipped:
        share = history.settings.get("budget")
        most = f"more than {percent(share)} of the time" if share else "too much of the time"
        points = f"{history.all_skipped} due points were" if history.all_skipped > 1 else "One due point was"
        lines.append(f"{points} skipped, since audits would have taken {most}.")
    if history.points and history.points[-1].seconds > 0:
        point = history.points[-1]
        taken, whole = number(point.spent), number(point.seconds)
        lines.append(
            f"Audits took {taken} s of the {whole} s up to step {point.step} ({percent(point.spent / point.seconds)})."
        )
    return lines
