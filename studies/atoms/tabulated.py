"""Tables of the account, with the spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..spread import Difference, Spread, number
from ..store import Store
from .gfn2 import FORCES, MOMENTS
from .reading import LAST_NODE, OUTPUTS, PSEUDO, TITLES, broken, final, resolved, share, spread, trained, unexplained

DENSITIES = (
    "density-o3-linear",
    "density-o3-harmonic4",
    "density-o3-wide4",
    "density-none-linear",
    "density-aligned-linear",
    "density-so3-linear",
    "density-o3-linear-slow",
    "density-o3-harmonic4-slow",
    "density-o3-linear-fast",
    "density-o3-harmonic4-fast",
    "density-o3-wide4-fast",
    "density-o3-triples",
    "density-o3-triples-fast",
    "density-o3-harmonic2",
    "density-o3-harmonic8",
    "density-o3-solid4",
    "density-o3-harmonic4-norm",
    "density-o3-linear-unbiased",
    "density-o3-linear-biasless",
    "density-o3-linear-default",
    "density-o3-linear-long",
    "density-o3-harmonic4-long",
)
FINETUNED = {
    "density-o3-linear": ("finetune-o3-control", "finetune-o3-1", "finetune-o3-10"),
    "density-none-linear": ("finetune-none-control", "finetune-none-10"),
}
"""By the run that they begin with; the first is the control of the others."""
GFN2 = ("gfn2-o3-linear", "gfn2-o3-linear-fast", "gfn2-o3-harmonic4", "gfn2-none-linear")
DYNAMICS = ("dynamics-o3-linear", "dynamics-o3-linear-fast", "dynamics-o3-harmonic4")
DIAGNOSES = (
    "diagnosis-untrained-linear",
    "diagnosis-untrained-harmonic4",
    "diagnosis-o3-linear",
    "diagnosis-o3-harmonic4",
    "diagnosis-none-linear",
)

Cell = Callable[[dict[str, Any]], float]


def tables(store: Store) -> dict[str, str]:
    """By name, those that there are results for."""
    shown = [TITLES[name] for name in OUTPUTS]
    moments = [*MOMENTS, *FORCES]
    found = {
        "atoms-error": _table(store, DENSITIES, shown, [unexplained(name) for name in OUTPUTS]),
        "atoms-error-train": _table(store, DENSITIES, shown, [trained(name) for name in OUTPUTS]),
        "atoms-A": _table(store, DENSITIES, shown, [final(name, "A") for name in OUTPUTS]),
        "atoms-broken": _table(store, DENSITIES, shown, [broken(name) for name in OUTPUTS]),
        "atoms-symmetrised": _table(store, DENSITIES, shown, [final(name, "mse_symmetrised") for name in OUTPUTS]),
        "atoms-tokens-untrained": tokens(store, 0),
        "atoms-tokens": tokens(store, None),
        "atoms-tokens-channels": tokens(store, None, "each_channel"),
        "atoms-degrees": refined(store),
        "atoms-gfn2": _table(store, GFN2, moments, [unexplained(name) for name in moments]),
        "atoms-gfn2-A": _table(store, GFN2, moments, [final(name, "A") for name in moments]),
        "atoms-contrasts": contrasts(store),
        "atoms-rates": rates(store),
        "atoms-finetuned-A": _table(store, _finetuned(store), shown, [final(name, "A") for name in OUTPUTS]),
        "atoms-finetuned-error": _table(store, _finetuned(store), shown, [unexplained(name) for name in OUTPUTS]),
        "atoms-finetuned-symmetrised": _table(
            store, _finetuned(store), shown, [final(name, "mse_symmetrised") for name in OUTPUTS]
        ),
        "atoms-finetuned-ratios": ratios(store),
        "atoms-dynamics": dynamics(store),
        "atoms-diagnosis": diagnoses(store),
        "atoms-check": checks(store),
        "atoms-padding": padding(store),
    }
    return {name: text for name, text in found.items() if text}


def rates(store: Store) -> str:
    """Left unexplained at each peak rate, by embedding."""
    rows = []
    for edges in ("linear", "wide4", "harmonic4"):
        for rate, behind in (("3e-4", "-slow"), ("1e-3", ""), ("3e-3", "-fast")):
            found = [spread(store, f"density-o3-{edges}{behind}", unexplained(name)) for name in OUTPUTS[:5]]
            if found[0] is not None:
                rows.append(f"| {edges} | {rate} | {len(found[0].values)} | {' | '.join(map(str, found))} |")
    if not rows:
        return ""
    head = f"| edges | peak rate | seeds | {' | '.join(TITLES[name] for name in OUTPUTS[:5])} |"
    return "\n".join([head, "|---" * 8 + "|", *rows])


def _finetuned(store: Store) -> list[str]:
    """Runs of fine-tuning, each behind the one that it begins with; none where there are none."""
    names = [name for of, tuned in FINETUNED.items() if any(map(store.seeds, tuned)) for name in (of, *tuned)]
    return [name for name in names if store.seeds(name)]


def ratios(store: Store) -> str:
    """Of A and of errors after fine-tuning with A in the loss to those of the control, seed by seed."""
    cells = {
        "A": lambda name: final(name, "A"),
        "symmetrised error": lambda name: final(name, "mse_symmetrised"),
        "unexplained": unexplained,
    }
    rows = []
    for control, *others in FINETUNED.values():
        for run in others:
            seeds = [seed for seed in store.seeds(run) if seed in store.seeds(control)]
            for words, cell in cells.items() if seeds else ():
                found = [Spread(tuple(_ratio(store, run, control, seed, cell(n)) for seed in seeds)) for n in OUTPUTS]
                rows.append(f"| {run} | {words} | {len(seeds)} | {' | '.join(map(str, found))} |")
    if not rows:
        return ""
    head = f"| run over control | of | seeds | {' | '.join(TITLES[name] for name in OUTPUTS)} |"
    return "\n".join([head, "|---" * (len(OUTPUTS) + 3) + "|", *rows])


def _ratio(store: Store, one: str, other: str, seed: int, cell: Cell) -> float:
    return cell(store.load(one, seed)) / cell(store.load(other, seed))


SHOWN = (20.0, 50.0, 200.0)
"""fs after which dynamics are told of."""


def dynamics(store: Store) -> str:
    """Root mean square over molecules, whole or not, of what energy and angular momentum have changed by."""
    rows = []
    for run in DYNAMICS:
        results = store.all(run)
        for kind in results[0]["kinds"] if results else ():
            found = [result["kinds"][kind] for result in results]
            times = [time for time in SHOWN if time in found[0]["fs"]]
            for time in times:
                at = found[0]["fs"].index(time)
                energy, angular = (
                    Spread(tuple(_rms(each[key][at]) for each in found)) for key in ("energy", "angular")
                )
                whole = Spread(tuple(sum(each["whole"][at]) / len(each["whole"][at]) for each in found))
                cells = f"{energy} | {angular} | {whole}"
                rows.append(f"| {run} | {kind} | {len(results)} | {time:g} | {cells} |")
    if not rows:
        return ""
    head = "| run | forces | seeds | fs | energy, eV per atom | angular momentum, thermal | molecules whole |"
    return "\n".join([head, "|---" * 7 + "|", *rows])


def padding(store: Store) -> str:
    """By step, what a molecule's outputs change by when another is before it in the batch, over their size."""
    rows = []
    for run in ("padding-small", "padding-default"):
        for result in store.all(run):
            for step, point in result["curve"].items():
                rows.append(f"| {run} | {step} | {' | '.join(number(value) for value in point.values())} |")
    if not rows:
        return ""
    head = "| run | step | root mean square | most | the same, floor 1e-30 | most, floor 1e-30 |"
    return "\n".join([head, "|---" * 6 + "|", *rows])


