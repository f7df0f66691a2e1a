"""Points in space on paper: atoms as balls by their covalent radii, bonds as sticks, in the order of their depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.path import Path

from ..result.scene import Scene
from .elements import COLOURS, OTHER, radius
from .palette import FAINT, INK, PAPER, PROPER, PSEUDO, RULE, SERIES, SMALL, Options

BONDED = 1.25
"""Times the sum of two covalent radii up to which atoms are bonded."""

BALL = 0.45
"""Radius of a ball, in covalent radii."""

SUNK = 0.9
"""Part of its radius at which a stick leaves a ball."""

DOT = 0.02
"""Radius of the dot of a point, in parts of the extent."""

MOST_BALLS = 400
"""Points that are drawn as balls with bonds; of more, dots alone."""

LIKELY = (0.6, 1.6)
"""Ratio of the distance to the nearest atom to the sum of covalent radii, its median, between which numbers are atomic
ones and lengths in angstrom."""

FAR = 0.35
"""Opacity of the farthest of points that are no atoms."""

ARROW = 0.36
"""Length of the longest arrow, in parts of the extent."""


MARGIN = 0.06
"""About the points, in parts of the extent; arrows may stick out."""


@dataclass(frozen=True)
class Camera:
    """An orthographic view: rows are right, up, and towards the eye."""

    frame: np.ndarray

    def project(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places on paper ``(n, 2)`` and heights above it ``(n,)``."""
        turned = positions @ self.frame.T
        return turned[:, :2], turned[:, 2]

    @classmethod
    def for_all(cls, clouds: Sequence[np.ndarray], candidates: np.ndarray) -> Camera:
        """Of the view directions ``(m, 3)`` the one from which the flattest of the clouds is broadest; z goes up."""
        frames = [_frame(direction) for direction in candidates]
        breadth = [min(_breadth(cloud @ frame[:2].T) for cloud in clouds) for frame in frames]
        return cls(frames[int(np.argmax(np.round(breadth, 9)))])


def _frame(direction: np.ndarray) -> np.ndarray:
    up = np.array([0.0, 0.0, 1.0]) if abs(direction[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    right = np.cross(up, direction)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(direction, right), direction])


def _breadth(flat: np.ndarray) -> float:
    """Second extent of a cloud on paper; of what is a line anyway its first."""
    values = np.linalg.svd(flat, compute_uv=False)
    return float(values[-1] + 0.1 * values[0])


