"""From the events of a drive to the numbers of an audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..adapters.base import Adapter, System
from ..errors import ModelError
from ..groups.group import Chart
from ..groups.representation import Representation
from ..measure.finite import fault, in_range
from ..measure.measure import Measure, Moments
from ..measure.quantity import QUANTITIES, Pool, Tensors
from ..measure.summary import NonFiniteValues, OrbitSummary
from ..result.data import Failure, Output, Part, Spectrum, SystemRow, Worst
from ..result.floor import ROUND_OFF
from .drive import Begin, Drive, End, numbers

STOCHASTIC_EPS = 100.0
"""Repeats that differ by more than this many eps of the output's size are no round-off: the model is random."""

OWN = ("spectrum", "error")
"""Quantities that fill the fields of a result; all others are kept by name."""


@dataclass
class _Kept:
    """Everything kept of one output or layer while systems come and go."""

    name: str
    representation: Representation | None
    pools: dict[str, Pool]
    """By the name of the quantity."""
    parts: list[Pool]
    """Spectra of the irreps of a representation that has several."""
    dtype: torch.dtype
    channels: int
    noise_sum: float = 0.0
    samples: int = 0
    worst: Worst | None = None
    squared_errors: dict[str, torch.Tensor] = field(default_factory=dict)
    """Sums over systems of the square of samples times standard error; systems have independent rotations."""
    kept: list[tuple[int, OrbitSummary, torch.Tensor | None]] = field(default_factory=list)