def _rms(values: Sequence[float | None]) -> float:
    """Not a number where one is none, of an explosion."""
    return math.sqrt(sum(math.nan if x is None else x * x for x in values) / len(values))


_LABELS: dict[str, list[tuple[int, int]]] = {**{f"l = {l}": [(l, 1)] for l in range(5)}, "sigma = -1": PSEUDO}


def tokens(store: Store, step: int | None, key: str = "shares") -> str:
    """Shares of power in the tokens that the heads read; what is within the errors of the audits is an upper limit."""
    rows = []
    for run in DENSITIES:
        results = store.all(run)
        if results:
            cells = []
            for labels in _LABELS.values():
                cell = limited([resolved(LAST_NODE, labels, step)(result) for result in results])
                if key != "shares" and not cell.startswith("<"):
                    cell = str(Spread(tuple(_summed(result, labels, step, key) for result in results)))
                cells.append(cell if key == "shares" or not cell.startswith("<") else "not resolved")
            rows.append(f"| {run} | {len(results)} | {' | '.join(cells)} |")
    if not rows:
        return ""
    return "\n".join([f"| run | seeds | {' | '.join(_LABELS)} |", "|---" * (len(_LABELS) + 2) + "|", *rows])


def limited(found: Sequence[tuple[float, float]]) -> str:
    """Of pairs of a share and the half width within which it is known, over seeds."""
    shares, errors = zip(*found, strict=True)
    if sum(shares) <= sum(errors):
        return f"< {number(max(errors))}"
    return str(Spread(shares))


