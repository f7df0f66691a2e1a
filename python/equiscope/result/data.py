"""What an audit found: plain data, free of any model and of any view."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..groups.group import Chart, Label
from ..groups.o3 import O3
from .judge import Numbers, Verdict, judge
from .scene import Scene
from .target import Sector, Target

REPEATED = 6
"""Outputs that the short form of an audit names."""


@dataclass(repr=False)
class Spectrum:
    """Power of one layer or output in every irrep of the group, summed over components.

    ``power`` is ``chart.shape``, for O(3) ``(lmax + 1, 2)`` with B_(l, sigma) at ``[l, 0]`` for sigma = +1 and
    ``[l, 1]`` for -1: the mean over samples and channels of all systems. With ``keep="samples"`` it is
    ``(*chart.shape, samples, channels)``, the samples of all systems one after the other (``sample_system`` says
    whose), and ``total`` and ``unresolved`` are ``(samples, channels)``.
    In the unit of the quantity, squared. ``sum of power + unresolved = total = int |u(g)|^2 dg``.
    """

    name: str
    power: torch.Tensor
    total: torch.Tensor
    unresolved: torch.Tensor
    degree: int | None
    """Of the grid; None where there is none: of random elements, whose powers are unbiased and may be negative."""
    samples: int
    """Number of samples (rows) of all systems together."""
    channels: int
    noise: float
    """Root mean square change of one entry when the same input is evaluated twice."""
    dtype: str = "float64"
    """dtype of the values as the model returned them."""
    sample_system: torch.Tensor | None = None
    """``(samples,)`` index of the system of each sample, with ``keep="samples"``."""
    chart: Chart = None  # type: ignore[assignment]
    """The irreps that power is laid out by; where none is given, those of O(3)."""
    noise_floor: float = 0.0
    """F: root mean square by which one entry scatters for no reason of symmetry: rounding of the rotated input, and of
    what the model makes of it, to the dtype that it computes in, repeats, and rounding of the value itself. Measured;
    numbers within it say nothing."""
    power_error: torch.Tensor = None  # type: ignore[assignment]
    """``(*chart.shape,)``: the true pooled power lies within this of `pooled_power` in 95 of 100 cases. None given: 0,
    as of numbers that are known."""
    unresolved_error: float = 0.0
    """The same of `pooled_unresolved`."""
    errors_assumed: bool = True
    """Whether the errors rest on an assumption (where the unresolved power lies, on one grid), not on a comparison."""
    quantities: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    """What was pooled beside power and error, by the name of the `equiscope.measure.Quantity`."""

    def __post_init__(self) -> None:
        if self.chart is None:
            self.chart = O3().chart(self.power.shape[0] - 1)
        if self.power_error is None:
            self.power_error = torch.zeros(self.chart.shape, dtype=torch.float64)

    def __repr__(self) -> str:
        size = f"{self.samples} samples, {self.channels} channels"
        return f"<{type(self).__name__} {self.name}: {size}, {self.chart.group}, lmax {self.lmax}>"

    @property
    def scatter(self) -> float:
        """What no symmetry explains: the noise floor, or the scatter of repeats where that is larger."""
        return max((value for value in (self.noise_floor, self.noise) if math.isfinite(value)), default=0.0)

    @property
    def lmax(self) -> int:
        return self.chart.lmax

    def pooled(self, power: torch.Tensor) -> torch.Tensor:
        """``chart.shape``: `power` averaged over samples and channels."""
        return power if power.ndim == len(self.chart.shape) else power.mean(dim=(-2, -1))

    @property
    def pooled_power(self) -> torch.Tensor:
        return self.pooled(self.power)

    @property
    def pooled_total(self) -> float:
        return float(self.total.mean())

    @property
    def pooled_unresolved(self) -> float:
        return float(self.unresolved.mean())

    @property
    def fractions(self) -> torch.Tensor:
        """``chart.shape``: share of the total power in each irrep; zeros where the total is zero."""
        total = self.pooled_total
        return torch.zeros_like(self.pooled_power) if total <= 0 else self.pooled_power / total


def widest(spectra: Iterable[Spectrum]) -> Chart:
    """The chart with a place for all that `spectra` hold: that of the highest lmax; O(3)'s where there are none."""
    return max((spectrum.chart for spectrum in spectra), key=lambda chart: chart.lmax, default=O3().chart(0))


@dataclass
class Part:
    """The share of one target irrep of an output that has several."""

    variance: torch.Tensor = field(repr=False)
    """Equivariance variance A of this irrep, divided by its number of components; shape as `Output.variance`."""
    rmse: float
    power: torch.Tensor = field(repr=False)
    """As `Spectrum.power`, of the components of this irrep alone."""
    rmse_error: float = 0.0
    """As `Output.rmse_error`."""


@dataclass
class Worst:
    """The largest deviation ``|z(g) - Pi|`` met: where, and at which rotation."""

    system: str
    rotation_index: int
    rotation: torch.Tensor = field(repr=False)
    """``(3, 3)`` element of the group, determinant +1 or -1."""
    deviation: float
    """Root mean square over samples, channels and components of z(g) - Pi at that rotation."""


