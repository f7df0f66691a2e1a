"""The table of runs. A part of the study is a package here with a module `plan`, found by being there."""

from __future__ import annotations

import dataclasses
import pkgutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from .shares import measured
from .store import HERE, Store


@dataclass(frozen=True)
class Place:
    """What a run is given beside its configuration."""

    store: Store
    data: Path | None
    """Directory of the data set; None: where it lies by default."""
    name: str
    seed: int

    @property
    def scratch(self) -> Path:
        """For checkpoints and the history, outside of the repository. A run that finds its checkpoint goes on."""
        return self.store.scratch(self.name, self.seed)


@dataclass(frozen=True)
class Run:
    """One line of the table: a function of a configuration and a seed."""

    name: str
    """Directory of its results."""
    contrast: str
    """What it is there for, in words."""
    size: str
    """Of the model, in words."""
    seeds: Sequence[int]
    minutes: float
    """Foreseen for each seed, on one core."""
    function: Callable[[Mapping[str, Any], Place], dict[str, Any]]
    """Result as JSON values. It resumes from what it finds in ``place.scratch``; arrays go to ``place.store``."""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] | None = None
    """What is changed of the configuration in the reduced form, which takes seconds; None: it has none."""

    def reduced(self) -> Run:
        """The reduced form, with one seed."""
        if self.quick is None:
            raise ValueError(f"{self.name} has no reduced form")
        return dataclasses.replace(self, configuration={**self.configuration, **self.quick}, seeds=self.seeds[:1])


def parts() -> list[ModuleType]:
    """Modules `plan` of the parts of the study. Each has ``RUNS``, a list of `Run`; ``tables(store)``, a dict from the
    name of a table of the account to its text; ``figures(store)``, a dict from file stem to matplotlib figure. The last
    two leave out what the store has no results for."""
    names = [each.name for each in pkgutil.iter_modules([str(HERE)]) if each.ispkg]
    return [import_module(f"studies.{name}.plan") for name in names if (HERE / name / "plan.py").is_file()]


def table() -> list[Run]:
    """All runs, in the order of their weight within each part."""
    return [run for part in parts() for run in part.RUNS]


def chosen(patterns: Sequence[str]) -> list[Run]:
    """Runs by name or glob pattern; all for none."""
    runs = table()
    unknown = [pattern for pattern in patterns if not any(fnmatch(run.name, pattern) for run in runs)]
    if unknown:
        known = ", ".join(run.name for run in runs)
        raise ValueError(f"names: expected runs of the table ({known}), got {', '.join(unknown)}")
    return [run for run in runs if not patterns or any(fnmatch(run.name, pattern) for pattern in patterns)]


def order(runs: Iterable[Run], seeds: Sequence[int] | None = None) -> Iterator[tuple[Run, int]]:
    """Pairs in which to do them: the runs as they come, which is by their weight, each with all its seeds."""
    for run in runs:
        for seed in run.seeds:
            if seeds is None or seed in seeds:
                yield run, seed


def do(run: Run, seed: int, store: Store, data: Path | None) -> None:
    """One run, unless it is done."""
    if store.has(run.name, seed):
        return
    begun = time.perf_counter()
    with measured():
        result = run.function(run.configuration, Place(store, data, run.name, seed))
    minutes = (time.perf_counter() - begun) / 60
    told = {"run": run.name, "seed": seed, "configuration": dict(run.configuration), "minutes": minutes}
    store.save(run.name, seed, {**told, **result})


def told(store: Store) -> str:
    """The table, with what is done and what is open."""
    lines = ["| run | contrast | size | seeds done | open | min per seed |", "|---|---|---|---|---|---|"]
    for run in table():
        done = [seed for seed in store.seeds(run.name) if seed in run.seeds]
        left = [seed for seed in run.seeds if seed not in done]
        taken = [store.load(run.name, seed)["minutes"] for seed in done]
        minutes = f"{sum(taken) / len(taken):.1f}" if taken else f"{run.minutes:g} foreseen"
        lines.append(f"| {run.name} | {run.contrast} | {run.size} | {_list(done)} | {_list(left)} | {minutes} |")
    return "\n".join(lines)


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"
