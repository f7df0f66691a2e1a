"""The runs of the particles, and what is made of their results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from ..runs import Place, Run
from ..store import Store
from . import pictures, tabulated
from .model import WIDE

POINTS = (0, 30, 100, 250, 600)
_SMALL = {
    "preset": "small", "changes": {}, "steps": 600, "batch": 16, "rate": 2e-3, "train": 1600, "held": 64, "audited": 2,
    "points": POINTS, "lmax": 3,
    "final": {"lmax": 4, "turns": 12},
}  # fmt: skip
_QUICK = {
    "steps": 6, "batch": 4, "train": 32, "held": 8, "audited": 1, "points": (0, 6), "lmax": 1,
    "final": {"lmax": 1, "turns": 2},
}  # fmt: skip


def _run(
    name: str,
    contrast: str,
    augment: str,
    *,
    changes: Mapping[str, Any] | None = None,
    keep: bool = False,
    quick: bool = False,
) -> Run:
    configuration = {**_SMALL, "augment": augment, "changes": dict(changes or {}), "keep": keep}
    return Run(
        f"particles-{name}", contrast, "0.25 M, 600 steps of 16", range(5), 4, _trained, configuration,
        _QUICK if quick else None,
    )  # fmt: skip


def _trained(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    from .train import trained

    return trained(configuration, place)


def _examined(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    from .after import examined

    return examined(configuration, place)


def _diagnosed(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    from .diagnosis import diagnosed

    return diagnosed(configuration, place)


def _tagged(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    from .jets import tagged

    return tagged(configuration, place)


MAIN = [
    _run("none", "events as they lie", "none"),
    _run("euler", "three uniform angles", "euler"),
    _run("so3", "uniform rotations", "so3"),
    _run("o3", "uniform, inversion too", "o3", keep=True, quick=True),
]
BIAS = [
    _run("harmonics2", "harmonics to 2, O(3)", "o3", changes={"harmonics": 2}),
    _run("harmonics4", "harmonics to 4, O(3)", "o3", changes={"harmonics": 4}, quick=True),
    _run("wide", "wider, no harmonics, O(3)", "o3", changes=WIDE),
]
PUBLISHED = Run(
    "particles-published",
    "the published size and grouping, O(3), as far as it goes",
    "22.7 M, 240 steps of 4",
    range(1),
    15,
    _trained,
    {
        **_SMALL, "preset": "published", "steps": 240, "batch": 4, "rate": 5e-4, "held": 16, "audited": 1,
        "points": (0, 30, 100), "lmax": 2, "final": {"lmax": 2, "turns": 4}, "augment": "o3", "keep": False,
    },
)  # fmt: skip
AFTER = Run(
    "particles-after",
    "weights of particles-o3: ties of the grouping, random elements, degrees",
    "0.25 M",
    range(5),
    3,
    _examined,
    {
        **{"of": "particles-o3", "preset": "small", "changes": {}, "held": 64},
        **{"tied": (1, 3), "lmax": 8, "audited": 2, "elements": 4000, "degrees": [8, 12, 16, 20]},
    },
    {"held": 8, "tied": (1, 2), "audited": 1, "lmax": 1, "elements": 20, "degrees": [8]},
)
DIAGNOSIS = Run(
    "particles-diagnosis",
    "weights of particles-o3: what is read of the classes from features of points",
    "0.25 M",
    range(3),
    2,
    _diagnosed,
    {"of": "particles-o3", "preset": "small", "changes": {}, "held": 64, "read": 32, "lmax": 1},
    {"held": 12, "read": 10},
)
_JETS = {"steps": 500, "batch": 64, "rate": 3e-3, "audited": 8, "lmax": 3}
JETS = [
    Run(
        f"jets-{kind}",
        f"extension: a tagger of jets, augmented by {words}",
        "0.05 M, 500 steps of 64",
        range(5),
        2,
        _tagged,
        {**_JETS, "augment": kind},
    )
    for kind, words in (("none", "nothing"), ("so2", "turns about the flight"), ("o3", "O(3) in the rest frame"))
]
RUNS = [*MAIN, AFTER, *BIAS, DIAGNOSIS, PUBLISHED, *JETS]


def tables(store: Store) -> dict[str, str]:
    """Of the account, by name."""
    return tabulated.tables(store)


def figures(store: Store) -> dict[str, Figure]:
    """Of the account, by file stem."""
    return pictures.figures(store)
