"""From the events of a drive to the numbers of an audit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..adapters.base import Adapter, System
from ..adapters.labels import Labels
from ..errors import EquiscopeError, ModelError, ends_the_system
from ..groups.group import Chart
from ..groups.representation import Representation
from ..interrupts import undisturbed
from ..measure.against import against
from ..measure.directions import DirectionMoments
from ..measure.finite import fault, in_range
from ..measure.measure import Measure, Moments
from ..measure.quantity import QUANTITIES, Pool, Tensors
from ..measure.settling import Seen
from ..measure.summary import NonFiniteValues, OrbitSummary
from ..result.data import Failure, Output, Part, Spectrum, SystemRow, Worst
from ..result.judge import AT_NOISE
from ..result.scene import Scene
from .drive import Drive, Empty, End, Failed, Slice, numbers
from .leaves import representation_of
from .onlooker import Onlooker
from .rehearsal import Begin
from .witness import Witness

RARE = 2.0
"""Jumps by rounding are rare: the farthest value then stands out by more than this many root mean squares."""

FARTHEST = 6.0
"""Scatters by which the farthest of some hundred noisy values stands out, and room."""

DOUBTED = 2
"""Outputs of a system that are looked at once more."""

DOUBTFUL, ENOUGH = 300.0, 2
"""Floors from which there is little to doubt: steps of rounding that are rare and large were met at up to 60, chaotic
models at millions. What stands above is looked at in the first few systems, and is what it was there in the others."""

LONGEST = 300
"""Letters of the message of a model that are kept."""

OWN = ("spectrum", "error", "cosets")
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
    floor_sum: float = 0.0
    random: bool = False
    responds: bool = False
    samples: int = 0
    worst: Worst | None = None
    scene: Scene | None = None
    squared_errors: dict[str, torch.Tensor] = field(default_factory=dict)
    """Sums over systems of the square of samples times what is random and independent in their errors."""
    linear_errors: dict[str, torch.Tensor] = field(default_factory=dict)
    """Sums of samples times what has a sign."""
    assumed: bool = False
    """Whether the errors of any system rest on an assumption."""
    seen: Seen | None = None
    degrees: Counter[int | None] = field(default_factory=Counter)
    kept: list[tuple[int, OrbitSummary, torch.Tensor | None]] = field(default_factory=list)


@dataclass(frozen=True)
class _Orbit:
    """A system in progress."""

    begin: Begin
    moments: dict[str, Moments]
    onlooker: Onlooker | None


@dataclass(frozen=True)
class Ruling:
    """A system is pooled: how far its stated errors are to be widened, and whether they were compared with another
    grid."""

    factor: float = 1.0
    measured: bool = False


Judge = Callable[[str, dict[str, Seen]], Ruling | None]
"""What becomes of a system whose orbits ended, by what they show; None: it goes on elsewhere, and is not pooled."""


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
        skipped: Mapping[str, str],
        labels: Labels | None = None,
        witness: Witness | None = None,
    ) -> None:
        self._skipped = skipped
        """Layers that are left out, with the reason; more may join them while systems run."""
        self._adapter = adapter
        self._representations = layer_representations
        self.measure = measure
        self.judge: Judge | None = None
        """Asked of every system that ended; None: all are pooled."""
        self._unsettled: set[str] = set()
        self._places: dict[str, int] = {}
        self._looked: Counter[str] = Counter()
        """Systems in which the floor of an output was looked at once more."""
        self._lmax = lmax
        self._chart: Chart = measure.group.chart(lmax)
        self._keep = keep == "samples"
        self._labels = labels
        self._witness = witness
        self._targets: dict[str, Tensors] = {}
        """By system and output: what the values ought to be."""
        self._reopens = measure.extends
        self._pools: dict[str, _Kept] = {}
        self._running: dict[str, _Orbit] = {}
        self._ended: dict[str, _Orbit] = {}
        self.systems: list[SystemRow] = []
        self.failures: list[Failure] = []
        self.raised: Exception | None = None
        """The first error of the model, as long as no system came through."""

    def nbytes(self, values: Mapping[str, torch.Tensor], lmax: int) -> int:
        """Memory of the statistics of one system, in bytes, for its values on one copy."""
        seen = sum(DirectionMoments.nbytes(value) for name, value in values.items() if name in self._adapter.outputs)
        return seen + sum(self.measure.nbytes(lmax, value) for value in values.values())

    def consume(self, drive: Drive, advance: Callable[[int], None] = lambda copies: None) -> None:
        """Run the drive to its end; `advance` is told of every batch of copies evaluated."""
        for event in drive:
            if isinstance(event, Begin):
                self._begin(event, drive)
            elif isinstance(event, End):
                self._end(event.system, drive)
            elif isinstance(event, Empty):
                self.failures.append(Failure(event.system.name, "input", "it has no rows"))
            elif isinstance(event, Failed):
                self._fail(event)
            else:
                self._update(event, drive)
                advance(event.stop - event.start)
            del event  # else the values of this batch stay in memory, and in cache, while the model runs on the next

    def reopen(self, measure: Measure) -> set[str]:
        """Take the results back and go on with the same orbits on a longer sequence; returns the systems that can."""
        self.measure = measure
        self._pools = {}
        self.systems = []
        self._running, self._ended = self._ended, {}
        for name, orbit in self._running.items():
            for moment in orbit.moments.values():
                moment.extend(measure.elements(name))
            if orbit.onlooker is not None:
                orbit.onlooker.extend(measure)
        return set(self._running)

    def take_unsettled(self) -> set[str]:
        """Names of the systems that ended since the last call and go on elsewhere."""
        found, self._unsettled = self._unsettled, set()
        return found

    def seen(self, name: str) -> Seen | None:
        """What all systems pooled so far show of one output or layer."""
        return self._pools[name].seen if name in self._pools else None

    def sort(self) -> None:
        """Put the systems in the order in which they were first met."""
        order = sorted(range(len(self.systems)), key=lambda i: self._places[self.systems[i].name])
        place = {old: new for new, old in enumerate(order)}
        self.systems = [self.systems[i] for i in order]
        for pool in self._pools.values():
            pool.kept = sorted(((place[i], orbit, mean) for i, orbit, mean in pool.kept), key=lambda kept: kept[0])

    def settle(self) -> None:
        """Let go of the orbits that ended: they will not be reopened."""
        self._ended, self._reopens = {}, False

    def _begin(self, event: Begin, drive: Drive) -> None:
        self._places.setdefault(event.system.name, len(self._places))
        finite = numbers([in_range(value).all() for value in event.values.values()])
        bad = [name for name, fine in zip(event.values, finite, strict=True) if not fine]
        if bad or not event.values:
            where, what = (bad[0], fault(event.values[bad[0]])) if bad else ("output", "nothing")
            self.failures.append(Failure(event.system.name, where, f"{what} on the unrotated input"))
            drive.drop(event.system)
            return
        kinds = {
            name: self._adapter.outputs.get(name) or representation_of(name, self._representations)
            for name in event.values
        }
        for name, value in event.values.items():
            if (kind := kinds[name]) is not None:
                kind.check_values(value, f"{'outputs' if name in self._adapter.outputs else 'layers'}[{name!r}]")
            self._pool(name, kind, value)
        if self._labels:
            self._targets[event.system.name] = self._labels.of(event.system, self._adapter, event.values)
        if event.system.name in self._running:
            return  # reopened: its orbits go on
        system, values = event.system.name, event.values
        moments = {name: self.measure.moments(system, self._lmax, value, kinds[name]) for name, value in values.items()}
        self._running[system] = _Orbit(event, moments, self._onlooker(event))
        if self._witness is not None:
            self._witness.begin(event.system, self.measure.elements(system), self._targets.get(system, {}))

    def _onlooker(self, begin: Begin) -> Onlooker | None:
        kinds = {name: kind for name, kind in self._adapter.outputs.items() if name in begin.values}
        points = self._adapter.points(begin.system) if kinds else None
        return None if points is None else Onlooker(begin, points, self.measure, kinds)

    def _pool(self, name: str, kind: Representation | None, value: torch.Tensor) -> None:
        if name in self._pools:
            return
        group, device = self.measure.group, value.device
        found = {key: quantity.of(group, self._lmax, kind) for key, quantity in QUANTITIES.items()}
        pools = {key: Pool(quantity, device) for key, quantity in found.items() if quantity is not None}
        several = () if kind is None else group.decompose(kind).parts
        spectrum = pools["spectrum"].quantity
        parts = [Pool(spectrum, device) for _ in several] if len(several) > 1 else []
        self._pools[name] = _Kept(name, kind, pools, parts, value.dtype, value.shape[1])

    def _update(self, event: Slice, drive: Drive) -> None:
        system, values = event.system, event.values
        if system.name not in self._running:
            return
        orbit = self._running[system.name]
        for name, value in values.items():
            try:
                orbit.moments[name].update(value)
            except NonFiniteValues as error:
                self._stop(system, name, error)
                drive.drop(system)
                return
        if orbit.onlooker is not None:
            orbit.onlooker.update(values)
        if self._witness is not None:
            self._witness.update(system, event.start, event.stop, values)

    def _stop(self, system: System, name: str, error: NonFiniteValues) -> None:
        index = error.index
        rotation = self._element(system.name, index)
        self.failures.append(Failure(system.name, name, f"{error.what} at rotation {index}", index, rotation))
        self._dropped(system)

    def _dropped(self, system: System) -> None:
        self._running.pop(system.name, None)
        if self._witness is not None:
            self._witness.drop(system)

    def _fail(self, event: Failed) -> None:
        ours = isinstance(event.error, EquiscopeError)
        told = f"{'' if ours else f'{type(event.error).__name__}: '}{event.error}"
        reason, rotation = " ".join(told.split())[:LONGEST], None
        if event.index is not None:
            rotation = self._element(event.system.name, event.index)
            turn = "rotation" if torch.linalg.det(rotation) > 0 else "improper rotation"
            reason += f" (at {turn} {event.index})"
        self.failures.append(Failure(event.system.name, "model", reason, event.index, rotation))
        self._dropped(event.system)
        if not self.systems and self.raised is None:
            self.raised = event.error

    def _end(self, system: System, drive: Drive) -> None:
        if system.name not in self._running:
            return
        running = self._running.pop(system.name)
        begin, orbits = running.begin, {}
        for name, moment in running.moments.items():
            if name in self._skipped:
                continue
            try:
                orbits[name] = replace(moment.finish(), target=self._target(system, name))
            except NonFiniteValues as error:
                self._stop(system, name, error)
                return
        try:
            begin = drive.rehearsal.at_the_end(begin)
            self._raise_floors(begin, orbits, drive)
        except Exception as error:  # whatever a foreign model raises
            if not ends_the_system(error):
                raise
            self._fail(Failed(system, error))
            return
        if self._reopens:
            self._ended[system.name] = replace(running, begin=begin)
        seen = {name: _seen(orbit, begin.floor[name]) for name, orbit in orbits.items()}
        ruling: Ruling | None = Ruling()
        if self.judge is not None:
            ruling = self.judge(system.name, seen)
        if ruling is None:
            self._unsettled.add(system.name)
            return
        row = SystemRow(system.name, system.rows, {}, {})
        index = len(self.systems)
        with undisturbed():  # an audit that is interrupted holds all of a system or nothing
            for name, orbit in orbits.items():
                pool = self._pools[name]
                pool.seen = seen[name] if pool.seen is None else seen[name].joined(pool.seen)
                self._add_errors(pool, orbit, ruling)
                self._add(pool, begin, orbit, index, row)
                self._look(pool, running.onlooker, orbit, row)
            self.systems.append(row)
            if self._witness is not None:
                self._witness.end(system, orbits)
        self.raised = None  # it holds the frames of the model

    def _target(self, system: System, name: str) -> torch.Tensor | None:
        return self._targets.get(system.name, {}).get(name)

    def _raise_floors(self, begin: Begin, orbits: Mapping[str, OrbitSummary], drive: Drive) -> None:
        """Where an output stands out at few elements and is as noisy there, its floor is what that noise makes of it.

        Of outputs above noise the `DOUBTED` that are so by least are looked at.
        """
        rmse = {
            name: float(orbits[name].total_variance.mean()) ** 0.5 for name in self._adapter.outputs if name in orbits
        }
        above = {name: error / floor if (floor := begin.floor[name]) else math.inf for name, error in rmse.items()}
        doubted = [
            name
            for name, error in rmse.items()
            if error > AT_NOISE * begin.floor[name]
            and (above[name] < DOUBTFUL or self._looked[name] < ENOUGH)
            and not begin.random[name]
            and orbits[name].worst_index is not None
            and orbits[name].worst_deviation >= RARE * error
        ]
        doubted = sorted(doubted, key=above.__getitem__)[:DOUBTED]
        self._looked.update(doubted)
        system = begin.system
        worst = {name: self._element(system.name, orbits[name].worst_index or 0) for name in doubted}
        for name, scatter in drive.rehearsal.scatter_at(system, worst).items():
            if FARTHEST * scatter >= orbits[name].worst_deviation:
                # a little more, or it would end on the edge
                begin.floor[name] = max(begin.floor[name], 1.001 * rmse[name] / AT_NOISE)

    def _add_errors(self, pool: _Kept, orbit: OrbitSummary, ruling: Ruling) -> None:
        pool.assumed |= self.measure.assumes and not ruling.measured
        pool.degrees[orbit.degree] += 1
        for key, error in orbit.known_errors().items():
            random, linear = orbit.samples * ruling.factor * error
            if not self.measure.independent:
                random, linear = torch.zeros_like(random), random + linear
            pool.squared_errors[key] = pool.squared_errors.get(key, 0.0) + random.square()
            pool.linear_errors[key] = pool.linear_errors.get(key, 0.0) + linear

    def _add(self, pool: _Kept, begin: Begin, orbit: OrbitSummary, index: int, row: SystemRow) -> None:
        for quantity in pool.pools.values():
            quantity.add(orbit)
        pool.samples += orbit.samples
        noise = begin.noise[pool.name]
        pool.noise_sum += orbit.samples * noise**2
        pool.floor_sum += orbit.samples * begin.floor[pool.name] ** 2
        pool.random |= begin.random[pool.name]
        pool.responds |= begin.responds[pool.name]
        mean = orbit.mean
        if mean is not None:
            for part, irrep in zip(pool.parts, orbit.power, strict=False):
                part.add(orbit.restricted(irrep))
            worst = self._worst(begin.system.name, orbit)
            if worst is not None and (pool.worst is None or worst.deviation > pool.worst.deviation):
                pool.worst = worst
        if pool.name in self._adapter.outputs:
            row.outputs[pool.name] = {**_error_row(orbit, begin, pool.name), **self._target_row(orbit)}
        else:
            row.layers[pool.name] = {
                **_share_row(orbit, self._chart),
                **(_error_row(orbit, begin, pool.name) if mean is not None else {}),
            }
        if self._keep:
            if orbit.channels != pool.channels:
                raise ModelError(
                    f"{pool.name}: expected {pool.channels} channels in every system, since keep='samples' joins them, "
                    f"got {orbit.channels} in {begin.system.name!r}"
                )
            pool.kept.append((index, orbit, None if mean is None else self._native(pool.name, mean)))

    def _look(self, pool: _Kept, onlooker: Onlooker | None, orbit: OrbitSummary, row: SystemRow) -> None:
        """Keep what the system looks like, where no other had so large an error."""
        if onlooker is None or pool.name not in row.outputs or orbit.worst_index is None:
            return
        rmse = row.outputs[pool.name]["rmse"]
        if pool.scene is None or rmse > pool.scene.rmse:
            pool.scene = onlooker.scene(pool.name, orbit, rmse, self._element(row.name, orbit.worst_index))

    def _target_row(self, orbit: OrbitSummary) -> dict[str, float]:
        if orbit.target is None:
            return {}
        assert orbit.representation is not None
        found = against(self.measure.group, self._lmax, orbit)
        entries = orbit.representation.entries
        missed, broken, total = (float(x.sum(0).mean()) for x in (found.missed, found.broken, found.target))
        return {
            "target_total": total,
            "target_rmse": math.sqrt(max(missed + broken, 0.0) / entries),
            "target_rmse_symmetrised": math.sqrt(max(missed, 0.0) / entries),
        }

    def _native(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        return self._adapter.native_mean(name, mean) if name in self._adapter.outputs else mean.squeeze(1)

    def _worst(self, system: str, orbit: OrbitSummary) -> Worst | None:
        if orbit.worst_index is None:
            return None
        return Worst(system, orbit.worst_index, self._element(system, orbit.worst_index), orbit.worst_deviation)

    def _element(self, system: str, index: int) -> torch.Tensor:
        return self.measure.elements(system).select(index, index + 1)[0]

    def stochastic(self) -> list[str]:
        """Outputs that the same input gives different values of."""
        return [name for name in self._adapter.outputs if name in self._pools and self._pools[name].random]

    def absent(self) -> list[str]:
        """What the report should say of outputs that some systems do not have."""
        notes = []
        for name in self._adapter.outputs:
            have = [row.name for row in self.systems if name in row.outputs]
            if len(have) < len(self.systems):
                where = f"{len(have) or 'none'} of {len(self.systems)} system{'s' if len(self.systems) > 1 else ''}"
                notes.append(f"`{name}` is given by {where}{', and measured on these alone' if have else ''}")
        return notes

    def results(self) -> tuple[dict[str, Output], dict[str, Spectrum]]:
        """Outputs and layers of all systems that ended; a layer with a representation is an `Output` too."""
        outputs: dict[str, Output] = {}
        layers: dict[str, Spectrum] = {}
        for name, pool in self._pools.items():
            if not pool.samples or name in self._skipped:
                continue
            if name in self._adapter.outputs:
                outputs[name] = self._output(pool)
            else:
                known = pool.representation is not None
                layers[name] = self._output(pool) if known else Spectrum(**self._spectrum(pool))
        return {name: outputs[name] for name in self._adapter.outputs if name in outputs}, layers

    def _spectrum(self, pool: _Kept) -> dict[str, Any]:
        pooled = _on_host(pool.pools["spectrum"])
        errors = _pooled_errors(pool)
        fields = {
            "name": pool.name,
            "power": pooled["power"],
            "total": pooled["total"],
            "unresolved": pooled["unresolved"],
            "degree": max(pool.degrees, key=lambda degree: (pool.degrees[degree], -(degree or 0))),
            "power_error": errors["power"],
            "unresolved_error": float(errors["unresolved"]),
            "errors_assumed": pool.assumed,
            "samples": pool.samples,
            "channels": pool.channels,
            "noise": (pool.noise_sum / pool.samples) ** 0.5,
            "noise_floor": (pool.floor_sum / pool.samples) ** 0.5,
            "dtype": str(pool.dtype).removeprefix("torch."),
            "chart": self._chart,
            "quantities": {
                key: found for key, own in pool.pools.items() if key not in OWN and (found := _on_host(own))
            },
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
        error, cosets = _on_host(pool.pools["error"]), _on_host(pool.pools["cosets"])
        fields = self._spectrum(pool)
        errors = _pooled_errors(pool)
        rotations, overlap = float(cosets["rmse_rotations"]), float(cosets["overlap"])
        vanishes = float(cosets["size"]) <= fields["noise_floor"] ** 2
        output = Output(
            **fields,
            representation=pool.representation.name,
            components=pool.representation.entries,
            variance=error["variance"],
            rmse=float(error["rmse"]),
            relative=float(error["relative"]),
            rmse_error=root_error(float(error["variance"]), float(errors["variance"])),
            rmse_rotations=None if math.isnan(rotations) else rotations,
            inversion=None if math.isnan(overlap) or vanishes else overlap,
            symmetrised=float(cosets["symmetrised"]),
            stochastic=pool.random,
            responds=pool.responds,
            worst=pool.worst,
        )
        powers = [_on_host(part)["power"] for part in pool.parts] or [fields["power"]]
        variances = error["variance_by_irrep"].reshape(-1)
        for i, part in enumerate(self.measure.group.decompose(pool.representation).parts):
            irrep, variance, power = part.label, variances[i], powers[i]
            rmse = float(variance.sqrt())
            if self._keep:
                variance = torch.cat([orbit.variance[irrep] for _, orbit, _ in pool.kept]).cpu()
                power = torch.cat([orbit.power[irrep] for _, orbit, _ in pool.kept], dim=-2).cpu()
            output.parts[irrep] = Part(variance, rmse, power, root_error(rmse**2, float(errors["irreps"][i])))
        output.scene = pool.scene if output.verdict.is_broken else None
        if self._keep:
            output.variance = torch.cat([orbit.total_variance for _, orbit, _ in pool.kept]).cpu()
            output.mean = torch.cat([native for _, _, native in pool.kept if native is not None]).cpu()
        return output


def _on_host(pool: Pool) -> Tensors:
    return {name: value.cpu() for name, value in pool.compute().items()}


def _pooled_errors(pool: _Kept) -> dict[str, torch.Tensor]:
    return {
        key: (squared.sqrt() + pool.linear_errors[key]) / pool.samples for key, squared in pool.squared_errors.items()
    }


def root_error(variance: float, error: float) -> float:
    """Half width of the root of a variance, from that of the variance: the farther end of its interval."""
    low, root, high = (math.sqrt(max(value, 0.0)) for value in (variance - error, variance, variance + error))
    return max(root - low, high - root)


def _seen(orbit: OrbitSummary, noise: float) -> Seen:
    errors = orbit.known_errors()
    declared = orbit.components is not None
    components = 1 if orbit.representation is None else orbit.representation.entries
    return Seen(
        samples=orbit.samples,
        total=float(orbit.total.mean()),
        power=orbit.total_power.mean((-2, -1)).cpu(),
        power_error=errors["power"].sum(0),
        noise=components * noise**2,
        components=components,
        variance=float(orbit.total_variance.mean()) if declared else None,
        variance_error=float(errors["variance"].sum()) if declared else 0.0,
    )


def _error_row(orbit: OrbitSummary, begin: Begin, name: str) -> dict[str, float]:
    variance = float(orbit.total_variance.mean())
    total = float(orbit.total.mean())
    assert orbit.representation is not None
    size = (total / orbit.representation.entries) ** 0.5
    return {
        "samples": orbit.samples,
        "rmse": variance**0.5,
        "relative": variance**0.5 / size if size > 0 else 0.0,
        "noise": begin.noise[name],
        "noise_floor": begin.floor[name],
        "total": total,
        "unresolved": float(orbit.unresolved.mean()),
        "worst_deviation": orbit.worst_deviation,
        **({"mean": float(orbit.mean.mean())} if orbit.mean is not None and orbit.mean.shape[-1] == 1 else {}),
        "rmse_error": root_error(variance, float(orbit.known_errors()["variance"].sum())),
    }


def _share_row(orbit: OrbitSummary, chart: Chart) -> dict[str, float]:
    total = float(orbit.total.mean())
    columns = zip(chart.headings, chart.by_column(orbit.total_power.mean((-2, -1))), strict=True)
    shares = {f"share_{chart.axis}{head}": float(value) / total if total > 0 else 0.0 for head, value in columns}
    return {"samples": orbit.samples, "total": total, "unresolved": float(orbit.unresolved.mean()), **shares}
