"""From what came of each system to the numbers of an audit: systems are added one by one, in the order of the data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..groups.group import Chart, Group
from ..measure.measure import Found
from ..measure.settling import Seen
from ..measure.sums import OWN, Sums, Terms
from ..result.data import Failure, Output, Part, Spectrum, Worst
from ..result.judge import AT_NOISE
from ..result.scene import Scene
from .entry import Entry, Kind, Share, Tensors


@dataclass
class _Kept:
    """What all systems so far gave of one output or layer."""

    kind: Kind
    sums: Sums
    samples: int = 0
    systems: int = 0
    random: bool = False
    jumps: bool = False
    responds: bool = False
    depends: bool = False
    assumed: bool = False
    worst: Worst | None = None
    scene: Scene | None = None
    degrees: Counter[int | None] = field(default_factory=Counter)
    kept: list[tuple[int, Tensors]] = field(default_factory=list)
    """Of systems by their number, arrays per sample."""


class Pooled:
    """The sum over systems. Results depend on what was added and on its order, and on nothing else."""

    def __init__(self, group: Group, lmax: int, outputs: Sequence[str]) -> None:
        self._group, self._lmax, self.outputs = group, lmax, tuple(outputs)
        self._chart: Chart = group.chart(lmax)
        self._held: dict[str, _Kept] = {}
        self.systems = 0
        """That have numbers."""
        self.failures: list[Failure] = []
        self._ended = 0
        self.ran: Counter[int | None] = Counter()
        """By degree: systems that were evaluated at it."""
        self.settled: Counter[int | None] = Counter()
        """By degree: systems whose numbers are those at it."""
        self.unsettled = 0
        """Systems that had not settled at the finest grid."""

    def __len__(self) -> int:
        return self._ended

    def add(self, entry: Entry) -> None:
        """The next system."""
        self._ended += 1
        self.failures += entry.failures
        if entry.row is None:
            return
        for name, share in entry.shares.items():
            self._add(name, share, entry)
        self.ran.update(entry.ran)
        self.settled[entry.degree] += 1
        self.unsettled += not entry.settled
        self.systems += 1

    def _add(self, name: str, share: Share, entry: Entry) -> None:
        held = self._held.get(name)
        if held is None:
            sums = Sums(Terms(self._group, self._lmax, share.kind.representation))
            held = self._held[name] = _Kept(share.kind, sums)
        held.sums.add(share.sums)
        held.systems += 1
        held.random |= share.random
        held.jumps |= share.jumps
        held.responds |= share.responds
        held.depends |= share.depends
        held.assumed |= entry.assumed
        held.degrees[entry.degree] += 1
        if share.worst is not None and (held.worst is None or share.worst.deviation > held.worst.deviation):
            held.worst = share.worst
        # the first one of equals, as systems come in the order of the data
        if share.scene is not None and (held.scene is None or share.scene.rmse > held.scene.rmse):
            held.scene = share.scene
        if share.kept:
            held.kept.append((self.systems, share.kept))

    def stochastic(self) -> list[str]:
        """Outputs that the same input gives different values of."""
        return [name for name in self.outputs if name in self._held and self._held[name].random]

    def absent(self) -> list[str]:
        """What the report should say of outputs that some systems do not have, beside those of which failures tell."""
        return [
            f"`{name}` is given by {self._of_all(held.systems)}, and measured on these alone"
            for name in self.outputs
            if (held := self._held.get(name)) and held.systems + len(self._lost(name)) < self.systems
        ]

    def unmeasured(self) -> dict[str, str]:
        """Outputs of which no system has a number, and why."""
        return {name: self._reason(name) for name in self.outputs if name not in self._held}

    def is_given(self, name: str) -> bool:
        """Whether any system had values of an output, finite or not."""
        return name in self._held or bool(self._lost(name))

    def _reason(self, name: str) -> str:
        lost = self._lost(name)
        if not lost:
            return f"given by {self._of_all(0)}"
        others = ", and not given by the others" if len(lost) < self.systems else ""
        return f"not finite on {self._of_all(len(lost))}{others}; {lost[0].system!r}: {lost[0].reason}"

    def _lost(self, name: str) -> list[Failure]:
        """Of the systems that have other numbers, those on which an output is not finite."""
        return [failure for failure in self.failures if failure.where == name and not failure.whole]

    def _of_all(self, systems: int) -> str:
        return f"{systems or 'none'} of {self.systems} system{'s' if self.systems > 1 else ''}"

    def seen(self) -> dict[str, Seen]:
        """What all systems so far show of each output and layer, without errors."""
        return {name: self._seen(held) for name, held in self._held.items()}

    def _seen(self, held: _Kept) -> Seen:
        found = held.sums.results()
        spectrum, kind = found["spectrum"], held.kind.representation
        components = 1 if kind is None else kind.entries
        return Seen(
            samples=int(found["all"]["samples"]),
            total=float(spectrum["total"]),
            power=spectrum["power"],
            power_error=torch.zeros_like(spectrum["power"]),
            noise=components * float(found["all"]["floor"]) ** 2,
            components=components,
            variance=None if kind is None else float(found["error"]["variance"]),
        )

    def results(self, skipped: Collection[str] = ()) -> Found:
        """Outputs, and layers in order of execution, without those that are `skipped`; a layer with a representation is
        an `Output` too."""
        outputs: dict[str, Output] = {}
        layers: dict[str, Spectrum] = {}
        for name, held in self._held.items():
            if name in skipped:
                continue
            if name in self.outputs:
                outputs[name] = self._output(name, held)
            elif held.kind.representation is not None:
                layers[name] = self._output(name, held)
            else:
                layers[name] = Spectrum(**self._spectrum(name, held, held.sums.results()))
        return {name: outputs[name] for name in self.outputs if name in outputs}, layers

    def _spectrum(self, name: str, held: _Kept, found: dict[str, Tensors]) -> dict[str, Any]:
        pooled, errors = found["spectrum"], found["errors"]
        fields = {
            "name": name,
            "power": pooled["power"],
            "total": pooled["total"],
            "unresolved": pooled["unresolved"],
            "degree": most(held.degrees),
            "power_error": errors["power"],
            "unresolved_error": float(errors["unresolved"]),
            "errors_assumed": held.assumed,
            "samples": int(found["all"]["samples"]),
            "channels": held.kind.channels,
            "noise": float(found["all"]["noise"]),
            "noise_floor": float(found["all"]["floor"]),
            "dtype": held.kind.dtype,
            "chart": self._chart,
            "quantities": {key: found[key] for key in held.sums.terms.quantities if key not in OWN and found[key]},
        }
        if held.kept:
            fields |= {key: _joined(held, key) for key in ("power", "total", "unresolved")}
            counts = torch.tensor([len(own["total"]) for _, own in held.kept])
            fields["sample_system"] = torch.repeat_interleave(torch.tensor([i for i, _ in held.kept]), counts)
        return fields

    def _output(self, name: str, held: _Kept) -> Output:
        kind = held.kind.representation
        assert kind is not None
        found = held.sums.results()
        error, cosets, errors = found["error"], found["cosets"], found["errors"]
        fields = self._spectrum(name, held, found)
        rotations, overlap = float(cosets["rmse_rotations"]), float(cosets["overlap"])
        noise = max(fields["noise"], fields["noise_floor"])
        vanishes = float(cosets["size"]) <= fields["noise_floor"] ** 2
        output = Output(
            **fields,
            representation=kind.name,
            components=kind.entries,
            variance=error["variance"],
            rmse=float(error["rmse"]),
            relative=float(error["relative"]),
            rmse_error=root_error(float(error["variance"]), float(errors["variance"]), noise),
            rmse_rotations=None if math.isnan(rotations) else rotations,
            inversion=None if math.isnan(overlap) or vanishes else overlap,
            symmetrised=float(cosets["symmetrised"]),
            stochastic=held.random,
            jumps=held.jumps,
            responds=held.responds,
            depends=held.depends,
            worst=held.worst,
        )
        variances = error["variance_by_irrep"].reshape(-1)
        for i, irrep in enumerate(held.sums.terms.irreps):
            variance, power = variances[i], found.get(f"spectrum {i}", found["spectrum"])["power"]
            rmse = float(variance.sqrt())
            if held.kept:
                variance, power = _joined(held, f"variance {i}"), _joined(held, f"power {i}")
            output.parts[irrep] = Part(variance, rmse, power, root_error(rmse**2, float(errors["irreps"][i]), noise))
        output.scene = held.scene if output.verdict.is_broken else None
        if held.kept:
            output.variance, output.mean = _joined(held, "variance"), _joined(held, "mean")
        return output


def _joined(held: _Kept, key: str) -> torch.Tensor:
    """The samples of all systems one after the other: the last axis but one of powers, the first of the others."""
    return torch.cat([own[key] for _, own in held.kept], dim=-2 if key.startswith("power") else 0)


def most(degrees: Counter[int | None]) -> int | None:
    """At which most systems are, the coarser of two equals."""
    return max(degrees, key=lambda degree: (degrees[degree], -(degree or 0)))


def root_error(variance: float, error: float, noise: float) -> float:
    """Half width of the root of a variance, from that of the variance: the farther end of its interval. Of a root that
    is not above `noise` no more is known than that, and that it may be 0."""
    low, root, high = (math.sqrt(max(value, 0.0)) for value in (variance - error, variance, variance + error))
    width = max(root - low, high - root)
    return max(width, noise, root) if root <= AT_NOISE * noise else width
