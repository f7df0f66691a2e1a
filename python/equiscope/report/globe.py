"""A function on the sphere as an equal-area map."""

from __future__ import annotations

import functools
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.patheffects import withStroke
from numpy.polynomial.legendre import legval

from ..result.scene import Scene
from .palette import FAINT, INK, MAP, MARK, PAPER, RULE, SMALL, Options

ACROSS, DOWN = 120, 60
"""Cells of the map: 3 degrees, a tenth of what the kernel resolves."""

THIN = 0.2
"""Weight below which no element of the group comes near a direction, and the map is blank."""

FLATTEST = 1.25
"""Least ratio of the ends of the scale of colours: a smaller one would make a map of nothing lively."""


def half_width(degree: int) -> float:
    """Degrees at which the kernel ``((1 + t) / 2)^L`` has half of its height."""
    return math.degrees(2 * math.acos(0.5 ** (0.5 / degree)))


def error_at(scene: Scene, directions: np.ndarray) -> np.ndarray:
    """``(n,)``: root mean square error at unit vectors ``(n, 3)``, NaN where no element comes near.

    E and the weight are polynomials of degree L: ``f(n) = sum_p area_p f(n_p) sum_(l <= L) (2l + 1) P_l(n . n_p)``.
    """
    reproducing = _reproducing(directions.tobytes(), scene.directions.numpy().tobytes(), scene.degree)
    squares, weights = (reproducing @ (scene.areas * own).numpy() for own in (scene.squares, scene.weights))
    seen = weights > THIN
    ratio = np.divide(squares, weights, out=np.full_like(squares, np.nan), where=seen)
    found: np.ndarray = np.sqrt(np.maximum(ratio, 0.0))
    return found


@functools.lru_cache(maxsize=1)
def _reproducing(directions: bytes, rule: bytes, degree: int) -> np.ndarray:
    """The kernel of polynomials between two sets of directions, which all pictures of a page share."""
    first, second = (np.frombuffer(own).reshape(-1, 3) for own in (directions, rule))
    found: np.ndarray = legval(first @ second.T, 2 * np.arange(degree + 1) + 1.0)
    return found


def draw_globe(axes: Axes, scene: Scene) -> QuadMesh:
    """The map on axes of the projection "mollweide", x in the middle and z on top; the worst element is marked."""
    longitude = np.linspace(-np.pi, np.pi, ACROSS + 1)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, DOWN + 1)
    middle = (longitude[:-1] + longitude[1:]) / 2, (latitude[:-1] + latitude[1:]) / 2
    along, up = np.meshgrid(*middle)
    vectors = np.stack([np.cos(up) * np.cos(along), np.cos(up) * np.sin(along), np.sin(up)], axis=-1).reshape(-1, 3)
    values = error_at(scene, vectors).reshape(along.shape)
    top = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
    low = min(float(np.nanmin(values)) if np.isfinite(values).any() else 0.0, top / FLATTEST)
    options: Options = {"cmap": MAP, "vmin": low, "vmax": top, "rasterized": True, "shading": "flat"}
    mesh = axes.pcolormesh(longitude, latitude, values, **options)
    _graticule(axes)
    x, y, z = (scene.rotation.numpy() @ scene.axis.numpy()).tolist()
    axes.plot(math.atan2(y, x), math.asin(min(max(z, -1.0), 1.0)), "o", color="none", markeredgecolor=MARK,
              markersize=7, markeredgewidth=1.6)  # fmt: skip
    return mesh


def _graticule(axes: Axes) -> None:
    axes.set_facecolor("none")
    axes.set_xticks([])
    axes.set_yticks([])
    line: Options = {"color": RULE, "linewidth": 0.3, "alpha": 0.6}
    span, turn = np.linspace(-np.pi / 2, np.pi / 2, 31), np.linspace(-np.pi, np.pi, 61)
    for longitude in np.radians(np.arange(-135, 180, 45)):
        axes.plot(np.full_like(span, longitude), span, **line)
    for latitude in np.radians([-45, 0, 45]):
        axes.plot(turn, np.full_like(turn, latitude), **line)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
        spine.set_linewidth(0.6)
    stroke = [withStroke(linewidth=2.0, foreground=PAPER)]
    options: Options = {"ha": "center", "va": "center", "fontsize": SMALL, "color": INK, "path_effects": stroke}
    for label, place in (("x", (0.0, 0.0)), ("y", (np.pi / 2, 0.0)), ("-y", (-np.pi / 2, 0.0))):
        axes.text(*place, label, **options)
    for label, height in (("z", 1.0), ("-z", 0.0)):
        axes.text(0.5, height, label, transform=axes.transAxes, ha="center", fontsize=SMALL, color=INK,
                  va="bottom" if height else "top")  # fmt: skip