def _summed(result: dict[str, Any], labels: Sequence[tuple[int, int]], step: int | None, key: str) -> float:
    return sum(share(LAST_NODE, l, sigma, step, key)(result) for l, sigma in labels)


PLACES = {
    "backend.gnn_layers.0.compress": "edge tokens 1",
    "backend.gnn_layers.0.trans.layers.0.attention": "attention 1.1",
    "backend.gnn_layers.0.trans.layers.0[0]": "block 1.1, atoms",
    "backend.gnn_layers.0.trans.layers.0[1]": "block 1.1, edges",
    "backend.gnn_layers.1.compress": "edge tokens 2",
    LAST_NODE: "last atoms",
}


def refined(store: Store) -> str:
    """Share with sigma = -1 from layer to layer, on two grids."""
    rows = []
    for run in ("degrees-untrained-linear", "degrees-o3-linear", "degrees-untrained-harmonic4", "degrees-o3-harmonic4"):
        results = store.all(run)
        for degree in results[0]["degrees"] if results else ():
            audits = [{"audits": {degree: result["degrees"][degree]}} for result in results]
            cells = [limited([resolved(layer, PSEUDO)(audit) for audit in audits]) for layer in PLACES]
            changes = [_change(result["degrees"], degree) for result in results]
            rows.append(f"| {run} | {len(results)} | {degree} | {' | '.join(cells)} | {number(max(changes))} |")
    if not rows:
        return ""
    head = f"| run | seeds | degree | {' | '.join(PLACES.values())} | A off by |"
    return "\n".join([head, "|---" * (len(PLACES) + 4) + "|", *rows])


def _change(degrees: dict[str, Any], degree: str) -> float:
    """Largest relative difference of A of any output from that of the finest grid."""
    finest = degrees[max(degrees, key=int)]["outputs"]
    return max(abs(output["A"] / finest[name]["A"] - 1) for name, output in degrees[degree]["outputs"].items())


def _table(store: Store, runs: Sequence[str], heads: Sequence[str], cells: Sequence[Cell]) -> str:
    """A row for each run that has a result."""
    rows = []
    for run in runs:
        spreads = [spread(store, run, cell) for cell in cells]
        if spreads[0] is not None:
            rows.append(f"| {run} | {len(spreads[0].values)} | {' | '.join(map(str, spreads))} |")
    if not rows:
        return ""
    return "\n".join([f"| run | seeds | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|", *rows])


_PAIRS = [
    ("harmonic4", "linear", "density-o3-harmonic4", "density-o3-linear", OUTPUTS),
    ("wide4", "linear", "density-o3-wide4", "density-o3-linear", OUTPUTS[:5]),
    ("harmonic4", "wide4", "density-o3-harmonic4", "density-o3-wide4", OUTPUTS[:5]),
    ("no augmentation", "O(3)", "density-none-linear", "density-o3-linear", OUTPUTS[:5]),
    ("aligned", "O(3)", "density-aligned-linear", "density-o3-linear", OUTPUTS[:5]),
    ("SO(3)", "O(3)", "density-so3-linear", "density-o3-linear", OUTPUTS),
]
_FAST = [
    ("harmonic4", "linear, both at 3e-3", "density-o3-harmonic4-fast", "density-o3-linear-fast", OUTPUTS[:5]),
    ("wide4", "linear, both at 3e-3", "density-o3-wide4-fast", "density-o3-linear-fast", OUTPUTS[:5]),
    ("harmonic4", "wide4, both at 3e-3", "density-o3-harmonic4-fast", "density-o3-wide4-fast", OUTPUTS[:5]),
    ("linear at 3e-3", "at 1e-3", "density-o3-linear-fast", "density-o3-linear", OUTPUTS[:5]),
    ("linear at 3e-3", "harmonic4 at 1e-3", "density-o3-linear-fast", "density-o3-harmonic4", OUTPUTS[:5]),
    ("triples", "linear, both at 3e-3", "density-o3-triples-fast", "density-o3-linear-fast", OUTPUTS),
]

