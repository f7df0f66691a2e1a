"""Speed of equiscope beside its peers and its limits: one table, one JSON file.

    python benches/table.py [--only wigner_D,rotate] [--quick] [--json FILE] [--page]

Everything is measured in this run, on the same inputs and one thread, in rounds that take turns; ratios are medians
over the rounds. Answers are asserted before anything is timed. --page only writes the rows of the stored results, one
table per instruction set, that docs/kernels.md shows between its markers.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cases
import end_to_end
import torch
from cases import Call, Case
from page import rewrite

import equiscope as eq

RESULTS = Path(__file__).parent / "results"
MARKERS = ("<!-- speed -->\n", "<!-- /speed -->\n")
SECONDS = 1.5
"""About what one case may take per competitor."""

GROUPS: dict[str, Callable[[bool], Iterator[Case]]] = {
    function.__name__: function
    for function in (
        cases.wigner_D,
        cases.spherical_harmonics,
        cases.rotate,
        cases.character_power,
        end_to_end.audit_demo,
        end_to_end.audit_pet,
        end_to_end.audit_pet_l12,
        end_to_end.audit_many,
        end_to_end.audit_cheap,
    )
}


def timed(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(case: Case, quick: bool = False) -> dict[str, Any]:
    """Seconds per item of every competitor, and ratios to ours, medians over rounds."""
    calls, rounds = dict.fromkeys(case.calls, 1), case.rounds
    if rounds is None:
        once = {name: min(timed(call) for _ in range(2)) for name, call in case.calls.items()}
        calls = {name: max(1, int(1e-3 / max(seconds, 1e-9))) for name, seconds in once.items()}
        slowest = max(seconds * calls[name] for name, seconds in once.items())
        rounds = 2 if quick else min(31, max(5, int(SECONDS / slowest)))
    seconds: dict[str, list[float]] = {name: [] for name in case.calls}
    for _ in range(rounds):
        for name, call in case.calls.items():
            total = sum(timed(call) for _ in range(calls[name]))
            seconds[name].append(total / calls[name] / case.items[name])
    ratios = {
        name: statistics.median(other / ours for other, ours in zip(own, seconds["ours"], strict=True))
        for name, own in seconds.items()
        if name != "ours"
    }
    return {
        "case": case.name,
        "unit": case.unit,
        "seconds": {name: statistics.median(own) for name, own in seconds.items()},
        "ratios": ratios,
        "rounds": rounds,
        "missing": case.missing,
        "bounds": [
            {"against": b.against, "bound": str(b), "met": b.met(ratios[b.against]), "why_not": b.why_not}
            for b in case.bounds
            if b.against in ratios and not quick
        ],
    }


def weigh(quantity: end_to_end.Quantity) -> dict[str, Any]:
    value = quantity.measure()
    bound = {"bound": f"{quantity.at_most:g} {quantity.unit}", "met": value <= quantity.at_most}
    return {
        "case": quantity.name,
        "unit": quantity.unit,
        "value": value,
        "bounds": [{**bound, "why_not": quantity.why_not}],
    }


def lines(row: dict[str, Any]) -> list[str]:
    """One line per competitor and per bound that is missed."""
    if "value" in row:
        (bound,) = row["bounds"]
        return [f"{row['case']:62} {row['value']:8.3g} {row['unit']:6} bound {bound['bound']} {verdict(bound)}"]
    ours = row["seconds"]["ours"]
    text = [f"{row['case']:62} {duration(ours)} per {row['unit']}"]
    bounds = {bound["against"]: bound for bound in row["bounds"]}
    for name, ratio in row["ratios"].items():
        said = f"bound {bounds[name]['bound']} {verdict(bounds[name])}" if name in bounds else ""
        each = duration(row["seconds"][name])
        text.append(f"    {name:18} {each}   {name}/ours {ratio:8.3g}   ours/{name} {1 / ratio:6.3g}   {said}")
    if row["missing"]:
        text.append(f"    not installed: {', '.join(row['missing'])}")
    return text


def verdict(bound: dict[str, Any]) -> str:
    return "met" if bound["met"] else f"MISSED: {bound['why_not'] or 'to be explained'}"


def duration(seconds: float) -> str:
    for unit, factor in (("s ", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= factor:
            return f"{seconds / factor:7.3g} {unit}"
    return f"{seconds / 1e-9:7.3g} ns"


def environment() -> dict[str, Any]:
    found = eq.info()
    model = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "date": datetime.date.today().isoformat(),
        "machine": model[0] if model else found["platform"],
        "isa": found["isa"],
        "threads": 1,
        "versions": found["versions"],
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


LIMITS = {"fill": "filling the result", "copy": "copying", "reading": "reading the samples", "bare": "the bare model"}
"""What no kernel can be faster than, or nearly; everything else is a peer."""

SHOWN = (
    "wigner_D, float64, L8",
    "spherical_harmonics, float64, L8, large",
    "rotate, float64, 64 x l <= 8",
    "character_power, float64",
    "audit of",
)
"""Beginnings of the cases that the page shows."""


def page_tables() -> str:
    """Markdown of the stored results, one table per instruction set."""
    return "\n".join(page_table(json.loads(path.read_text())) for path in sorted(RESULTS.glob("cpu_*.json")))


def page_table(stored: dict[str, Any]) -> str:
    """Markdown of the rows that say most."""
    about = stored["environment"]
    text = [
        f"One thread of an {about['machine']} ({about['isa']}), {about['date']}; peers and limits in the same run.",
        "",
        "| | time | of the time of | times faster than |",
        "|---|---|---|---|",
    ]
    for row in stored["rows"]:
        if "ratios" not in row or not row["case"].startswith(SHOWN):
            continue
        ours = f"{duration(row['seconds']['ours']).strip()} per {row['unit']}"
        limits = [f"{1 / r:.2f} {LIMITS[name]}" for name, r in row["ratios"].items() if name in LIMITS]
        peers = [f"{ratio(r)} {name}" for name, r in row["ratios"].items() if name not in LIMITS]
        text.append(f"| {row['case']} | {ours} | {', '.join(limits)} | {', '.join(peers)} |")
    return "\n".join(text) + "\n"


def ratio(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"among {', '.join(GROUPS)}, quantities")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    if arguments.page:
        return rewrite(MARKERS, page_tables())
    names = arguments.only.split(",") if arguments.only else [*GROUPS, "quantities"]
    if unknown := [name for name in names if name not in (*GROUPS, "quantities")]:
        parser.error(f"--only: expected names among {', '.join(GROUPS)}, quantities, got {', '.join(unknown)}")
    torch.set_num_threads(1)
    about = environment()
    print(*(f"{key}: {value}" for key, value in about.items()), sep="\n", flush=True)
    rows = []
    for name in names:
        measured = (
            map(weigh, end_to_end.quantities(arguments.quick))
            if name == "quantities"
            else (measure(case, arguments.quick) for case in GROUPS[name](arguments.quick))
        )
        for row in measured:
            rows.append(row)
            print(*lines(row), sep="\n", flush=True)
    missed = [b for row in rows for b in row["bounds"] if not b["met"]]
    print(f"{sum(len(row['bounds']) for row in rows)} bounds, {len(missed)} missed")
    if arguments.json:
        arguments.json.write_text(json.dumps({"environment": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