class Collector:
    """Consumes the events of a drive; `results` gives outputs and layers, in order of execution."""

    def __init__(
        self,
        adapter: Adapter,
        measure: Measure,
        lmax: int,
        *,
        keep: str | None,
        layer_representations: Mapping[str, Representation],
    ) -> None:
        self._adapter = adapter
        self._representations = {**layer_representations, **adapter.outputs}
        self._measure = measure
        self._lmax = lmax
        self._chart: Chart = measure.group.chart(lmax)
        self._keep = keep == "samples"
        self._reopens = measure.extends
        self._pools: dict[str, _Kept] = {}
        self._running: dict[str, tuple[Begin, dict[str, Moments]]] = {}
        self._ended: dict[str, tuple[Begin, dict[str, Moments]]] = {}
        self.systems: list[SystemRow] = []
        self.failures: list[Failure] = []

    def nbytes(self, values: Mapping[str, torch.Tensor], lmax: int) -> int:
        """Memory of the statistics of one system, in bytes, for its values on one copy."""
        return sum(self._measure.nbytes(lmax, value) for value in values.values())

    def consume(self, drive: Drive, advance: Callable[[int], None] = lambda copies: None) -> None:
        """Run the drive to its end; `advance` is told of every batch of copies evaluated."""
        for event in drive:
            if isinstance(event, Begin):
                self._begin(event, drive)
            elif isinstance(event, End):
                self._end(event.system)
            else:
                self._update(event.system, event.values, drive)
                advance(event.stop - event.start)
            del event  # else the values of this batch stay in memory, and in cache, while the model runs on the next

    def reopen(self, measure: Measure) -> set[str]:
        """Take the results back and go on with the same orbits on a longer sequence; returns the systems that can."""
        self._measure = measure
        self._pools = {}
        self.systems = []
        self._running, self._ended = self._ended, {}
        for name, (_, moments) in self._running.items():
            for moment in moments.values():
                moment.extend(measure.elements(name))
        return set(self._running)

    def settle(self) -> None:
        """Let go of the orbits that ended: they will not be reopened."""
        self._ended, self._reopens = {}, False

    def _begin(self, event: Begin, drive: Drive) -> None:
        finite = numbers([in_range(value).all() for value in event.values.values()])
        bad = [name for name, fine in zip(event.values, finite, strict=True) if not fine]
        empty = [name for name, value in event.values.items() if not value.numel()]
        if bad or empty:
            bad = bad or empty
            what = "nothing" if empty == bad else fault(event.values[bad[0]])
            reason = f"{what} on the unrotated input"
            self.failures.append(Failure(event.system.name, bad[0], reason))
            drive.drop(event.system)
            return
        kinds = {name: self._representations.get(name) for name in event.values}
        for name, value in event.values.items():
            self._pool(name, kinds[name], value)
        if event.system.name in self._running:
            return  # reopened: its orbits go on
        system, values = event.system.name, event.values
        moments = {
            name: self._measure.moments(system, self._lmax, value, kinds[name]) for name, value in values.items()
        }
        self._running[system] = (event, moments)

    def _pool(self, name: str, kind: Representation | None, value: torch.Tensor) -> None:
        if name in self._pools:
            return
        group, device = self._measure.group, value.device
        found = {key: quantity.of(group, self._lmax, kind) for key, quantity in QUANTITIES.items()}
        pools = {key: Pool(quantity, device) for key, quantity in found.items() if quantity is not None}
        several = () if kind is None else group.decompose(kind).parts
        spectrum = pools["spectrum"].quantity
        parts = [Pool(spectrum, device) for _ in several] if len(several) > 1 else []
        self._pools[name] = _Kept(name, kind, pools, parts, value.dtype, value.shape[1])

    def _update(self, system: System, values: Mapping[str, torch.Tensor], drive: Drive) -> None:
        if system.name not in self._running:
            return
        _, moments = self._running[system.name]
        for name, value in values.items():
            try:
                moments[name].update(value)
            except NonFiniteValues as error:
                self._stop(system, name, error)
                drive.drop(system)
                return

    def _stop(self, system: System, name: str, error: NonFiniteValues) -> None:
        index = error.index
        rotation = self._element(system.name, index)
        self.failures.append(Failure(system.name, name, f"{error.what} at rotation {index}", index, rotation))
        self._running.pop(system.name, None)

    def _end(self, system: System) -> None:
        if system.name not in self._running:
            return
        begin, moments = self._running.pop(system.name)
        orbits = {}
        for name, moment in moments.items():
            try:
                orbits[name] = moment.finish()
            except NonFiniteValues as error:
                self._stop(system, name, error)
                return
        if self._reopens:
            self._ended[system.name] = (begin, moments)
        row = SystemRow(system.name, system.rows, {}, {})
        index = len(self.systems)
        for name, orbit in orbits.items():
            self._add(self._pools[name], begin, orbit, index, row)
        self.systems.append(row)

    def _add(self, pool: _Kept, begin: Begin, orbit: OrbitSummary, index: int, row: SystemRow) -> None:
        for quantity in pool.pools.values():
            quantity.add(orbit)
        pool.samples += orbit.samples
        noise = begin.noise[pool.name]
        pool.noise_sum += orbit.samples * noise**2
        for key, error in (orbit.errors or {}).items():
            pool.squared_errors[key] = pool.squared_errors.get(key, 0.0) + (orbit.samples * error).square().cpu()
        mean = orbit.mean
        if mean is not None:
            for part, irrep in zip(pool.parts, orbit.power, strict=False):
                part.add(orbit.restricted(irrep))
            worst = self._worst(begin.system.name, orbit)
            if worst is not None and (pool.worst is None or worst.deviation > pool.worst.deviation):
                pool.worst = worst
        if pool.name in self._adapter.outputs:
            row.outputs[pool.name] = _error_row(orbit, noise)
        else:
            row.layers[pool.name] = {
                **_share_row(orbit, self._chart),
                **(_error_row(orbit, noise) if mean is not None else {}),
            }
        if self._keep:
            if orbit.channels != pool.channels:
                raise ModelError(
                    f"{pool.name}: expected {pool.channels} channels in every system, since keep='samples' joins them, "
                    f"got {orbit.channels} in {begin.system.name!r}"
                )
            pool.kept.append((index, orbit, None if mean is None else self._native(pool.name, mean)))

    def _native(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        return self._adapter.native_mean(name, mean) if name in self._adapter.outputs else mean.squeeze(1)

    def _worst(self, system: str, orbit: OrbitSummary) -> Worst | None:
        if orbit.worst_index is None:
            return None
        return Worst(system, orbit.worst_index, self._element(system, orbit.worst_index), orbit.worst_deviation)

    def _element(self, system: str, index: int) -> torch.Tensor:
        return self._measure.elements(system).select(index, index + 1)[0]

    def results(self) -> tuple[dict[str, Output], dict[str, Spectrum]]:
        """Outputs and layers of all systems that ended; a layer with a representation is an `Output` too."""
        outputs: dict[str, Output] = {}
        layers: dict[str, Spectrum] = {}
        for name, pool in self._pools.items():
            if not pool.samples:
                continue
            if name in self._adapter.outputs:
                outputs[name] = self._output(pool)
            else:
                known = pool.representation is not None
                layers[name] = self._output(pool) if known else Spectrum(**self._spectrum(pool))
        return {name: outputs[name] for name in self._adapter.outputs if name in outputs}, layers

    def _spectrum(self, pool: _Kept) -> dict[str, Any]:
        pooled = _on_host(pool.pools["spectrum"])
        unresolved = float(pooled["unresolved"])
        fields = {
            "name": pool.name,
            "power": pooled["power"],
            "total": pooled["total"],
            "unresolved": pooled["unresolved"],
            "degree": self._measure.degree,
            "aliasing": self._measure.uncertainty(self._chart, pooled["power"], unresolved, _pooled_errors(pool)),
            "samples": pool.samples,
            "channels": pool.channels,
            "noise": (pool.noise_sum / pool.samples) ** 0.5,
            "dtype": str(pool.dtype).removeprefix("torch."),
            "chart": self._chart,
            "quantities": {key: _on_host(own) for key, own in pool.pools.items() if key not in OWN},
        }
        if self._keep:
            orbits = [orbit for _, orbit, _ in pool.kept]
            fields["power"] = torch.cat([orbit.total_power for orbit in orbits], dim=-2).cpu()
            fields["total"] = torch.cat([orbit.total for orbit in orbits]).cpu()
            fields["unresolved"] = torch.cat([orbit.unresolved for orbit in orbits]).cpu()
            counts = torch.tensor([orbit.samples for orbit in orbits])
            fields["sample_system"] = torch.repeat_interleave(torch.tensor([i for i, _, _ in pool.kept]), counts)
        return fields

    def _output(self, pool: _Kept) -> Output:
        assert pool.representation is not None
        error = _on_host(pool.pools["error"])
        fields = self._spectrum(pool)
        size = float(error["size"])
        eps = torch.finfo(pool.dtype).eps * size
        errors = _pooled_errors(pool)
        output = Output(
            **fields,
            representation=pool.representation.name,
            components=pool.representation.components,
            variance=error["variance"],
            rmse=float(error["rmse"]),
            relative=float(error["relative"]),
            noise_floor=max(fields["noise"], ROUND_OFF * eps),
            stochastic=fields["noise"] > STOCHASTIC_EPS * eps,
            worst=pool.worst,
            standard_error=_of_root(errors.get("variance"), float(error["rmse"])),
        )
        powers = [_on_host(part)["power"] for part in pool.parts] or [fields["power"]]
        variances = error["variance_by_irrep"].reshape(-1)
        for i, part in enumerate(self._measure.group.decompose(pool.representation).parts):
            irrep, variance, power = part.label, variances[i], powers[i]
            rmse = float(variance.sqrt())
            if self._keep:
                variance = torch.cat([orbit.variance[irrep] for _, orbit, _ in pool.kept]).cpu()
                power = torch.cat([orbit.power[irrep] for _, orbit, _ in pool.kept], dim=-2).cpu()
            deviation = errors["irreps"][i] if "irreps" in errors else None
            output.parts[irrep] = Part(variance, rmse, power, _of_root(deviation, rmse))
        if self._keep:
            output.variance = torch.cat([orbit.total_variance for _, orbit, _ in pool.kept]).cpu()
            output.mean = torch.cat([native for _, _, native in pool.kept if native is not None]).cpu()
        return output


def _on_host(pool: Pool) -> Tensors:
    return {name: value.cpu() for name, value in pool.compute().items()}


def _pooled_errors(pool: _Kept) -> dict[str, torch.Tensor]:
    return {key: squared.sqrt() / pool.samples for key, squared in pool.squared_errors.items()}


def _of_root(error: torch.Tensor | None, root: float) -> float | None:
    """Standard error of the root of a variance, from that of the variance (delta method)."""
    if error is None:
        return None
    return float(error) / (2.0 * root) if root > 0 else 0.0


def _error_row(orbit: OrbitSummary, noise: float) -> dict[str, float]:
    variance = float(orbit.total_variance.mean())
    total = float(orbit.total.mean())
    assert orbit.representation is not None
    size = (total / orbit.representation.components) ** 0.5
    return {
        "samples": orbit.samples,
        "rmse": variance**0.5,
        "relative": variance**0.5 / size if size > 0 else 0.0,
        "noise": noise,
        "total": total,
        "unresolved": float(orbit.unresolved.mean()),
        "worst_deviation": orbit.worst_deviation,
        **({"standard_error": _of_root(orbit.errors["variance"], variance**0.5)} if orbit.errors else {}),
    }


def _share_row(orbit: OrbitSummary, chart: Chart) -> dict[str, float]:
    total = float(orbit.total.mean())
    columns = zip(chart.headings, chart.by_column(orbit.total_power.mean((-2, -1))), strict=True)
    shares = {f"share_{chart.axis}{head}": float(value) / total if total > 0 else 0.0 for head, value in columns}
    return {"samples": orbit.samples, "total": total, "unresolved": float(orbit.unresolved.mean()), **shares}
