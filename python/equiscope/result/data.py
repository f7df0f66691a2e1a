"""What an audit found: plain data, free of any model, and the few views that every reader wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

Sector = tuple[int, int]
"""An irrep of O(3): (lambda, sigma), sigma = +1 (proper) or -1 (pseudo)."""


@dataclass
class Spectrum:
    """Power of one layer or output in every irrep of O(3): B_(l, sigma), summed over components.

    ``power`` is ``(lmax + 1, 2)``, second axis sigma = +1, -1: the mean over samples and channels of all
    systems. With ``keep="samples"`` it is ``(lmax + 1, 2, samples, channels)``, the samples of all systems one
    after the other (``sample_system`` says whose), and ``total`` and ``unresolved`` are ``(samples, channels)``.
    In the unit of the quantity, squared. ``sum of power + unresolved = total = int |u(g)|^2 dg``.
    """

    name: str
    power: torch.Tensor
    total: torch.Tensor
    unresolved: torch.Tensor
    degree: int | None
    """Of the grid; None where rotations were drawn at random: powers are then unbiased and may be negative."""
    aliasing: torch.Tensor
    """``(lmax + 1,)`` estimate of the power that the finite grid folded into each l from above lmax; with random
    rotations twice the standard error that their number leaves to a sector of degree l without content."""
    samples: int
    """Number of samples (rows) of all systems together."""
    channels: int
    noise: float
    """Root mean square change of one entry when the same input is evaluated twice."""
    dtype: str = "float64"
    """dtype of the values as the model returned them."""
    sample_system: torch.Tensor | None = None
    """``(samples,)`` index of the system of each sample, with ``keep="samples"``."""
    chart: Any = None
    quantities: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)

    @property
    def lmax(self) -> int:
        return self.power.shape[0] - 1

    @property
    def pooled_power(self) -> torch.Tensor:
        """``(lmax + 1, 2)``: `power` averaged over samples and channels."""
        return self.power if self.power.ndim == 2 else self.power.mean(dim=(2, 3))

    @property
    def pooled_total(self) -> float:
        return float(self.total.mean())

    @property
    def pooled_unresolved(self) -> float:
        return float(self.unresolved.mean())

    @property
    def fractions(self) -> torch.Tensor:
        """``(lmax + 1, 2)``: share of the total power in each sector; zeros where the total is zero."""
        total = self.pooled_total
        return self.pooled_power / total if total > 0 else torch.zeros_like(self.pooled_power)


@dataclass
class Part:
    """The share of one target irrep (lambda, sigma) of an output that has several."""

    variance: torch.Tensor
    """Equivariance variance A of this irrep, divided by its number of components; shape as `Output.variance`."""
    rmse: float
    power: torch.Tensor
    """As `Spectrum.power`, of the components of this irrep alone."""
    standard_error: float | None = None
    """Of `rmse`; None on a quadrature grid."""


@dataclass
class Worst:
    """The largest deviation ``|z(g) - Pi|`` met: where, and at which rotation."""

    system: str
    rotation_index: int
    rotation: torch.Tensor
    """``(3, 3)`` element of O(3), determinant +1 or -1."""
    deviation: float
    """Root mean square over samples, channels and components of z(g) - Pi at that rotation."""


@dataclass
class Output(Spectrum):
    """Equivariance error of one declared output, and its spectrum.

    ``variance`` is A, divided by the number of components: pooled (0-dimensional), or ``(samples, channels)`` with
    ``keep="samples"``. ``rmse = sqrt(mean A)`` in the unit of the output. ``relative = rmse`` over the root mean
    square of one component. ``mean`` is the symmetrised output in the model's own layout, the samples of all
    systems joined along the first axis (None unless ``keep="samples"``).
    """

    representation: str = "scalar"
    components: int = 1
    mean: torch.Tensor | None = None
    variance: torch.Tensor = field(default_factory=lambda: torch.zeros(()))
    rmse: float = 0.0
    relative: float = 0.0
    noise_floor: float = 0.0
    """Errors below this cannot be told from noise: the larger of `noise` and the round-off of the dtype."""
    stochastic: bool = False
    """True when the same input gave different values, far beyond round-off."""
    worst: Worst | None = None
    parts: dict[Sector, Part] = field(default_factory=dict)
    """Per target irrep; one entry for an output that carries a single irrep."""
    standard_error: float | None = None
    """Of `rmse`, from the number of random rotations; None on a quadrature grid."""


@dataclass
class SystemRow:
    """One row of scalars for one system of the data."""

    name: str
    rows: int
    """Size of the system in rows (atoms, points, constituents)."""
    outputs: dict[str, dict[str, float]]
    """Per output: rmse, relative, noise, total, unresolved, worst_deviation; standard_error of a Monte Carlo rmse."""
    layers: dict[str, dict[str, float]]
    """Per layer: total, unresolved, and share_l0 .. the share of power in each l (both sigmas)."""


@dataclass
class Failure:
    """A system that was stopped, with the place where it happened."""

    system: str
    where: str
    """The output or layer at which the failure was seen."""
    reason: str
    rotation_index: int | None = None
    rotation: torch.Tensor | None = None


@dataclass
class Audit:
    """Result of `equiscope.audit`. Prints as a table; saves and loads without pickle."""

    outputs: dict[str, Output]
    layers: dict[str, Spectrum]
    """In order of execution. A layer whose representation is known is an `Output`, with an error of its own."""
    systems: list[SystemRow]
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    convergence: list[dict[str, Any]] = field(default_factory=list)
    """One entry per degree tried: degree, rotations, change, variance {output: A}, power {key: nested list}. With
    random rotations one per number tried, with precision (the largest relative standard error) in place of change."""
    settings: dict[str, Any] = field(default_factory=dict)
    """JSON values: model, data, lmax, estimator, degree, rotations, group, dtype, keep, tolerance, batch, inputs,
    outputs; of random rotations also seed, precision, precision_reached."""
    environment: dict[str, Any] = field(default_factory=dict)
    """JSON values: versions, instruction set, threads, date."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds: total, model, and the rest; evaluations: number of copies evaluated."""

    def __str__(self) -> str:
        from ..report.table import to_text

        return to_text(self)

    def findings(self) -> list[str]:
        """Plain-language statements, the most important first."""
        from ..report.findings import findings

        return findings(self)

    def save(self, directory: str | Path) -> Path:
        """Write ``audit.json``, ``arrays.safetensors``, the pictures and ``index.html``; the directory is returned."""
        from .files import save

        return save(self, Path(directory))

    @classmethod
    def load(cls, directory: str | Path) -> Audit:
        """Read back what `save` wrote; equal in every number."""
        from .files import load

        return load(Path(directory))

    def to_html(self) -> str:
        """One self-contained page: findings, tables, pictures, settings."""
        from ..report.html import to_html

        return to_html(self)

    def plot(self, kind: str) -> Any:
        """A matplotlib figure; `kind` is one of ``equiscope.report.plots.KINDS``."""
        from ..report.plots import plot

        return plot(self, kind)

    def to_pandas(self) -> Any:
        """Long table: one row per output or layer, l and sigma (extra ``frames``)."""
        from ..report.frames import to_pandas

        return to_pandas(self)

    def to_xarray(self) -> Any:
        """Dataset with dimensions layer, l and sigma (extra ``frames``)."""
        from ..report.frames import to_xarray

        return to_xarray(self)

    def result(self, name: str) -> Spectrum:
        """The output or layer called `name`."""
        found: Mapping[str, Spectrum] = {**self.layers, **self.outputs}
        return found[name]