class Figurine:
    """The points of a scene, of one look in all its poses."""

    def __init__(self, scene: Scene) -> None:
        given = scene.positions.numpy()
        self.cell = None if scene.cell is None or not bool(scene.cell.any()) else scene.cell.numpy()
        # the group acts about the origin, but far from it nothing would be seen
        self.centre = given.mean(0) if self.cell is None else 0.5 * self.cell.sum(0)
        self.given = given - self.centre
        self.turned = self.given @ scene.rotation.numpy().T
        self.rotation = scene.rotation.numpy()
        self.types = None if scene.types is None else scene.types.numpy()
        self.extent = max(2 * float(np.linalg.norm(self.given, axis=1).max()), 1e-300)
        ratio = self._nearest() if scene.atomic and len(given) <= MOST_BALLS else None
        self.atoms = scene.atomic and len(given) <= MOST_BALLS and (ratio is None or LIKELY[0] < ratio < LIKELY[1])
        if len(given) == 1:
            self.extent = 4 * radius(int(self.types[0])) if self.atoms and self.types is not None else 1.0
        self.radii = self._radii()
        self.camera = Camera.for_all([self.given, self.turned], scene.directions.numpy())

    def _nearest(self) -> float | None:
        """Median over the atoms of the distance to the nearest one, in sums of covalent radii; None of one alone."""
        if len(self.given) < 2 or self.types is None:
            return None
        ratios = self._ratios()
        np.fill_diagonal(ratios, np.inf)
        return float(np.median(ratios.min(1)))

    def _ratios(self) -> np.ndarray:
        assert self.types is not None
        own = np.array([radius(int(number)) for number in self.types])
        distances = np.linalg.norm(self.given[:, None] - self.given[None], axis=-1)
        ratios: np.ndarray = distances / (own[:, None] + own[None])
        return ratios

    def _radii(self) -> np.ndarray:
        if self.atoms and self.types is not None:
            return BALL * np.array([radius(int(number)) for number in self.types])
        return np.full(len(self.given), DOT * self.extent / min(max(len(self.given) / 100, 1.0), 3.0))

    @property
    def bonds(self) -> list[tuple[int, int]]:
        """Pairs of atoms that are bonded."""
        if not self.atoms or len(self.given) < 2:
            return []
        first, second = np.nonzero(np.triu(self._ratios() < BONDED, 1))
        return list(zip(first.tolist(), second.tolist(), strict=True))

    def colours(self) -> list[str]:
        """Of the points by what they are."""
        if self.types is None:
            return [PROPER] * len(self.given)
        if self.atoms:
            return [COLOURS.get(int(number), OTHER) for number in self.types]
        kinds = sorted(set(self.types.tolist()))
        return [SERIES[kinds.index(number) % len(SERIES)] for number in self.types.tolist()]

    def draw(self, axes: Axes, pose: np.ndarray, colours: Sequence[str]) -> None:
        """The points in a pose ``(n, 3)``, the farthest first."""
        places, heights = self.camera.project(pose)
        order = np.argsort(heights, kind="stable")
        if len(order) > MOST_BALLS:
            right, up = places[order].T
            axes.scatter(right, up, s=3, c=[colours[i] for i in order], linewidths=0, zorder=2, rasterized=True)
        else:
            rank = np.empty(len(order))
            rank[order] = np.arange(len(order))
            self._solids(axes, pose, places, rank, colours)
        self._frame(axes)

    def _solids(
        self, axes: Axes, pose: np.ndarray, places: np.ndarray, rank: np.ndarray, colours: Sequence[str]
    ) -> None:
        """Balls and sticks, each stick right over the ball that lies deeper; one artist, which is drawn at once."""
        drawn: list[tuple[float, Path, Any, str, float]] = []
        for i, j in self.bonds:
            line = Path(self.camera.project(self._stick(pose, i, j))[0])
            level = float(min(rank[i], rank[j])) + 0.4
            drawn += [(level, line, "none", INK, 3.6), (level, line, "none", RULE, 2.4)]
        for i, place in enumerate(places):
            # what has no bonds to tell how deep it lies is paler far away
            face = to_rgba(colours[i], 1.0 if self.atoms else FAR + (1 - FAR) * (rank[i] + 1) / len(rank))
            ball = Path.circle((float(place[0]), float(place[1])), float(self.radii[i]))
            drawn.append((float(rank[i]), ball, face, INK, 0.6 if self.atoms else 0.3))
        drawn.sort(key=lambda each: each[0])
        _, paths, faces, edges, widths = zip(*drawn, strict=True)
        look: Options = {"facecolors": faces, "edgecolors": edges, "linewidths": widths, "capstyle": "round"}
        axes.add_collection(PathCollection(paths, zorder=2, **look), autolim=False)

    def _stick(self, pose: np.ndarray, i: int, j: int) -> np.ndarray:
        """Both ends of a bond, on the surfaces of its atoms."""
        along = (pose[j] - pose[i]) / max(float(np.linalg.norm(pose[j] - pose[i])), 1e-300)
        return np.stack([pose[i] + SUNK * self.radii[i] * along, pose[j] - SUNK * self.radii[j] * along])

    def draw_cell(self, axes: Axes, *, turned: bool) -> None:
        """The edges of the unit cell."""
        if self.cell is None:
            return
        corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float)
        places = corners @ self.cell - self.centre
        places, _ = self.camera.project(places @ self.rotation.T if turned else places)
        pairs = [(i, j) for i in range(8) for j in range(i + 1, 8) if np.abs(corners[i] - corners[j]).sum() == 1]
        edges = LineCollection([places[list(pair)] for pair in pairs], colors=FAINT, linewidths=0.5, zorder=1)
        axes.add_collection(edges, autolim=False)

    def _frame(self, axes: Axes) -> None:
        reach = 0.5 * self.extent + float(self.radii.max()) + MARGIN * self.extent
        if self.cell is not None:
            corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ self.cell - self.centre
            reach = max(reach, float(np.linalg.norm(corners, axis=1).max()))
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
        axes.set_aspect("equal")
        axes.set_axis_off()
        _triad(axes, self.camera, reach)

    def arrows(self, axes: Axes, starts: np.ndarray, vectors: np.ndarray) -> None:
        """Arrows from points in space, of lengths on paper as they are seen; they lie over the points."""
        tails, _ = self.camera.project(starts)
        flat, _ = self.camera.project(vectors)
        look: Options = {"width": 0.018, "headwidth": 3.2, "headlength": 3.6, "headaxislength": 3.4, "minshaft": 1.5}
        look |= {"color": PSEUDO, "edgecolor": PAPER, "linewidth": 0.5, "zorder": 4}
        axes.quiver(*tails.T, *flat.T, angles="xy", scale_units="xy", scale=1.0, units="width", **look)


def _triad(axes: Axes, camera: Camera, reach: float) -> None:
    """The directions x, y, z, in a corner."""
    at = np.array([-0.78, -0.7]) * reach  # with its letters above the lower end, below which is text
    ends = at + 0.15 * reach * camera.project(np.eye(3))[0]
    lines = LineCollection([np.stack([at, end]) for end in ends], colors=FAINT, linewidths=0.9, zorder=5)
    axes.add_collection(lines, autolim=False)
    for name, unit in zip("xyz", np.eye(3), strict=True):
        (flat,), _ = camera.project(unit[None])
        if np.hypot(*flat) > 0.15:
            right, up = at + 0.23 * reach * flat / max(np.hypot(*flat), 0.6)
            axes.text(right, up, name, ha="center", va="center", fontsize=SMALL - 1, color=FAINT)