@dataclass(repr=False)
class Output(Spectrum):
    """Equivariance error of one declared output, and its spectrum.

    ``variance`` is A, divided by the number of components: pooled (0-dimensional), or ``(samples, channels)`` with
    ``keep="samples"``. ``rmse = sqrt(mean A)`` in the unit of the output. ``relative = rmse`` over the root mean
    square of one component. ``mean`` is the symmetrised output in the model's own layout, the samples of all
    systems joined along the first axis (None unless ``keep="samples"``).
    """

    representation: str = "scalar"
    components: int = 1
    """Number that the squared norm is divided by: the entries of the tensor, 9 of "voigt", which stands for 3 x 3."""
    mean: torch.Tensor | None = None
    variance: torch.Tensor = field(default_factory=lambda: torch.zeros(()))
    rmse: float = 0.0
    relative: float = 0.0
    rmse_error: float = 0.0
    """The true RMSE lies within this of `rmse` in 95 of 100 cases. Where `rmse` is within noise, it is that noise at
    least, and reaches down to 0."""
    rmse_rotations: float | None = None
    """RMSE under proper rotations alone, where the group has others; from the same evaluations."""
    inversion: float | None = None
    """Overlap of the mean over proper with that over improper elements, each turned back as declared, relative to their
    size: 1 where inversion acts as declared, -1 where the sign is the other one; None where the group has no
    inversion or the means vanish."""
    symmetrised: float = 0.0
    """Root mean square of one component of Pi, the symmetrised output."""
    unit: str | None = None
    """Of the output, where it is known."""
    spread: float | None = None
    """Standard deviation of the symmetrised output over the systems, of an output with one value per system."""
    reference_rmse: float | None = None
    """The error of the model against its reference, where the audit was told it."""
    responds: bool = True
    """Whether it is not 0 for every input: where its values are, another input was tried."""
    depends: bool = True
    """Whether it changes with what is turned: where no element changed it, another input was tried. An output that does
    not is exact whatever the model is."""
    doubt: str = ""
    """Why an error may have gone unseen: that it depends on an input that may hold directions and was not turned."""
    stochastic: bool = False
    """True when the same input gave different values, far beyond round-off."""
    jumps: bool = False
    """True when rounding of the input changed a value by far more than round-off, as at a tie or a hard cutoff."""
    worst: Worst | None = None
    scene: Scene | None = None
    """The system with the largest error, to look at; None where there is no error, or nothing to be seen."""
    parts: dict[Label, Part] = field(default_factory=dict)
    """Per target irrep, by its label; one entry for an output that carries a single irrep."""

    def __repr__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        told = f"RMSE {self.rmse:.3g}{unit} ({self.relative:.3g} of its size)"
        return f"<Output {self.name}: {self.representation}, {self.verdict.value}, {told}>"

    @property
    def size(self) -> float:
        """Root mean square of one component."""
        return math.sqrt(max(self.pooled_total, 0.0) / self.components) if self.components else 0.0

    @property
    def target(self) -> Target | None:
        """The output against its labels; None where there are none."""
        found = self.quantities.get("target")
        if found is None:
            return None
        powers = {
            key: found[key].tolist() for key in ("target", "predicted", "symmetrised", "overlap", "missed", "broken")
        }
        sectors = {
            label: Sector(
                label=label,
                error=float(self.power_error[self.chart.place(label)]) if label in self.chart else 0.0,
                **{key: values[i] for key, values in powers.items()},
            )
            for i, label in enumerate(self.parts)
        }
        return Target(
            sectors,
            found["error_power"],
            float(found["missed"].sum()) / self.components,
            float(found["broken"].sum()) / self.components,
            int(found["samples"]),
        )

    @property
    def verdict(self) -> Verdict:
        """The one word that the numbers amount to."""
        size = self.size if self.samples else math.nan
        return judge(Numbers(self.rmse, size, self.scatter, self.stochastic, self.jumps, self.responds))


def nothing(name: str, representation: str, chart: Chart) -> Output:
    """What stands for an output of which there is no number: all of them are NaN."""
    none = torch.tensor(math.nan, dtype=torch.float64)
    return Output(
        name=name,
        power=torch.full(chart.shape, math.nan, dtype=torch.float64),
        total=none,
        unresolved=none,
        degree=None,
        samples=0,
        channels=0,
        noise=math.nan,
        dtype="",
        chart=chart,
        noise_floor=math.nan,
        power_error=torch.full(chart.shape, math.nan, dtype=torch.float64),
        unresolved_error=math.nan,
        representation=representation,
        variance=none,
        rmse=math.nan,
        relative=math.nan,
        rmse_error=math.nan,
        symmetrised=math.nan,
    )


