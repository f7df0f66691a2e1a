"""The numbers of a history, free of any view and of any file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import ArgumentError, fail
from ..groups.group import Chart
from ..report import Audit
from ..result.data import Output, Spectrum, widest
from ..result.floor import sector_floor, unresolved_floor, unresolved_share


@dataclass(frozen=True)
class Point:
    """One audit of the model in training."""

    step: int
    seconds: float
    """Since the first step, all audits included."""
    spent: float
    """Of these, seconds in audits up to and with this one."""
    audit: Audit
    """As `equiscope.audit` returned it, without spectra of layers by system and without the environment."""
    skipped: int = 0
    """Points that were due since the one before, and skipped because audits had taken their share of the time."""

    def scalars(self, prefix: str = "symmetry") -> dict[str, float]:
        """Flat numbers for a logger: ``symmetry/energy/rmse``, ``symmetry/encoder.0/share/1o``, ...; NaN of outputs
        that were not measured."""
        flat = {f"{prefix}/step": float(self.step), f"{prefix}/seconds": self.seconds, f"{prefix}/spent": self.spent}
        for name, spectrum in [*self.audit.layers.items(), *self.audit.listed.items()]:
            if isinstance(spectrum, Output):
                for key in ("rmse", "rmse_error", "relative", "noise_floor"):
                    flat[f"{prefix}/{name}/{key}"] = float(getattr(spectrum, key))
            for label, share in zip(spectrum.chart.labels, spectrum.fractions.reshape(-1).tolist(), strict=True):
                flat[f"{prefix}/{name}/share/{spectrum.chart.symbol(label)}"] = share
            flat[f"{prefix}/{name}/share/above"] = unresolved_share(spectrum)
        return flat


@dataclass(frozen=True)
class Failed:
    """An audit that raised an error."""

    step: int
    seconds: float
    spent: float
    reason: str


@dataclass(frozen=True, repr=False)
class Curves:
    """One output or layer over training, a row for each point in which it occurs; float64."""

    name: str
    chart: Chart
    """The irreps that shares are laid out by."""
    steps: torch.Tensor
    """``(points,)`` int64."""
    seconds: torch.Tensor
    """``(points,)``."""
    shares: torch.Tensor
    """``(points, *chart.shape)`` of the power, in each irrep."""
    share_errors: torch.Tensor
    """The true share lies within this in 95 of 100 cases, as far as the power of the irrep is concerned."""
    share_floors: torch.Tensor
    """Shares up to these are within noise or their own errors."""
    above: torch.Tensor
    """``(points,)`` share above lmax."""
    above_floor: torch.Tensor
    declared: bool
    """Whether there is a representation, so that the following are numbers; NaN, and no verdicts, of other layers."""
    rmse: torch.Tensor
    """``(points,)``, in the unit of the output; likewise the others."""
    rmse_error: torch.Tensor
    relative: torch.Tensor
    noise_floor: torch.Tensor
    """The scatter that no symmetry explains: the measured floor, or that of repeats where it is larger."""
    verdict: tuple[str, ...]
    unit: str | None

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"<Curves of {self.name}: {len(self)} points>"


@dataclass
class HistoryData:
    """Points in rising order of steps, without the views that `equiscope.training.History` adds."""

    settings: dict[str, Any] = field(default_factory=dict)
    """JSON values: what was asked of the audits, the digest of the data, and versions at the first point."""
    points: list[Point] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    skipped: int = 0
    """Due points that were skipped since the last one that was not."""

    def add(self, point: Point) -> None:
        """One more point, of a later step than all others."""
        if self.points and point.step <= self.points[-1].step:
            fail(ArgumentError, "step", f"a step after {self.points[-1].step}", point.step)
        self.points.append(point)
        self.skipped = 0

    def rewind(self, step: int) -> None:
        """Forget what was seen from `step` on: training goes on from there again."""
        self.points = [point for point in self.points if point.step < step]
        self.failures = [failed for failed in self.failures if failed.step < step]

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    @property
    def outputs(self) -> list[str]:
        """Names of outputs that were measured at some point."""
        return [name for name in self.listed if any(name in point.audit.outputs for point in self.points)]

    @property
    def listed(self) -> list[str]:
        """Names of outputs that were asked for, those too that have no number at any point."""
        return list(dict.fromkeys(name for point in self.points for name in point.audit.listed))

    @property
    def layers(self) -> list[str]:
        """Names of layers, in order of execution."""
        return list(dict.fromkeys(name for point in self.points for name in point.audit.layers))

    @property
    def all_skipped(self) -> int:
        """Due points that were skipped since audits had taken their share of the time."""
        return self.skipped + sum(point.skipped for point in self.points)

    @property
    def clock(self) -> tuple[float, float]:
        """Seconds since the first step, and those in audits, when the last point or failure was written."""
        points = [(point.seconds, point.spent) for point in self.points]
        return max([*points, *((failed.seconds, failed.spent) for failed in self.failures)], default=(0.0, 0.0))

    def point(self, step: int) -> Point:
        """That of the step. Raises `ArgumentError` where there is none."""
        for point in self.points:
            if point.step == step:
                return point
        steps = ", ".join(str(point.step) for point in self.points) or "none"
        fail(ArgumentError, "step", f"a step of this history ({steps})", repr(step))

    def scalars(self, point: Point, prefix: str = "symmetry") -> dict[str, float]:
        """Flat numbers of a point for a logger."""
        return point.scalars(prefix)

    def curves(self, name: str) -> Curves:
        """The output or layer `name` over training. Raises `ArgumentError` where no point has it."""
        found = [(p, p.audit.result(name)) for p in self.points if name in p.audit.outputs or name in p.audit.layers]
        if not found:
            known = ", ".join([*self.outputs, *self.layers]) or "none"
            fail(ArgumentError, "name", f"an output or a layer of this history ({known})", repr(name))
        spectra = [spectrum for _, spectrum in found]
        outputs = [spectrum for spectrum in spectra if isinstance(spectrum, Output)]
        declared = len(outputs) == len(spectra)

        def column(values: Sequence[float]) -> torch.Tensor:
            return torch.tensor(values if declared else [torch.nan] * len(spectra), dtype=torch.float64)

        return Curves(
            name=name,
            chart=widest(spectra),
            steps=torch.tensor([point.step for point, _ in found]),
            seconds=torch.tensor([point.seconds for point, _ in found], dtype=torch.float64),
            shares=torch.stack([spectrum.fractions for spectrum in spectra]),
            share_errors=torch.stack([_share(spectrum, spectrum.power_error) for spectrum in spectra]),
            share_floors=torch.stack([_share(spectrum, sector_floor(spectrum)) for spectrum in spectra]),
            above=torch.tensor([unresolved_share(spectrum) for spectrum in spectra], dtype=torch.float64),
            above_floor=torch.stack([_share(s, torch.tensor(unresolved_floor(s))) for s in spectra]).double(),
            declared=declared,
            rmse=column([output.rmse for output in outputs]),
            rmse_error=column([output.rmse_error for output in outputs]),
            relative=column([output.relative for output in outputs]),
            noise_floor=column([output.scatter for output in outputs]),
            verdict=tuple(str(output.verdict) for output in outputs) if declared else (),
            unit=outputs[-1].unit if declared else None,
        )


def _share(spectrum: Spectrum, power: torch.Tensor) -> torch.Tensor:
    total = spectrum.pooled_total
    return power.to(torch.float64) / total if total > 0 else torch.zeros_like(power, dtype=torch.float64)
