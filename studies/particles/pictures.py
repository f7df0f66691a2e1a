"""Figures of the particles' account, from stored results: a column wide, bands from the least to the largest seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from equiscope.report.palette import INK, MARKERS, RULE, SERIES, SMALL
from equiscope.report.sheet import new_figure
from equiscope.report.style import decades, finish, legend

from ..store import Store
from .after import EXACT, ROUND_OFF
from .reading import BIASES, KINDS, LAYERS, Cell, brier, by_sine, known, pseudo, score, share, steps, variance

WIDTH = 3.4
FLOOR = 1e-8
"""Least share of power that is drawn."""
TITLES = ["code", "tokens", *(f"block {i}" for i in range(6)), "points"]
"""Of `LAYERS`."""
CLASS_COLORS = dict(zip(("shower", "track", "michel", "delta"), SERIES, strict=False))


def figures(store: Store) -> dict[str, Figure]:
    """By file stem, those that there are results for."""
    drawn = {
        "particles-events": events(store),
        "particles-learning": learning(store),
        "particles-layers": layers(store, "particles-o3"),
        "particles-parity": parity(store),
        "particles-haar": haar(store),
        "particles-ties": ties(store),
        "particles-bias": bias(store),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def events(store: Store) -> Figure | None:
    """Six events of the generator, seen along an axis across the beam; areas of points grow with energy."""
    if not known(store, list(KINDS)):
        return None
    from .events import CLASSES, Detector, generate

    found = generate(6, 3, chunk=32)
    edge = Detector().edge
    figure = new_figure(WIDTH, 2.9)
    for event, axes in enumerate(figure.subplots(2, 3).flat):
        rows = found.rows(event)
        place, energy = found.voxels[rows], found.energy[rows]
        for label, name in enumerate(CLASSES):
            own = found.label[rows] == label
            size = 0.8 + 1.2 * energy[own]
            axes.scatter(place[own, 2], place[own, 0], s=size, color=CLASS_COLORS[name], linewidths=0)
        axes.set(xlim=(0, edge), ylim=(0, edge), aspect="equal", xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_color(RULE)
    keys = [
        Line2D([], [], color=color, marker="o", linestyle="", markersize=3, label=name)
        for name, color in CLASS_COLORS.items()
    ]
    legend(figure, keys, loc="outside lower center", ncols=4)
    return figure


def learning(store: Store) -> Figure | None:
    """F1 of turned events, and the two parts of the Brier score of audited ones, over training."""
    runs = known(store, list(KINDS))
    if not runs:
        return None
    figure = new_figure(WIDTH, 3.6)
    above, below = figure.subplots(2, 1, sharex=True)
    for i, run in enumerate(KINDS):
        if run in runs:
            _line(above, store, run, lambda step: score("f1", "turned", step), SERIES[i])
            _line(below, store, run, lambda step: brier("mse_broken", step), SERIES[i])
            _line(below, store, run, lambda step: brier("mse_symmetrised", step), SERIES[i], (0, (3, 1.5)))
    below.set_yscale("log")
    decades(below, "y")
    _log_steps(below, store, runs[0])
    finish(above, ylabel="F1, turned events", grid="y")
    finish(below, ylabel="Brier score", xlabel="step", grid="y")
    keys = [Line2D([], [], color=SERIES[i], label=KINDS[run]) for i, run in enumerate(KINDS) if run in runs]
    keys += [
        Line2D([], [], color=INK, label="A"),
        Line2D([], [], color=INK, linestyle=(0, (3, 1.5)), label="symmetrised"),
    ]
    legend(figure, keys, loc="outside lower center", ncols=3)
    return figure


def layers(store: Store, run: str) -> Figure | None:
    """Share of power per (l, sigma) from layer to layer: before, early and after training."""
    results = store.all(run)
    if not results:
        return None
    points = steps(results[0])
    shown = list(dict.fromkeys([points[0], points[len(points) // 2], points[-1]]))
    figure = new_figure(WIDTH, 1.6 * len(shown) + 0.7)
    grid = np.atleast_1d(figure.subplots(len(shown), 1, sharex=True, sharey=True))
    at = np.arange(len(LAYERS))
    top = len(results[0]["training"][str(points[0])]["audit"]["layers"]["embed"]["each_channel"])
    for axes, step in zip(grid, shown, strict=True):
        for l in range(top):
            cells = [share(layer, l, 1, step) for layer in LAYERS]
            _levels(axes, store, run, at, cells, SERIES[l], MARKERS[l])
        _levels(axes, store, run, at, [pseudo(layer, step) for layer in LAYERS], INK, "x")
        axes.set_yscale("log")
        axes.set_ylim(1e-6, 2)
        decades(axes, "y")
        finish(axes, title="untrained" if step == 0 else f"step {step}", grid="y", ylabel="share of power")
    grid[-1].set_xticks(at, TITLES, rotation=40, ha="right")
    keys = [Line2D([], [], color=SERIES[l], marker=MARKERS[l], markersize=4, label=f"l = {l}") for l in range(top)]
    keys.append(Line2D([], [], color=INK, marker="x", markersize=4, label="sigma = -1"))
    legend(figure, keys, loc="outside lower center", ncols=3)
    return figure


def parity(store: Store) -> Figure | None:
    """The share of sigma = -1 from layer to layer, by kind of augmentation."""
    runs = known(store, list(KINDS))
    if not runs:
        return None
    figure = new_figure(WIDTH, 2.6)
    axes = figure.subplots()
    names, titles = (*LAYERS, "logits"), [*TITLES, "logits"]
    at = np.arange(len(names))
    for i, run in enumerate(KINDS):
        if run in runs:
            cells = [pseudo(name) for name in names]
            _levels(axes, store, run, at, cells, SERIES[i], MARKERS[i])
    axes.plot(at, _mean(store, runs[-1], [pseudo(name, 0) for name in names]), "x--", color=INK, markersize=4, lw=0.8)
    axes.set_yscale("log")
    decades(axes, "y")
    axes.set_xticks(at, titles, rotation=40, ha="right")
    finish(axes, ylabel="share of sigma = -1", grid="y")
    keys = [
        Line2D([], [], color=SERIES[i], marker=MARKERS[i], markersize=4, label=KINDS[run])
        for i, run in enumerate(KINDS)
        if run in runs
    ]
    keys.append(Line2D([], [], color=INK, marker="x", linestyle="--", markersize=4, label="untrained"))
    legend(figure, keys, loc="outside lower center", ncols=3)
    return figure


def haar(store: Store) -> Figure | None:
    """Three uniform angles beside uniform rotations, by the sine of the middle angle."""
    runs = known(store, ["particles-euler", "particles-so3"])
    if len(runs) < 2:
        return None
    figure = new_figure(WIDTH, 3.6)
    grid = figure.subplots(2, 1, sharex=True)
    for axes, name, words in zip(
        grid, ("cross_entropy", "square"), ("cross entropy", "(logits less mean)²"), strict=True
    ):
        bins = len(store.all(runs[0])[0]["final"]["orientations"]["by_sine"][name])
        at = (np.arange(bins) + 0.5) / bins
        for run in runs:
            i = list(KINDS).index(run)
            _levels(axes, store, run, at, [by_sine(name, j) for j in range(bins)], SERIES[i], MARKERS[i])
        finish(axes, ylabel=words, grid="y")
    grid[-1].set_xlabel("|sin b|, uniform in Haar measure", fontsize=9, color=INK)
    keys = [
        Line2D([], [], color=SERIES[i], marker=MARKERS[i], markersize=4, label=KINDS[run])
        for i, run in enumerate(KINDS)
        if run in runs
    ]
    legend(figure, keys, loc="outside lower center", ncols=2)
    return figure


def ties(store: Store) -> Figure | None:
    """Power of the logits per degree, with groups that no rotation changes and with groups that round-off changes."""
    results = store.all("particles-after")
    if not results:
        return None
    figure = new_figure(WIDTH, 2.4)
    axes = figure.subplots()
    for i, (kind, words) in enumerate(((EXACT, "exact groups"), (ROUND_OFF, "left to round-off"))):
        power = np.array([result["ties"][kind]["outputs"]["logits"]["power"] for result in results])
        for sigma, style in ((0, "-"), (1, (0, (3, 1.5)))):
            first = 1 if sigma == 0 else 0
            label = f"{words}, sigma = {'+1' if sigma == 0 else '-1'}"
            at = np.arange(first, power.shape[1])
            _band(axes, at, power[:, first:, sigma], SERIES[i], marker=MARKERS[i], linestyle=style, label=label)
        above = [result["ties"][kind]["outputs"]["logits"]["unresolved"] for result in results]
        axes.plot([power.shape[1] + 0.5] * len(above), above, "*", color=SERIES[i], markersize=6)
    axes.set_yscale("log")
    decades(axes, "y")
    top = power.shape[1]
    axes.set_xticks([*range(top), top + 0.5], [*map(str, range(top)), "above"])
    finish(axes, xlabel="l", ylabel="power of logits", grid="y")
    legend(figure, loc="outside lower center", ncols=1)
    return figure


def bias(store: Store) -> Figure | None:
    """How directions enter: F1 of turned events, and A of the logits; a point for each seed."""
    runs = known(store, list(BIASES))
    if len(runs) < 2:
        return None
    figure = new_figure(WIDTH, 2.4)
    grid = figure.subplots(1, 2)
    for axes, cell, words in zip(grid, (score("f1"), variance), ("F1, turned events", "A of logits"), strict=True):
        for i, run in enumerate(runs):
            values = [cell(result) for result in store.all(run)]
            axes.plot([i] * len(values), values, MARKERS[i], color=SERIES[i], markersize=3.5, alpha=0.6)
            axes.plot([i - 0.25, i + 0.25], [np.mean(values)] * 2, color=SERIES[i], linewidth=1.6)
        axes.set_xticks(range(len(runs)), [BIASES[run] for run in runs], rotation=40, ha="right")
        axes.set_xlim(-0.5, len(runs) - 0.5)
        finish(axes, title=words, grid="y")
    return figure


def _line(axes: Axes, store: Store, run: str, at_step: Callable[[int], Cell], color: str, style: Any = "-") -> None:
    """The mean over seeds at every step, and the band."""
    results = store.all(run)
    points = steps(results[0])
    values = np.array([[at_step(step)(result) for step in points] for result in results])
    _band(axes, _place(points), values, color, linestyle=style, marker="o")


def _levels(axes: Axes, store: Store, run: str, at: np.ndarray, cells: Sequence[Cell], color: str, marker: str) -> None:
    values = np.array([[cell(result) for cell in cells] for result in store.all(run)])
    _band(axes, at, np.where(values > FLOOR, values, np.nan), color, marker=marker)


def _mean(store: Store, run: str, cells: Sequence[Cell]) -> np.ndarray:
    values = np.array([[cell(result) for cell in cells] for result in store.all(run)]).mean(0)
    return np.where(values > FLOOR, values, np.nan)


def _band(axes: Axes, at: np.ndarray, values: np.ndarray, color: str, **style: Any) -> None:
    axes.plot(at, values.mean(0), color=color, **{"linewidth": 1.1, "markersize": 2.5, **style})
    if len(values) > 1:
        axes.fill_between(at, values.min(0), values.max(0), color=color, alpha=0.2, linewidth=0)


def _place(points: Sequence[int]) -> np.ndarray:
    """Logarithmic, with step 0 where 3 would be."""
    return np.log10(np.maximum(np.array(points, dtype=float), 3))


def _log_steps(axes: Axes, store: Store, run: str) -> None:
    points = steps(store.all(run)[0])
    whole = [step for step in (10, 100, 1000, 10000) if step <= points[-1]]
    axes.set_xticks(_place([0, *whole]), ["0", *map(str, whole)], fontsize=SMALL)
