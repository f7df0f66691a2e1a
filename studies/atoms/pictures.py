"""Figures of the account, from stored results: a column wide, bands are the spread over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from equiscope.report.palette import FAINT, INK, MARKERS, RULE, SERIES, SMALL
from equiscope.report.sheet import new_figure
from equiscope.report.style import decades, finish, legend

from ..store import Store
from .reading import LAST_NODE, OUTPUTS, PSEUDO, TITLES, final, resolved, spread, steps, unexplained

WIDTH = 3.4
"""Inches: a column of a paper."""

COLORS = dict(zip(OUTPUTS, (*SERIES[:5], FAINT, "#8c510a"), strict=True))

RUNS = {
    "density-o3-linear": "(x, y, z, r), O(3)",
    "density-o3-wide4": "wider, O(3)",
    "density-o3-harmonic4": "harmonics to 4, O(3)",
    "density-so3-linear": "(x, y, z, r), SO(3)",
    "density-none-linear": "(x, y, z, r), none",
    "density-aligned-linear": "(x, y, z, r), aligned",
}

FLOOR = 1e-7
"""Least share of power that is drawn."""

TOKENS = [
    ("backend.gnn_layers.0.edge_embedder", "edge vectors"),
    ("backend.gnn_layers.0.compress", "edge tokens 1"),
    ("backend.gnn_layers.0.trans.layers.0[0]", "block 1.1"),
    ("backend.gnn_layers.0.trans.layers.1[0]", "block 1.2"),
    ("backend.gnn_layers.1.compress", "edge tokens 2"),
    ("backend.gnn_layers.1.trans.layers.0[0]", "block 2.1"),
    ("backend.gnn_layers.1.trans.layers.1[0]", "block 2.2"),
    ("backend.node_heads.'mtt::density'.0", "head"),
]
"""From the edges to the head; blocks are read at the tokens of atoms."""


def figures(store: Store) -> dict[str, Figure]:
    """By file stem, those that there are results for."""
    drawn = {
        "atoms-learning": learning(store),
        "atoms-sectors": sectors(store),
        "atoms-augmentation": augmentation(store),
        "atoms-layers-linear": layers(store, "density-o3-linear"),
        "atoms-layers-harmonic4": layers(store, "density-o3-harmonic4"),
        "atoms-growth": growth(store),
        "atoms-diagnosis": diagnosis(store),
        "atoms-rates": rates(store),
        "atoms-finetuned": finetuned(store),
        "atoms-dynamics": dynamics(store),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def learning(store: Store) -> Figure | None:
    """What is left unexplained of each output on held-out molecules, over training."""
    runs = [run for run in ("density-o3-linear", "density-o3-wide4", "density-o3-harmonic4") if store.seeds(run)]
    if not runs:
        return None
    figure = new_figure(WIDTH, 1.6 * len(runs) + 0.4)
    for axes, run in zip(np.atleast_1d(figure.subplots(len(runs), 1, sharex=True)), runs, strict=True):
        for name in OUTPUTS:
            _line(axes, store, run, "curve", lambda step, name=name: unexplained(name, step), COLORS[name])
        _log_steps(axes, store, run, "curve")
        axes.set_ylim(0, 1.25)
        last = run == runs[-1]
        finish(axes, title=RUNS[run], grid="y", ylabel="unexplained", xlabel="step" if last else "")
    keys = [Line2D([], [], color=COLORS[name], label=TITLES[name]) for name in OUTPUTS]
    legend(figure, keys, loc="outside lower center", ncols=4)
    return figure


def sectors(store: Store) -> Figure | None:
    """What each embedding leaves unexplained of each sector in the end."""
    runs = [run for run in RUNS if store.seeds(run)]
    if not runs:
        return None
    figure = new_figure(WIDTH, 2.7)
    axes = figure.subplots()
    for i, run in enumerate(runs):
        found = [spread(store, run, unexplained(name)) for name in OUTPUTS]
        at = np.arange(len(OUTPUTS)) + 0.13 * (i - (len(runs) - 1) / 2)
        for x, each in zip(at, found, strict=True):
            assert each is not None
            values = np.array(each.values)
            axes.plot([x, x], [values.min(), values.max()], color=SERIES[i], linewidth=1.2)
        axes.plot(at, [each.mean for each in found if each], MARKERS[i], color=SERIES[i], markersize=4, label=RUNS[run])
    axes.axhline(1, color=RULE, linewidth=0.8, zorder=0)
    axes.set_ylim(0, 1.5)
    axes.set_xticks(range(len(OUTPUTS)), [TITLES[name] for name in OUTPUTS], rotation=30)
    finish(axes, ylabel="unexplained", grid="y")
    legend(figure, loc="outside lower center", ncols=2)
    return figure


def augmentation(store: Store) -> Figure | None:
    """A against the error of the symmetrised model over training, by kind of augmentation."""
    kinds = ("density-o3-linear", "density-so3-linear", "density-none-linear", "density-aligned-linear")
    runs = [run for run in kinds if store.seeds(run)]
    if not runs:
        return None
    figure = new_figure(WIDTH, 3.5)
    for axes, name in zip(figure.subplots(2, 2, sharex=True).flat, OUTPUTS[:4], strict=True):
        for i, run in enumerate(runs):
            for key, style in (("A", "-"), ("mse_symmetrised", (0, (3, 1.5)))):
                _line(axes, store, run, "audits", lambda step, k=key, n=name: _output(n, k, step), SERIES[i], style)
        _log_steps(axes, store, runs[0], "audits")
        axes.set_yscale("log")
        decades(axes, "y")
        finish(axes, title=TITLES[name], grid="y", ylabel="over labels" if name in ("l0", "l2") else "")
        axes.set_xlabel("step" if name in ("l2", "l3") else "", fontsize=9, color=INK)
    keys = [Line2D([], [], color=SERIES[i], label=RUNS[run].split(", ")[-1]) for i, run in enumerate(runs)]
    keys += [
        Line2D([], [], color=INK, label="A"),
        Line2D([], [], color=INK, linestyle=(0, (3, 1.5)), label="symmetrised error"),
    ]
    legend(figure, keys, loc="outside lower center", ncols=3)
    return figure


def layers(store: Store, run: str) -> Figure | None:
    """Share of power per (l, sigma) from layer to layer: before, early and after training."""
    results = store.all(run)
    if not results:
        return None
    points = steps(results[0], "audits")
    shown = [points[0], min(points, key=lambda step: abs(step - points[-1] / 10)), points[-1]]
    figure = new_figure(WIDTH, 5.2)
    grid = figure.subplots(3, 1, sharex=True, sharey=True)
    known = [(layer, title) for layer, title in TOKENS if layer in results[0]["audits"][str(points[0])]["layers"]]
    at = np.arange(len(known))
    for axes, step in zip(grid, shown, strict=True):
        for l in range(5):
            _levels(axes, results, at, [resolved(layer, [(l, 1)], step) for layer, _ in known], SERIES[l], MARKERS[l])
        _levels(axes, results, at, [resolved(layer, PSEUDO, step) for layer, _ in known], INK, "x")
        axes.set_yscale("log")
        axes.set_ylim(FLOOR, 2)
        decades(axes, "y")
        finish(axes, title="untrained" if step == 0 else f"step {step}", grid="y", ylabel="share of power")
    grid[-1].set_xticks(at, [title for _, title in known], rotation=40, ha="right")
    keys = [Line2D([], [], color=SERIES[l], marker=MARKERS[l], markersize=4, label=f"l = {l}") for l in range(5)]
    keys.append(Line2D([], [], color=INK, marker="x", markersize=4, label="sigma = -1"))
    legend(figure, keys, loc="outside lower center", ncols=3)
    return figure


def growth(store: Store) -> Figure | None:
    """Growth of each sector in the tokens that the heads read."""
    runs = [run for run in ("density-o3-linear", "density-o3-harmonic4") if store.seeds(run)]
    if not runs:
        return None
    figure = new_figure(WIDTH, 1.8 * len(runs) + 0.4)
    for axes, run in zip(np.atleast_1d(figure.subplots(len(runs), 1, sharex=True)), runs, strict=True):
        results = store.all(run)
        points = steps(results[0], "audits")
        for l in range(5):
            found = [resolved(LAST_NODE, [(l, 1)], step) for step in points]
            _levels(axes, results, _place(points), found, SERIES[l], MARKERS[l])
        _levels(axes, results, _place(points), [resolved(LAST_NODE, PSEUDO, step) for step in points], INK, "x")
        _log_steps(axes, store, run, "audits")
        axes.set_yscale("log")
        decades(axes, "y")
        finish(axes, title=RUNS[run], grid="y", ylabel="share of power", xlabel="step" if run == runs[-1] else "")
    keys = [Line2D([], [], color=SERIES[l], label=f"l = {l}") for l in range(5)]
    legend(figure, [*keys, Line2D([], [], color=INK, label="sigma = -1")], loc="outside lower center", ncols=3)
    return figure


def diagnosis(store: Store) -> Figure | None:
    """What can be read of each target from the tokens of atoms, from layer to layer."""
    titles = {
        "diagnosis-untrained-linear": "(x, y, z, r), untrained",
        "diagnosis-untrained-harmonic4": "harmonics to 4, untrained",
        "diagnosis-o3-linear": "(x, y, z, r), O(3)",
        "diagnosis-o3-harmonic4": "harmonics to 4, O(3)",
    }
    runs = [run for run in titles if store.seeds(run)]
    if not runs:
        return None
    figure = new_figure(WIDTH, 1.5 * len(runs) + 0.9)
    grid = np.atleast_1d(figure.subplots(len(runs), 1, sharex=True))
    for axes, run in zip(grid, runs, strict=True):
        results = store.all(run)
        for sector in results[0]["sectors"]:
            output = sector["output"]
            own = [next(each for each in result["sectors"] if each["output"] == output) for result in results]
            names = [layer["layer"] for layer in sector["layers"]]
            values = np.array([[layer["symmetrised"] for layer in each["layers"]] for each in own])
            _band(axes, np.arange(len(names)), np.clip(values, -0.1, 1), COLORS.get(output, INK), marker="o")
        axes.axhline(0.5, color=RULE, linewidth=0.8, zorder=0)
        axes.set_ylim(-0.12, 1.02)
        axes.set_xticks(range(len(names)), [_short(name) for name in names], rotation=40, ha="right")
        finish(axes, title=titles[run], grid="y", ylabel="read")
    keys = [Line2D([], [], color=COLORS[name], label=TITLES[name]) for name in OUTPUTS]
    legend(figure, keys, loc="outside lower center", ncols=4)
    return figure


def rates(store: Store) -> Figure | None:
    """What is left unexplained of each l, by peak rate and embedding."""
    behind = {"3e-4": "-slow", "1e-3": "", "3e-3": "-fast"}
    kinds = {"linear": "(x, y, z, r)", "wide4": "wider", "harmonic4": "harmonics to 4"}
    behind = {
        rate: each for rate, each in behind.items() if any(store.seeds(f"density-o3-{kind}{each}") for kind in kinds)
    }
    if len(behind) < 2:
        return None
    figure = new_figure(WIDTH, 2.4)
    panels = figure.subplots(1, len(kinds), sharey=True)
    for axes, (kind, title) in zip(panels, kinds.items(), strict=True):
        for name in OUTPUTS[:5]:
            found = [spread(store, f"density-o3-{kind}{each}", unexplained(name)) for each in behind.values()]
            for i, each in enumerate(found):
                if each is not None:
                    axes.plot([i, i], [min(each.values), max(each.values)], color=COLORS[name], linewidth=1.2)
            known = [(i, each.mean) for i, each in enumerate(found) if each is not None]
            axes.plot(*zip(*known, strict=True), "o-", color=COLORS[name], markersize=3.5, linewidth=1.0)
        axes.set_xticks(range(len(behind)), list(behind))
        axes.set_xlim(-0.35, len(behind) - 0.65)
        axes.set_ylim(0, 1.05)
        finish(axes, title=title, grid="y", xlabel="peak rate", ylabel="unexplained" if kind == "linear" else "")
    keys = [Line2D([], [], color=COLORS[name], label=TITLES[name]) for name in OUTPUTS[:5]]
    legend(figure, keys, loc="outside lower center", ncols=3)
    return figure


def finetuned(store: Store) -> Figure | None:
    """A against the error of the symmetrised model: before fine-tuning, after it, and after it with A in the loss."""
    titles = {
        "density-o3-linear": "before",
        "finetune-o3-control": "the same steps",
        "finetune-o3-1": "with A, weight 1",
        "finetune-o3-10": "with A, weight 10",
    }
    runs = [run for run in titles if store.seeds(run)]
    seeds = [seed for seed in store.seeds("finetune-o3-10") if seed in store.seeds("finetune-o3-control")]
    if not seeds:
        return None
    figure = new_figure(WIDTH, 2.9)
    axes = figure.subplots()
    for name in OUTPUTS[:5]:
        for i, run in enumerate(runs):
            for seed in (seed for seed in seeds if seed in store.seeds(run)):
                result = store.load(run, seed)
                at = final(name, "mse_symmetrised")(result), final(name, "A")(result)
                axes.plot(*at, MARKERS[i], color=COLORS[name], markersize=4)
    axes.set_yscale("log")
    axes.set_xlim(0, 1.05)
    axes.set_ylim(1e-3, 0.2)
    decades(axes, "y")
    finish(axes, grid="y", xlabel="error of the symmetrised model, over labels", ylabel="A over labels")
    keys = [Line2D([], [], color=COLORS[name], label=TITLES[name]) for name in OUTPUTS[:5]]
    keys += [
        Line2D([], [], color=INK, linestyle="", marker=MARKERS[i], markersize=4, label=titles[run])
        for i, run in enumerate(runs)
    ]
    legend(figure, keys, loc="outside lower center", ncols=3)
    return figure


def dynamics(store: Store) -> Figure | None:
    """Drift of energy and of angular momentum: medians over molecules, and half of the molecules about them."""
    titles = {"direct": "forces as an output", "gradient": "forces as a gradient"}
    run = "dynamics-o3-linear"
    if not store.seeds(run):
        return None
    figure = new_figure(WIDTH, 3.6)
    above, below = figure.subplots(2, 1, sharex=True)
    for color, kind in zip(SERIES, titles, strict=False):
        results = [result["kinds"][kind] for result in store.all(run)]
        times = np.array(results[0]["fs"][1:])
        for axes, key in ((above, "energy"), (below, "angular")):
            # molecules of all seeds are equals; what is no number has exploded
            each = np.concatenate([np.array(result[key], dtype=float)[1:] for result in results], axis=1)
            each = np.nan_to_num(np.abs(each), nan=np.inf)
            low, middle, high = np.percentile(each, (25, 50, 75), axis=1, method="nearest")
            axes.plot(times, middle, color=color, linewidth=1.1)
            axes.fill_between(times, low, high, color=color, alpha=0.2, linewidth=0)
    for axes, label in ((above, "energy, eV / atom"), (below, "turning, thermal")):
        axes.set_yscale("log")
        decades(axes, "y")
        finish(axes, grid="y", ylabel=label, xlabel="fs" if axes is below else "")
    keys = [Line2D([], [], color=color, label=titles[kind]) for color, kind in zip(SERIES, titles, strict=False)]
    legend(figure, keys, loc="outside lower center", ncols=2)
    return figure


def _short(name: str) -> str:
    """Of a layer, as in `TOKENS` where it is there."""
    known = {**dict(TOKENS), "backend.node_heads.'mtt::chiral'.0": "head, chiral"}
    return known.get(name, name.removeprefix("backend.").replace("gnn_layers_post_mp_node.", "GNN "))


def _output(name: str, key: str, step: int) -> Callable[[dict[str, Any]], float]:
    def of(result: dict[str, Any]) -> float:
        output = result["audits"][str(step)]["outputs"][name]
        return float(output[key]) / float(output["target"])

    return of


def _line(
    axes: Axes,
    store: Store,
    run: str,
    kind: str,
    at_step: Callable[[int], Callable[[dict[str, Any]], float]],
    color: str,
    style: Any = "-",
) -> None:
    """The mean over seeds at every step, and the band from the least to the largest."""
    results = store.all(run)
    points = steps(results[0], kind)
    values = np.array([[at_step(step)(result) for step in points] for result in results])
    _band(axes, _place(points), values, color, linestyle=style)


def _band(axes: Axes, at: np.ndarray, values: np.ndarray, color: str, **style: Any) -> None:
    axes.plot(at, values.mean(0), color=color, linewidth=1.1, markersize=2.5, **style)
    if len(values) > 1:
        axes.fill_between(at, values.min(0), values.max(0), color=color, alpha=0.2, linewidth=0)


def _levels(
    axes: Axes,
    results: Sequence[dict[str, Any]],
    at: np.ndarray,
    cells: Sequence[Callable[[dict[str, Any]], tuple[float, float]]],
    color: str,
    marker: str,
) -> None:
    """Shares of power; those within the errors of the audits are not drawn."""
    values = np.array([[cell(result) for cell in cells] for result in results])
    seen = values[..., 0].mean(0) > np.maximum(values[..., 1].mean(0), FLOOR)
    _band(axes, at, np.where(seen, values[..., 0], np.nan), color, marker=marker)


def _place(points: Sequence[int]) -> np.ndarray:
    """Logarithmic, with step 0 where 3 would be."""
    return np.log10(np.maximum(np.array(points, dtype=float), 3))


def _log_steps(axes: Axes, store: Store, run: str, kind: str) -> None:
    points = steps(store.all(run)[0], kind)
    whole = [step for step in (10, 100, 1000, 10000) if step <= points[-1]]
    axes.set_xticks(_place([0, *whole]), ["0", *map(str, whole)], fontsize=SMALL)