CONTRASTS: list[tuple[str, str, str, Cell]] = [
    *(
        (f"{TITLES[name]}: unexplained, {a} less {b}", one, other, unexplained(name))
        for a, b, one, other, names in [*_PAIRS, *_FAST]
        for name in names
    ),
    *(
        (f"{TITLES[name]}: A over labels, {a} less {b}", one, other, final(name, "A"))
        for a, b, one, other, names in _PAIRS[3:]
        for name in names[:5]
    ),
]
"""In words, one run, the other, and what is compared."""


def contrasts(store: Store) -> str:
    """Differences of means with standard errors, and their range when any one seed is left out."""
    rows = []
    for words, one, other, cell in CONTRASTS:
        first, second = spread(store, one, cell), spread(store, other, cell)
        if first is not None and second is not None:
            seeds = f"{len(first.values)}, {len(second.values)}"
            rows.append(f"| {words} | {seeds} | {Difference(first, second)} |")
    if not rows:
        return ""
    head = "| contrast | seeds | difference ± standard error (with a seed left out) |"
    return "\n".join([head, "|---|---|---|", *rows])


def diagnoses(store: Store) -> str:
    """Of every target: most that is read from any layer of nodes, and from the last head; fates of the seeds."""
    rows = []
    for run in DIAGNOSES:
        results = store.all(run)
        for place in range(len(results[0]["sectors"]) if results else 0):
            sectors = [result["sectors"][place] for result in results]
            best = Spread(tuple(max(layer["symmetrised"] for layer in sector["layers"]) for sector in sectors))
            linear = Spread(tuple(max(layer["linear"] for layer in sector["layers"]) for sector in sectors))
            control = max(layer["control"] for sector in sectors for layer in sector["layers"])
            given = Spread(tuple(sector["symmetrised"] for sector in sectors))
            fates = ", ".join(sorted({sector["fate"] for sector in sectors}))
            title = TITLES.get(sectors[0]["output"], sectors[0]["output"])
            cells = f"{best} | {linear} | {number(control)} | {given} | {fates}"
            rows.append(f"| {run} | {len(sectors)} | {title} | {cells} |")
    if not rows:
        return ""
    head = "| run | seeds | target | read, averaged | read, linear | control | output, averaged | fate |"
    return "\n".join([head, "|---" * 8 + "|", *rows])


CHECKS = ("check-untrained-linear", "check-o3-linear", "check-o3-harmonic4", "check-none-linear")


def checks(store: Store) -> str:
    """Stored numbers less those from random elements, in units of the error of the difference."""
    rows = []
    for run in CHECKS:
        for seed in store.seeds(run):
            found = store.load(run, seed)["comparisons"]
            off = [abs(_off(row)) for row in found]
            within = sum(each < 2 for each in off) / len(off)
            worst, name = max(zip(off, (row["name"] for row in found), strict=True))
            errors = sorted(row["error"] / abs(row["found"]) for row in found if row["name"].endswith(": A"))
            typical = f"{100 * errors[len(errors) // 2]:.1f} %"
            rows.append(f"| {run} | {seed} | {len(off)} | {100 * within:.0f} % | {worst:.1f}, {name} | {typical} |")
    if not rows:
        return ""
    head = "| run | seed | numbers | within 2 errors | largest, in errors | median error of A |"
    return "\n".join([head, "|---" * 6 + "|", *rows])


def _off(row: dict[str, Any]) -> float:
    return float(row["found"] - row["stored"]) / math.hypot(row["error"], row["stored_error"] or 0.0)
