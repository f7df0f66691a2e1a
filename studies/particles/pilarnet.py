"""Events of PILArNet-M (arXiv 2502.02558), from its HDF5 files, for those who have them.

A file has two arrays of variable-length rows, one row for each event, flat: ``point``, N x 8 numbers (x, y, z, energy
of the voxel, energy, time, electrons, dx), and ``cluster``, n x 5 (number of points, three identities, class of
particle). Points stand in the order of their clusters. The official checkpoints are not read: how their tensors are
named and laid out is documented nowhere that was found, and a wrong guess would not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from .events import CLASSES, Detector, Events
from .physics import Array
from .transport import Whole

DETECTOR = Detector(edge=768, points=(1024, 1_000_000))
"""Whose `centre` and `scale` belong to the coordinates of these files."""


def read(path: str | Path, events: Sequence[int] | None = None, detector: Detector = DETECTOR) -> Events:
    """Events of one file, without voxels below the threshold, without low-energy scatters, and without events that are
    then left with fewer points than ``detector.points[0]``.

    Args:
        path: of the file.
        events: which ones; None: all.
        detector: threshold and least number of points.

    Raises:
        ImportError: there is no h5py.
        ValueError: the file does not have this layout.
    """
    h5py = import_module("h5py")
    parts = []
    with h5py.File(path, "r") as file:
        missing = {"point", "cluster"} - set(file)
        if missing:
            raise ValueError(f"path: expected arrays point and cluster, got none called {', '.join(sorted(missing))}")
        for event in range(len(file["point"])) if events is None else events:
            parts.append(_event(event, np.asarray(file["point"][event]), np.asarray(file["cluster"][event]), detector))
    kept = [part for part in parts if len(part[1]) >= detector.points[0]]
    voxels, energy, label = (np.concatenate(values) for values in zip(*kept, strict=True)) if kept else _none()
    return Events(voxels, energy, label, np.cumsum([0, *(len(part[1]) for part in kept)]))


def _event(event: int, point: Array, cluster: Array, detector: Detector) -> tuple[Whole, Array, Whole]:
    if point.size % 8 or cluster.size % 5:
        sizes = f"{point.size} and {cluster.size}"
        raise ValueError(f"event {event}: expected 8 numbers for each point and 5 for each cluster, got {sizes}")
    point, cluster = point.reshape(-1, 8), cluster.reshape(-1, 5)
    label = np.repeat(cluster[:, 4], cluster[:, 0].astype(np.int64)).astype(np.int64)
    if len(label) != len(point):
        raise ValueError(f"event {event}: expected as many points as its clusters have, {len(label)}, got {len(point)}")
    kept = (point[:, 3] >= detector.threshold) & (label < len(CLASSES))
    return point[kept, :3].astype(np.int64), point[kept, 3].astype(np.float64), label[kept]


def _none() -> tuple[Whole, Array, Whole]:
    return np.zeros((0, 3), np.int64), np.zeros(0), np.zeros(0, np.int64)
