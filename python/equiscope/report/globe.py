"""A function on the sphere as an equal-area map."""

from __future__ import annotations

import functools
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.image import AxesImage
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke
from matplotlib.projections.geo import MollweideAxes
from numpy.polynomial.legendre import legval

from ..result.scene import Scene
from .palette import FAINT, INK, MAP, MARK, PAPER, RULE, SMALL, Options

ACROSS, DOWN = 120, 60
"""Pixels of the map: 3 degrees, a tenth of what the kernel resolves."""

MOLLWEIDE = MollweideAxes.MollweideTransform(1)
"""From longitude and latitude to the map."""

HALF = (2 * math.sqrt(2), math.sqrt(2))
"""Half axes of the map."""

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


def draw_globe(axes: Axes, scene: Scene) -> AxesImage:
    """The map in the projection of Mollweide, x in the middle and z on top; the worst element is marked."""
    values = error_at(scene, _directions()).reshape(DOWN, ACROSS)
    top = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
    low = min(float(np.nanmin(values)) if np.isfinite(values).any() else 0.0, top / FLATTEST)
    rim = Ellipse((0.0, 0.0), 2 * HALF[0], 2 * HALF[1], facecolor="none", edgecolor=FAINT, linewidth=0.6, clip_on=False)
    (wide, tall), options = HALF, Options(cmap=MAP, vmin=low, vmax=top, interpolation="bilinear", origin="lower")
    # one picture of pixels: as many cells on axes of this projection take ten times as long
    image = axes.imshow(values, extent=(-wide, wide, -tall, tall), **options)
    axes.add_patch(rim)
    image.set_clip_path(rim)
    axes.set_axis_off()
    _graticule(axes)
    x, y, z = (scene.rotation.numpy() @ scene.axis.numpy()).tolist()
    at = MOLLWEIDE.transform((math.atan2(y, x), math.asin(min(max(z, -1.0), 1.0))))
    axes.plot(*at, "o", color="none", markeredgecolor=MARK, markersize=7, markeredgewidth=1.6, clip_on=False)
    return image


@functools.cache
def _directions() -> np.ndarray:
    """``(DOWN * ACROSS, 3)``: where the pixels of the map lie on the sphere; of those beyond its rim, at the rim."""
    across, down = ((np.arange(count) + 0.5) / count * 2 - 1 for count in (ACROSS, DOWN))
    up, along = np.meshgrid(down * HALF[1], across * HALF[0], indexing="ij")
    longitude, latitude = MOLLWEIDE.inverted().transform(np.stack([along, up], axis=-1).reshape(-1, 2)).T
    longitude = np.clip(longitude, -np.pi, np.pi)
    flat = np.cos(latitude)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], axis=-1)


def _graticule(axes: Axes) -> None:
    span, turn = np.linspace(-np.pi / 2, np.pi / 2, 31), np.array([-np.pi, np.pi])
    lines = [np.stack([np.full_like(span, at), span], axis=-1) for at in np.radians(np.arange(-135, 180, 45))]
    lines += [np.stack([turn, np.full_like(turn, at)], axis=-1) for at in np.radians([-45, 0, 45])]
    look: Options = {"colors": RULE, "linewidths": 0.3, "alpha": 0.6}
    axes.add_collection(LineCollection([MOLLWEIDE.transform(line) for line in lines], **look), autolim=False)
    stroke = [withStroke(linewidth=2.0, foreground=PAPER)]
    options: Options = {"ha": "center", "va": "center", "fontsize": SMALL, "color": INK, "path_effects": stroke}
    for label, place in (("x", 0.0), ("y", 0.5 * HALF[0]), ("-y", -0.5 * HALF[0])):
        axes.text(place, 0.0, label, **options)
    for label, height in (("z", 1.0), ("-z", 0.0)):
        axes.text(0.5, height, label, transform=axes.transAxes, ha="center", fontsize=SMALL, color=INK,
                  va="bottom" if height else "top")  # fmt: skip
