"""Runs of the atoms, their tables and their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ..runs import Place, Run
from ..store import Store
from . import pictures, tabulated
from .degrees import refine
from .diagnosis import diagnose
from .dynamics import move
from .learning import learn
from .padding import leak
from .pet import SMALL
from .rotations import check

FIVE, THREE, ONE = range(5), range(3), range(1)
"""Seeds. What a claim rests on has five; one alone shows in which direction to look."""

SIZE = "0.29 M, 1500 steps of 8"

MINUTES = 5.0
"""For `SIZE`, on one busy core; half of it on an idle one."""

BASE: dict[str, Any] = {
    "task": "density",
    "steps": 1500,
    "batch": 8,
    "rate": 1e-3,
    "augmentation": "O3",
    "edges": "linear",
    "hypers": SMALL,
}

TINY = {**SMALL, "d_pet": 16, "d_node": 16, "d_head": 16, "d_feedforward": 16, "num_attention_layers": 1}
REDUCED: dict[str, Any] = {"steps": 12, "hypers": TINY, "watched": ["HCOOH"], "final": ["HCF3", "H2O2"]}


def _run(
    name: str,
    contrast: str,
    seeds: Sequence[int] = THREE,
    *,
    quick: bool = False,
    size: str = SIZE,
    minutes: float = MINUTES,
    **new: Any,
) -> Run:
    configuration = {**BASE, **new}
    return Run(name, contrast, size, seeds, minutes, learn, configuration, REDUCED if quick else None)


def _finetune(kind: str, weight: float, seeds: Sequence[int] = THREE, *, quick: bool = False) -> Run:
    of = f"density-{kind}-linear"
    words = f"weight {weight:g} of A in the loss" if weight else "the same steps without A in the loss"
    new = {"start": of, "symmetry": weight, "augmentation": {"o3": "O3"}.get(kind, kind)}
    name = f"finetune-{kind}-{f'{weight:g}' if weight else 'control'}"
    size = f"0.29 M, {FINE['steps']} steps of 8"
    return _run(name, f"weights of {of}, {words}", seeds, quick=quick, size=size, minutes=3.0, **FINE, **new)


def _of_that(
    function: Callable[[Mapping[str, Any], Place], dict[str, Any]],
    name: str,
    contrast: str,
    of: str,
    seeds: Sequence[int] = THREE,
    *,
    minutes: float,
    quick: Mapping[str, Any] | None = None,
    **asked: Any,
) -> Run:
    return Run(name, contrast, "of that run", seeds, minutes, function, {"of": of, **asked}, quick)


def _diagnosis(name: str, contrast: str, of: str, seeds: Sequence[int] = THREE, *, trained: bool = True) -> Run:
    quick = {"copies": 1} if name == "diagnosis-o3-linear" else None
    return _of_that(diagnose, name, contrast, of, seeds, minutes=4.5, quick=quick, copies=2, trained=trained)


def _check(name: str, of: str, *, trained: bool = True) -> Run:
    contrast = f"its {'last' if trained else 'first'} audit against 4,000 random elements"
    quick = {"elements": 200} if name == "check-o3-linear" else None
    return _of_that(check, name, contrast, of, ONE, minutes=5.0, quick=quick, elements=4000, trained=trained)


def _degrees(name: str, contrast: str, of: str, *, trained: bool = True) -> Run:
    quick = {"degrees": [8]} if name == "degrees-o3-linear" else None
    asked = {"degrees": [8, 12], "molecule": "HCOOH", "trained": trained}
    return _of_that(refine, name, contrast, of, minutes=0.5, quick=quick, **asked)


def _dynamics(name: str, contrast: str, of: str) -> Run:
    quick = {"steps": 4, "every": 2, "molecules": ["H2O2", "HCOOH"]} if name == "dynamics-o3-linear" else None
    asked = {"steps": 400, "step": 0.5, "kelvin": 300.0, "every": 20}
    return _of_that(move, name, contrast, of, minutes=5.0, quick=quick, **asked)


def _padding(size: str, words: str, minutes: float, hypers: Mapping[str, Any]) -> Run:
    new = {"hypers": hypers, "watched": ["H2CCHCN", "HCF3"], "watched_at": [0, 150, 300, 500, 700, 1000]}
    quick = REDUCED | {"watched": new["watched"]} if size == "small" else None
    configuration = {**BASE, **new}
    return Run(
        f"padding-{size}", "what molecules see of others in a batch", words, ONE, minutes, leak, configuration, quick
    )


SLOW, FAST = {"rate": 3e-4}, {"rate": 3e-3}

FINE: dict[str, Any] = {"steps": 300, "rate": 3e-4, "audited": (0,), "tokens": False}

DEFAULT: dict[str, Any] = {"hypers": {}, "size": "2.9 M, 1500 steps of 8", "minutes": 15.0}

LONG: dict[str, Any] = {"steps": 5000, "size": "0.29 M, 5000 steps of 8", "minutes": 15.0}

MAIN = [
    _run("density-o3-linear", "PET as it is, augmented by O(3)", FIVE, weights=True, quick=True),
    _run(
        "density-o3-harmonic4",
        "harmonics of edges up to l = 4 in place of (x, y, z, r)",
        FIVE,
        weights=True,
        quick=True,
        edges="harmonic4",
    ),
    _run("density-o3-wide4", "a network of (x, y, z, r) with the parameters of harmonic4", FIVE, edges="wide4"),
    _run("density-o3-linear-fast", "peak rate 3e-3 in place of 1e-3", FIVE, **FAST),
    _run("density-o3-harmonic4-fast", "harmonics to 4, peak rate 3e-3", FIVE, edges="harmonic4", **FAST),
    _run("density-o3-wide4-fast", "that network of (x, y, z, r), peak rate 3e-3", FIVE, edges="wide4", **FAST),
    _run(
        "density-none-linear",
        "no augmentation: each structure in the random orientation that it has",
        FIVE,
        augmentation="none",
        weights=True,
        quick=True,
    ),
    _run("density-so3-linear", "augmented by rotations alone", FIVE, augmentation="SO3"),
    _run("density-aligned-linear", "all copies of a molecule in one orientation", FIVE, augmentation="aligned"),
]
"""The contrasts that claims rest on, with five seeds."""

FINETUNED = [
    _finetune("o3", 0, FIVE),
    _finetune("o3", 10, FIVE, quick=True),
    _finetune("none", 0),
    _finetune("none", 10),
    _finetune("o3", 1, ONE),
]

OTHERS = [
    _run("density-o3-triples", "pseudoscalars of three neighbours given to atoms", triples=True, quick=True),
    _run("density-o3-triples-fast", "the same, peak rate 3e-3", triples=True, **FAST),
    _run("density-o3-linear-slow", "peak rate 3e-4 in place of 1e-3", **SLOW),
    _run("density-o3-harmonic4-slow", "harmonics to 4, peak rate 3e-4", edges="harmonic4", **SLOW),
    _run("density-o3-linear-long", "PET as it is, trained three times longer", ONE, **LONG),
    _run("density-o3-harmonic4-long", "harmonics to 4, trained three times longer", ONE, edges="harmonic4", **LONG),
    _run("density-o3-harmonic2", "harmonics up to l = 2", edges="harmonic2"),
    _run("density-o3-harmonic8", "harmonics up to l = 8", edges="harmonic8"),
    _run("density-o3-solid4", "solid harmonics r^l Y up to l = 4", ONE, edges="solid4"),
    _run("density-o3-harmonic4-norm", "harmonics to 4, and a layer norm after them", ONE, edges="harmonic4-norm"),
    _run("density-o3-linear-unbiased", "no bias in readouts of what is not invariant", ONE, covariant_bias=False),
    _run("density-o3-linear-biasless", "no bias anywhere", ONE, bias=False),
    _run("density-o3-linear-default", "PET of metatrain's default size", ONE, **DEFAULT),
]

POTENTIALS = [
    _run("gfn2-o3-linear", "energies, forces and moments, augmented by O(3)", task="gfn2", weights=True, quick=True),
    _run("gfn2-o3-linear-fast", "the same, peak rate 3e-3", task="gfn2", weights=True, **FAST),
    _run("gfn2-o3-harmonic4", "the same with harmonics", task="gfn2", edges="harmonic4", weights=True),
    _run("gfn2-none-linear", "the same, not augmented", task="gfn2", augmentation="none"),
    _dynamics("dynamics-o3-linear", "200 fs of held-out molecules with its forces", "gfn2-o3-linear"),
    _dynamics("dynamics-o3-linear-fast", "the same, peak rate 3e-3", "gfn2-o3-linear-fast"),
    _dynamics("dynamics-o3-harmonic4", "the same, harmonics", "gfn2-o3-harmonic4"),
]

AFTER = [
    _degrees("degrees-o3-linear", "every layer of one molecule on grids of degree 8 and 12", "density-o3-linear"),
    _degrees("degrees-o3-harmonic4", "the same with harmonics", "density-o3-harmonic4"),
    _degrees("degrees-untrained-linear", "the same before training", "density-o3-linear", trained=False),
    _degrees("degrees-untrained-harmonic4", "before training, harmonics", "density-o3-harmonic4", trained=False),
    _check("check-o3-linear", "density-o3-linear"),
    _check("check-o3-harmonic4", "density-o3-harmonic4"),
    _check("check-none-linear", "density-none-linear"),
    _check("check-untrained-linear", "density-o3-linear", trained=False),
    _diagnosis("diagnosis-o3-linear", "where sectors are lost", "density-o3-linear"),
    _diagnosis("diagnosis-o3-harmonic4", "the same with harmonics", "density-o3-harmonic4"),
    _diagnosis("diagnosis-none-linear", "the same without augmentation", "density-none-linear"),
    _diagnosis("diagnosis-untrained-linear", "before training", "density-o3-linear", trained=False),
    _diagnosis("diagnosis-untrained-harmonic4", "the same, harmonics", "density-o3-harmonic4", trained=False),
]
"""What is measured of stored models."""

PADDED = [
    _padding("small", SIZE, 4.0, SMALL),
    _padding("default", "2.9 M, 1500 steps of 8", 8.0, {}),
]

RUNS = [*MAIN, *FINETUNED, *OTHERS, *POTENTIALS, *AFTER, *PADDED]


def tables(store: Store) -> dict[str, str]:
    """Of the account, by name."""
    return tabulated.tables(store)


def figures(store: Store) -> dict[str, Figure]:
    """Of the account, by file stem."""
    return pictures.figures(store)