@dataclass
class SystemRow:
    """One row of scalars for one system of the data."""

    name: str
    rows: int
    """Size of the system in rows (atoms, points, constituents)."""
    outputs: dict[str, dict[str, float]] = field(repr=False)
    """Per output: rmse, rmse_error, relative, noise, noise_floor, total, unresolved, worst_deviation; mean of what has
    one component."""
    layers: dict[str, dict[str, float]] = field(repr=False)
    """Per layer: total, unresolved, and for each column of its chart the share of power: share_l0, share_l1, ..."""


@dataclass
class Failure:
    """A system that is in no number, or not in those of one output or layer, with the place where it happened."""

    system: str
    where: str
    """The output or layer at which the failure was seen; "model" where that raised an error."""
    reason: str
    rotation_index: int | None = None
    rotation: torch.Tensor | None = field(default=None, repr=False)
    whole: bool = True
    """Whether the system was stopped; else what `where` names lacks it, and nothing else."""


class Results(dict[str, "Output"]):
    """Outputs by name; of one that was not measured, the KeyError says why."""

    unmeasured: Mapping[str, str] = {}

    def __missing__(self, name: str) -> Output:
        reason = self.unmeasured.get(name)
        raise KeyError(name if reason is None else f"{name!r} was not measured: {reason}")


@dataclass(repr=False)
class AuditData:
    """The numbers of an audit, without the views that `equiscope.Audit` adds."""

    outputs: dict[str, Output]
    layers: dict[str, Spectrum]
    """In order of execution. A layer whose representation is known is an `Output`, with an error of its own."""
    systems: Sequence[SystemRow]
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What a reader must know of the numbers: what they lack, and what may be wrong with them."""
    convergence: list[dict[str, Any]] = field(default_factory=list)
    """One entry per degree tried on the first systems: degree, rotations, change (relative, to the degree before),
    variance {output: A}, power {key: nested list}; and of all systems how many ran at it (systems) and were settled by
    it. With random rotations one per number tried, with precision (the largest relative standard error) in place of
    change."""
    settings: dict[str, Any] = field(default_factory=dict)
    """JSON values: model, data, lmax, estimator, degree, rotations, group, dtype, keep, tolerance, batch, inputs,
    outputs, seed; of grids shift, and where the degree was found degrees {degree: systems that ran at it} and unsettled
    (systems whose errors were too large at the finest); of random rotations precision, precision_reached; of an audit
    that was interrupted stopped_after, in words."""
    environment: dict[str, Any] = field(default_factory=dict)
    """JSON values: versions, instruction set, threads, date."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds: total, model, and the rest; evaluations: number of copies evaluated, checks: how many of them before the
    audit proper, to see that copies are independent and how large the noise floor is."""
    notes: list[str] = field(default_factory=list)
    """What was done on the way that a reader may want to know, and that takes nothing from any number."""
    unmeasured: dict[str, str] = field(default_factory=dict)
    """Outputs that were asked for and have no number, each with the reason: they are not finite on any system, or no
    system gives them. They are not in `outputs`, and in every view that lists these."""

    def __post_init__(self) -> None:
        self.outputs = Results(self.outputs)
        self.outputs.unmeasured = self.unmeasured

    def __repr__(self) -> str:
        get = self.settings.get
        listed = self.listed
        told = [f"{name} {output.verdict.value}" for name, output in list(listed.items())[:REPEATED]]
        told += [f"{len(listed) - REPEATED} more outputs"] if len(listed) > REPEATED else []
        facts = [f"{len(self.systems)} systems", f"{len(self.layers)} layers"]
        facts += [f"{key} {get(key)}" for key in ("group", "lmax", "degree") if get(key) is not None]
        name = f" of {get('model')}" if get("model") else ""
        return f"<{type(self).__name__}{name}: {', '.join(told) or 'no outputs'}; {', '.join(facts)}>"

    def result(self, name: str) -> Spectrum:
        """The output or layer called `name`."""
        return self.outputs[name] if name in self.outputs else self.layers[name]

    def results(self) -> list[tuple[str, Spectrum]]:
        """Layers in order of execution, then outputs."""
        return [*self.layers.items(), *self.outputs.items()]

    @property
    def listed(self) -> dict[str, Output]:
        """Outputs in the order in which they were asked for, with those that were not measured: their numbers are NaN,
        and their verdict says so."""
        if not self.unmeasured:
            return self.outputs
        asked, chart = self.settings.get("outputs", {}), widest(spectrum for _, spectrum in self.results())
        found = {**self.outputs, **{name: nothing(name, asked.get(name, ""), chart) for name in self.unmeasured}}
        return {name: found[name] for name in dict.fromkeys([*asked, *found]) if name in found}

    @property
    def declared_layers(self) -> dict[str, Output]:
        """The layers that declare a representation, so that they have an error."""
        return {name: layer for name, layer in self.layers.items() if isinstance(layer, Output)}

    @property
    def sampled(self) -> bool:
        """Whether elements were drawn at random, so that every number scatters."""
        return bool(self.settings.get("sampled"))
