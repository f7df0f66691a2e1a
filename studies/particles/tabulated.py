"""Tables of the particles' account, with the spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..spread import Difference, Spread, number
from ..store import Store
from .after import EXACT, ROUND_OFF
from .reading import (
    BIASES,
    KINDS,
    Cell,
    Result,
    brier,
    broken_share,
    by_sine,
    improper,
    known,
    lost,
    odd,
    paired,
    pseudo,
    score,
    spread,
    variance,
)

AFTER = "particles-after"


def tables(store: Store) -> dict[str, str]:
    """By name, those that there are results for."""
    found = {
        "particles-augmentation": _table(store, KINDS, _AUGMENTATION),
        "particles-parity": _table(store, KINDS, _PARITY),
        "particles-bias": _table(store, BIASES, _AUGMENTATION),
        "particles-classes": _table(store, {**KINDS, **BIASES}, _CLASSES),
        "particles-haar": haar(store),
        "particles-contrasts": contrasts(store),
        "particles-ties": ties(store),
        "particles-by-hand": by_hand(store),
        "particles-degrees": degrees(store),
        "particles-diagnosis": diagnosis(store),
        "jets": _table(store, JETS, _JETS),
    }
    return {name: text for name, text in found.items() if text}


_AUGMENTATION: dict[str, Cell] = {
    "F1 lying": score("f1", "lying"),
    "F1 turned": score("f1"),
    "lying less turned": lost,
    "cross entropy turned": score("cross_entropy"),
    "A of logits": variance,
    "Brier score": brier("mse"),
    "of it A": broken_share(),
}
_PARITY: dict[str, Cell] = {
    "tokens": pseudo("embed"),
    "block 0": pseudo("blocks.0"),
    "block 5": pseudo("blocks.5"),
    "points": pseudo("spread"),
    "logits": pseudo("logits"),
    "(0, -1) of logits": odd,
    "cross entropy, improper less proper": improper("cross_entropy"),
}


JETS = {"jets-none": "none", "jets-so2": "about the flight", "jets-o3": "O(3)"}
_JETS: dict[str, Cell] = {
    "area lying": lambda result: result["trained"]["area none"],
    "area turned about the flight": lambda result: result["trained"]["area so2"],
    "area turned by O(3)": lambda result: result["trained"]["area o3"],
    "A / spread², about the flight": lambda result: _over_spread(result, "SO2"),
    "A / spread², O(3)": lambda result: _over_spread(result, "O3"),
}


def _over_spread(result: Result, group: str) -> float:
    audit = result["trained"][group]
    return audit["variance"] / audit["spread"] ** 2


def _of_class(name: str) -> Cell:
    return lambda result: score("f1_by_class")(result)[name]  # type: ignore[index]


_CLASSES = {name: _of_class(name) for name in ("shower", "track", "michel", "delta")}


def _table(store: Store, runs: Mapping[str, str], cells: Mapping[str, Cell]) -> str:
    """A row for each run that has a result."""
    rows = []
    for run in known(store, list(runs)):
        spreads = [spread(store, run, cell) for cell in cells.values()]
        rows.append(f"| {runs[run]} | {len(store.seeds(run))} | {' | '.join(map(str, spreads))} |")
    return _lines(["model" if runs is BIASES else "run" if len(runs) > 4 else "augmentation", "seeds", *cells], rows)


def _lines(heads: Sequence[str], rows: Sequence[str]) -> str:
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]) if rows else ""


def haar(store: Store) -> str:
    """Three uniform angles less uniform rotations, seed by seed, by the middle angle."""
    rows = []
    for name, words in (("cross_entropy", "cross entropy"), ("square", "A of logits")):
        found = [paired(store, "particles-euler", "particles-so3", by_sine(name, i)) for i in range(6)]
        if found[0] is not None:
            slope = paired(store, "particles-euler", "particles-so3", _slope(name))
            rows.append(f"| {words} | {len(found[0].values)} | {' | '.join(map(_with_error, [*found, slope]))} |")
    bins = [f"{i}/6 to {i + 1}/6" for i in range(6)]
    return _lines(["three angles less SO(3)", "seeds", *bins, "slope"], rows)


def _slope(name: str) -> Cell:
    """Least squares over the bins, for |sin b| from 0 to 1."""
    at = [(i + 0.5) / 6 - 0.5 for i in range(6)]
    return lambda result: sum(x * by_sine(name, i)(result) for i, x in enumerate(at)) / sum(x * x for x in at)


def _with_error(found: Spread | None) -> str:
    return "" if found is None else f"{number(found.mean)} ± {number(found.error)}"


_PAIRS = [
    ("none", "O(3)", "particles-none", "particles-o3"),
    ("SO(3)", "O(3)", "particles-so3", "particles-o3"),
    ("three angles", "SO(3)", "particles-euler", "particles-so3"),
    ("harmonics to 2", "(x, y, z)", "particles-harmonics2", "particles-o3"),
    ("harmonics to 4", "(x, y, z)", "particles-harmonics4", "particles-o3"),
    ("wider", "(x, y, z)", "particles-wide", "particles-o3"),
    ("harmonics to 4", "wider", "particles-harmonics4", "particles-wide"),
]
_COMPARED: dict[str, Cell] = {
    "F1 turned": score("f1"),
    "F1, lying less turned": lost,
    "cross entropy turned": score("cross_entropy"),
    "A of logits": variance,
    "(0, -1) of logits": odd,
}


def contrasts(store: Store) -> str:
    """Differences of means with standard errors, and their range when any one seed is left out."""
    rows = []
    for one, other, first, second in _PAIRS:
        for words, cell in _COMPARED.items():
            found = spread(store, first, cell), spread(store, second, cell)
            if found[0] is not None and found[1] is not None:
                seeds = f"{len(found[0].values)}, {len(found[1].values)}"
                rows.append(f"| {one} less {other}: {words} | {seeds} | {Difference(found[0], found[1])} |")
    return _lines(["contrast", "seeds", "difference ± standard error (with a seed left out)"], rows)


def ties(store: Store) -> str:
    """The logits with groups that no rotation changes, with groups that round-off changes, and their ratios."""
    results = store.all(AFTER)
    cells = {
        "events with other groups": lambda result, kind: result["changed"][kind]["events"],
        "points with another class": lambda result, kind: result["changed"][kind]["classes"],
        "noise floor": lambda result, kind: result["ties"][kind]["outputs"]["logits"]["noise_floor"],
        "A of logits": lambda result, kind: result["ties"][kind]["outputs"]["logits"]["rmse"] ** 2,
        "in l = 1 to 4": lambda result, kind: _between(result, kind, 1, 5),
        "in l = 5 to 8": lambda result, kind: _between(result, kind, 5, 9),
        "above": lambda result, kind: result["ties"][kind]["outputs"]["logits"]["unresolved"],
    }
    rows = []
    for kind in (EXACT, ROUND_OFF) if results else ():
        found = [Spread(tuple(cell(result, kind) for result in results)) for cell in cells.values()]
        verdicts = {result["ties"][kind]["outputs"]["logits"]["verdict"] for result in results}
        rows.append(f"| {kind} | {len(results)} | {', '.join(sorted(verdicts))} | {' | '.join(map(str, found))} |")
    if rows:
        ratios = [
            str(Spread(tuple(cell(result, ROUND_OFF) / cell(result, EXACT) for result in results)))
            for cell in list(cells.values())[3:]
        ]
        rows.append(f"| ratio | {len(results)} | | | | | {' | '.join(ratios)} |")
    return _lines(["groups", "seeds", "verdict", *cells], rows)


def _between(result: Result, kind: str, low: int, high: int) -> float:
    power = result["ties"][kind]["outputs"]["logits"]["power"]
    # in its reduced form a run resolves fewer degrees: nothing is not to be divided by
    return float(sum(map(sum, power[low:high]))) or math.nan


def by_hand(store: Store) -> str:
    """Audits of single events beside 4,000 random elements: how far they are apart in units of both errors."""
    rows = []
    for seed in store.seeds(AFTER):
        for event, each in enumerate(store.load(AFTER, seed)["by_hand"]):
            rows.append(f"| {seed} | {event} | {' | '.join(_apart(*pair) for pair in agreement(each).values())} |")
    return _lines(["seed", "event", "A", "B(0, +1)", "B(0, -1)", "B(1, +1)", "B(1, -1)"], rows)


def agreement(each: Result) -> dict[str, tuple[float, float, float, float]]:
    """By quantity: audit and its half width of 95 %, random elements and their standard error."""
    audit, hand = each["audit"], each["by_hand"]
    variance, width = audit["rmse"] ** 2, 2 * audit["rmse"] * audit["rmse_error"]
    found = {"A": (variance, width, *hand["variance"])}
    for l, sigma in ((0, 1), (0, -1), (1, 1), (1, -1)):
        place = (1 - sigma) // 2
        own = audit["power"][l][place], audit["power_error"][l][place]
        found[f"B({l},{sigma:+d})"] = (*own, *hand[f"B({l},{sigma:+d})"])
    return found


def _apart(audit: float, width: float, hand: float, error: float) -> str:
    sigmas = (audit - hand) / math.hypot(width / 1.96, error)
    return f"{number(audit)} / {number(hand)} ({sigmas:+.1f})"


def diagnosis(store: Store) -> str:
    """Shares of the classes' variance that are read from features of points, and that the output explains."""
    results, rows = store.all("particles-diagnosis"), []
    for when in ("untrained", "trained") if results else ():
        found = [result[when] for result in results]
        for layer in found[0]["layers"]:
            own = [each["layers"][layer] for each in found]
            read = [Spread(tuple(each[key] for each in own)) for key in ("share", "symmetrised", "linear")]
            control = number(max(each["control"] for each in own))
            given = [Spread(tuple(each[key] for each in found)) for key in ("symmetrised", "explained")]
            rows.append(f"| {when} | {layer} | {len(own)} | {' | '.join(map(str, [*read, control, *given]))} |")
    heads = ["model", "layer", "seeds", "share of its power", "read, averaged", "read, linear", "control"]
    return _lines([*heads, "output, averaged", "output"], rows)


def degrees(store: Store) -> str:
    """The logits of one event by the degree of the grid."""
    if 0 not in store.seeds(AFTER):
        return ""
    rows = []
    for name, output in store.load(AFTER, 0).get("degrees", {}).items():
        power = output["power"]
        numbers = [output["rmse"], output["rmse_error"], *(sum(power[l]) for l in range(1, 5)), output["unresolved"]]
        rows.append(f"| {name} | {' | '.join(map(number, numbers))} |")
    return _lines(["degree", "RMSE", "its error", *(f"B of l = {l}" for l in range(1, 5)), "above"], rows)
