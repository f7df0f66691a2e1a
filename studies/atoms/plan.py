"""Runs of the atoms, their tables and their figures."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from ..runs import Run
from ..store import Store
from . import pictures, tabulated
from .degrees import refine
from .diagnosis import diagnose
from .learning import learn
from .pet import SMALL
from .rotations import check

FIVE = (0, 1, 2, 3, 4)

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
    name: str, contrast: str, *, quick: bool = False, size: str = SIZE, minutes: float = MINUTES, **new: Any
) -> Run:
    configuration = {**BASE, **new}
    return Run(name, contrast, size, FIVE, minutes, learn, configuration, REDUCED if quick else None)


def _diagnosis(name: str, contrast: str, of: str, *, quick: bool = False, trained: bool = True) -> Run:
    configuration = {"of": of, "copies": 2, "trained": trained}
    return Run(name, contrast, "of that run", FIVE, 2.0, diagnose, configuration, {"copies": 1} if quick else None)


def _check(name: str, of: str, *, quick: bool = False, trained: bool = True) -> Run:
    contrast = f"its {'last' if trained else 'first'} audit against 4,000 random elements"
    configuration = {"of": of, "elements": 4000, "trained": trained}
    return Run(name, contrast, "of that run", FIVE, 2.0, check, configuration, {"elements": 200} if quick else None)


def _degrees(name: str, contrast: str, of: str, *, quick: bool = False, trained: bool = True) -> Run:
    configuration = {"of": of, "degrees": [8, 12], "molecule": "HCOOH", "trained": trained}
    return Run(name, contrast, "of that run", FIVE, 2.0, refine, configuration, {"degrees": [8]} if quick else None)


FINE: dict[str, Any] = {"steps": 300, "rate": 3e-4, "audited": (0,), "tokens": False}


def _finetune(kind: str, weight: float, *, quick: bool = False) -> Run:
    of = f"density-{kind}-linear"
    words = f"weight {weight:g} of A in the loss" if weight else "the same steps without A in the loss"
    configuration = {**BASE, **FINE, "start": of, "symmetry": weight, "augmentation": AUGMENTED[kind]}
    name = f"finetune-{kind}-{weight:g}" if weight else f"finetune-{kind}-control"
    contrast = f"weights of {of}, {words}"
    return Run(name, contrast, "0.29 M, 300 steps of 8", FIVE, 4.0, learn, configuration, REDUCED if quick else None)


AUGMENTED = {"o3": "O3", "none": "none"}

SLOW, FAST = {"rate": 3e-4}, {"rate": 3e-3}

LONG: dict[str, Any] = {"steps": 8000, "size": "0.29 M, 8000 steps of 8", "minutes": 15.0}

RUNS = [
    _run("density-o3-linear", "PET as it is, augmented by O(3)", weights=True, quick=True),
    _run(
        "density-o3-harmonic4",
        "harmonics of edges up to l = 4 in place of (x, y, z, r)",
        weights=True,
        quick=True,
        edges="harmonic4",
    ),
    _run(
        "density-none-linear",
        "no augmentation: each structure in the random orientation that it has",
        augmentation="none",
        weights=True,
        quick=True,
    ),
    _run("density-aligned-linear", "all copies of a molecule in one orientation", augmentation="aligned"),
    _run("density-o3-wide4", "a network of (x, y, z, r) with the parameters of harmonic4", edges="wide4"),
    _finetune("o3", 0),
    _finetune("o3", 1),
    _finetune("o3", 10, quick=True),
    _finetune("none", 0),
    _finetune("none", 10),
    _run("density-o3-triples", "pseudoscalars of three neighbours given to atoms", triples=True, quick=True),
    _run("density-o3-triples-fast", "the same at a peak rate of 3e-3", triples=True, **FAST),
    _run("density-o3-linear-slow", "peak rate 3e-4 in place of 1e-3", **SLOW),
    _run("density-o3-linear-fast", "peak rate 3e-3 in place of 1e-3", **FAST),
    _run("density-o3-harmonic4-slow", "harmonics to 4, peak rate 3e-4", edges="harmonic4", **SLOW),
    _run("density-o3-harmonic4-fast", "harmonics to 4, peak rate 3e-3", edges="harmonic4", **FAST),
    _run("gfn2-o3-linear", "energies, forces and moments, augmented by O(3)", task="gfn2", weights=True, quick=True),
    _run("density-so3-linear", "augmented by rotations alone", augmentation="SO3"),
    _degrees(
        "degrees-o3-linear", "every layer of one molecule on grids of degree 8 and 12", "density-o3-linear", quick=True
    ),
    _degrees("degrees-o3-harmonic4", "the same with harmonics", "density-o3-harmonic4"),
    _degrees("degrees-untrained-linear", "the same before training", "density-o3-linear", trained=False),
    _degrees("degrees-untrained-harmonic4", "before training, harmonics", "density-o3-harmonic4", trained=False),
    _check("check-o3-linear", "density-o3-linear", quick=True),
    _check("check-o3-harmonic4", "density-o3-harmonic4"),
    _check("check-none-linear", "density-none-linear"),
    _check("check-untrained-linear", "density-o3-linear", trained=False),
    _diagnosis("diagnosis-o3-linear", "where sectors are lost", "density-o3-linear", quick=True),
    _diagnosis("diagnosis-o3-harmonic4", "the same with harmonics", "density-o3-harmonic4"),
    _diagnosis("diagnosis-none-linear", "the same without augmentation", "density-none-linear"),
    _diagnosis("diagnosis-untrained-linear", "before training", "density-o3-linear", trained=False),
    _diagnosis("diagnosis-untrained-harmonic4", "before training, harmonics", "density-o3-harmonic4", trained=False),
    _run(
        "gfn2-o3-harmonic4",
        "energies, forces and moments, with harmonics",
        task="gfn2",
        edges="harmonic4",
        weights=True,
    ),
    _run("gfn2-none-linear", "energies, forces and moments, not augmented", task="gfn2", augmentation="none"),
    _run("density-none-harmonic4", "harmonics without augmentation", edges="harmonic4", augmentation="none"),
    _run("density-o3-harmonic2", "harmonics up to l = 2", edges="harmonic2"),
    _run("density-o3-harmonic8", "harmonics up to l = 8", edges="harmonic8"),
    _run("density-o3-solid4", "solid harmonics r^l Y up to l = 4", edges="solid4"),
    _run("density-o3-linear-norm", "(x, y, z, r), and a layer norm after it", edges="linear-norm"),
    _run("density-o3-harmonic4-norm", "harmonics to l = 4, and a layer norm after them", edges="harmonic4-norm"),
    _run("density-o3-linear-unbiased", "no bias in readouts of what is not invariant", covariant_bias=False),
    _run("density-o3-linear-long", "PET as it is, trained five times longer", **LONG),
    _run("density-o3-harmonic4-long", "harmonics to l = 4, trained five times longer", edges="harmonic4", **LONG),
]


def tables(store: Store) -> dict[str, str]:
    """Of the account, by name."""
    return tabulated.tables(store)


def figures(store: Store) -> dict[str, Figure]:
    """Of the account, by file stem."""
    return pictures.figures(store)
