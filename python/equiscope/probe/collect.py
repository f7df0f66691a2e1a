"""From the events of a drive to what came of each system."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from ..adapters.base import Adapter, System
from ..adapters.labels import Labels
from ..errors import EquiscopeError, ModelError, NonFiniteValues, ends_the_system
from ..groups.group import Chart
from ..groups.representation import Representation
from ..measure.against import against
from ..measure.directions import DirectionMoments
from ..measure.finite import each_in_range, fault
from ..measure.measure import Measure
from ..measure.settling import Seen
from ..measure.summary import OrbitSummary
from ..measure.sums import Beside, Term, Terms, on_host
from ..result.data import Failure, SystemRow, Worst
from ..result.judge import AT_NOISE
from ..result.scene import Scene
from .drive import Drive, Empty, End, Failed, Slice
from .entry import Entry, Kind, Share, Tensors
from .leaves import representation_of
from .onlooker import Onlooker
from .orbits import Orbits, statistics
from .pooled import root_error
from .rehearsal import Begin
from .stacked import Stacked
from .witness import Witness

RARE = 2.0
"""Jumps by rounding are rare: the farthest value then stands out by more than this many root mean squares."""

FARTHEST = 6.0
"""Scatters by which the farthest of some hundred noisy values stands out, and room."""

DOUBTED = 2
"""Outputs of a system that are looked at once more."""

DOUBTFUL, ENOUGH = 300.0, 2
"""Floors from which there is little to doubt: steps of rounding that are rare and large were met at up to 60, chaotic
models at millions. What stands above is looked at in the first few systems of the data, and is what it was there in the
others."""

LONGEST = 300
"""Letters of the message of a model that are kept."""


@dataclass(frozen=True)
class _Orbit:
    """A system in progress."""

    begin: Begin
    moments: Orbits
    onlooker: Onlooker | None


@dataclass(frozen=True)
class Ruling:
    """The numbers of a system are taken."""

    factor: float = 1.0
    """By which its stated errors are to be widened."""
    measured: bool = False
    """Whether they were compared with another grid."""
    ran: tuple[int | None, ...] = ()
    """Degrees at which it was evaluated, where these are for it to decide."""
    settled: bool = True
    """Whether they are as small as was asked."""


Judge = Callable[[str, dict[str, Seen]], Ruling | None]
"""What becomes of a system whose orbits ended, by what they show; None: it goes on elsewhere."""


class Collector:
    """Consumes the events of drives; `take` gives an `Entry` for every system that ended."""

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
        """Asked of every system that ended; None: the numbers of all are taken."""
        self.places: dict[str, int] = {}
        """Of the systems that are handed over: which one each is in the data."""
        self._unsettled: set[str] = set()
        self._lmax = lmax
        self._chart: Chart = measure.group.chart(lmax)
        self._keep = keep == "samples"
        self._labels = labels
        self._witness = witness
        self._targets: dict[str, Tensors] = {}
        """By system and output: what the values ought to be."""
        self._reopens = measure.extends
        self._channels: dict[str, int] = {}
        self._terms: dict[Representation | None, Terms] = {}
        self._lost: dict[str, dict[str, Failure]] = {}
        """By system: the outputs and layers that are not finite there, which lack it at every degree."""
        self._running: dict[str, _Orbit] = {}
        self._ended: dict[str, _Orbit] = {}
        self._entries: list[Entry] = []
        self._shown: dict[str, tuple[float, int]] = {}
        """By output: RMSE and place, with its sign turned, of the system with the largest one that has a scene."""
        self.raised: Exception | None = None
        """The first error of the model, as long as no system came through."""
        self._came_through = False

    def nbytes(self, values: Mapping[str, torch.Tensor], lmax: int) -> int:
        """Memory of the statistics of one system, in bytes, for its values on one copy."""
        seen = sum(DirectionMoments.nbytes(value) for name, value in values.items() if name in self._adapter.outputs)
        return seen + statistics(self.measure, lmax, values.values())

    def consume(self, drive: Drive, advance: Callable[[int], None] = lambda copies: None) -> None:
        """Run the drive to its end; `advance` is told of every batch of copies evaluated."""
        for event in drive:
            if isinstance(event, Begin):
                self._begin(event, drive)
            elif isinstance(event, End):
                self._end(event.system, drive)
            elif isinstance(event, Empty):
                self._failed(event.system, "input", "it has no rows")
            elif isinstance(event, Failed):
                self._fail(event)
            else:
                self._update(event, drive)
                advance(event.stop - event.start)
            del event  # else the values of this batch stay in memory, and in cache, while the model runs on the next

    def reopen(self, measure: Measure) -> set[str]:
        """Take the results back and go on with the same orbits on a longer sequence; returns the systems that can."""
        self.measure = measure
        self._entries = [entry for entry in self._entries if entry.row is None]
        self._shown = {}
        self._running, self._ended = self._ended, {}
        for name, orbit in self._running.items():
            orbit.moments.extend(measure, name)
            if orbit.onlooker is not None:
                orbit.onlooker.extend(measure)
        return set(self._running)

    def take_unsettled(self) -> set[str]:
        """Names of the systems that ended since the last call and go on elsewhere."""
        found, self._unsettled = self._unsettled, set()
        return found

    @property
    def entries(self) -> list[Entry]:
        """What was not taken yet, in the order of the data."""
        return sorted(self._entries, key=lambda entry: entry.place)

    def take(self) -> list[Entry]:
        """Of the systems that ended since the last call, in the order of the data."""
        found, self._entries = self.entries, []
        return found

    def settle(self) -> None:
        """Let go of the orbits that ended: they will not be reopened."""
        self._ended, self._reopens = {}, False
        self._lost = {}

    def _begin(self, event: Begin, drive: Drive) -> None:
        for name, fine in event.values.ask(each_in_range).items():
            if not fine:
                self._lose(event.system, name, f"{fault(event.values[name])} on the unrotated input")
        if not event.values:
            self._failed(event.system, "output", "nothing on the unrotated input")
        if not event.values or self._hopeless(event):
            drive.drop(event.system)
            return
        event = replace(event, values=self._left(event))
        kinds = {
            name: self._adapter.outputs.get(name) or representation_of(name, self._representations)
            for name in event.values
        }
        for name, value in event.values.items():
            if (kind := kinds[name]) is not None:
                kind.check_values(value, f"{'outputs' if name in self._adapter.outputs else 'layers'}[{name!r}]")
            self._check_channels(name, event.system, value.shape[1])
        if self._labels:
            self._targets[event.system.name] = self._labels.of(event.system, self._adapter, event.values)
        if event.system.name in self._running:
            return  # reopened: its orbits go on
        system, values = event.system.name, event.values
        moments = Orbits(self.measure, system, self._lmax, values, kinds)
        self._running[system] = _Orbit(event, moments, self._onlooker(event))
        if self._witness is not None:
            self._witness.begin(event.system, self.measure.elements(system), self._targets.get(system, {}))

    def _check_channels(self, name: str, system: System, channels: int) -> None:
        first = self._channels.setdefault(name, channels)
        if self._keep and channels != first:
            raise ModelError(
                f"{name}: expected {first} channels in every system, since keep='samples' joins them, "
                f"got {channels} in {system.name!r}"
            )

    def _onlooker(self, begin: Begin) -> Onlooker | None:
        kinds = {name: kind for name, kind in self._adapter.outputs.items() if name in begin.values}
        points = self._adapter.points(begin.system) if kinds else None
        return None if points is None else Onlooker(begin, points, self.measure, kinds)

    def _update(self, event: Slice, drive: Drive) -> None:
        system, values = event.system, event.values
        if system.name not in self._running:
            return
        orbit = self._running[system.name]
        orbit.moments.update(values)
        if self._hopeless(orbit.begin, orbit.moments.lost):
            drive.drop(system)
            return
        if orbit.onlooker is not None:
            orbit.onlooker.update(values)
        if self._witness is not None:
            self._witness.update(system, event.start, event.stop, values)

    def _lose(self, system: System, name: str, reason: str, index: int | None = None) -> None:
        """Take note that an output or layer has values that are not finite: it lacks the system."""
        rotation = None if index is None else self._element(system.name, index)
        failure = Failure(system.name, name, reason, index, rotation, whole=False)
        self._lost.setdefault(system.name, {}).setdefault(name, failure)

    def _left(self, begin: Begin) -> Stacked:
        """The values at the identity of what is finite so far."""
        return begin.values.without(self._lost.get(begin.system.name, {}))

    def _hopeless(self, begin: Begin, lost: Mapping[str, NonFiniteValues] | None = None) -> bool:
        """Whether no output of a system is finite, or no layer where none is declared: it then fails as a whole."""
        system = begin.system
        for name, error in (lost or {}).items():
            self._lose(system, name, f"{error.what} at rotation {error.index}", error.index)
        if system.name not in self._lost:
            return False
        left = self._left(begin)
        if any(name in self._adapter.outputs for name in left) or (left and not self._adapter.outputs):
            return False
        first = next(iter(self._lost[system.name].values()))
        self._entries.append(Entry(self.places[system.name], failures=(replace(first, whole=True),)))
        self._dropped(system)
        return True

    def _dropped(self, system: System) -> None:
        self._running.pop(system.name, None)
        self._lost.pop(system.name, None)
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
        self._failed(event.system, "model", reason, event.index, rotation)
        self._dropped(event.system)
        if not self._came_through and self.raised is None:
            self.raised = event.error

    def _failed(
        self,
        system: System,
        where: str,
        reason: str,
        index: int | None = None,
        rotation: torch.Tensor | None = None,
    ) -> None:
        failure = Failure(system.name, where, reason, index, rotation)
        self._entries.append(Entry(self.places[system.name], failures=(failure,)))

    def _end(self, system: System, drive: Drive) -> None:
        if system.name not in self._running:
            return
        running = self._running.pop(system.name)
        begin = running.begin
        found = running.moments.finish(self._skipped)
        if self._hopeless(begin, running.moments.lost):
            return
        targets = self._targets.get(system.name, {})
        orbits = {
            name: replace(orbit, target=targets[name]) if name in targets else orbit for name, orbit in found.items()
        }
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
        ruling: Ruling | None = Ruling()
        if self.judge is not None:
            ruling = self.judge(system.name, {name: _seen(orbit, begin.floor[name]) for name, orbit in orbits.items()})
        if ruling is None:
            self._unsettled.add(system.name)
            return
        self._entries.append(self._entry(system, replace(running, begin=begin), orbits, ruling))
        self._targets.pop(system.name, None)
        if self._witness is not None:
            if self._lost.get(system.name, {}).keys() - self._adapter.outputs.keys():
                self._witness.drop(system)
            else:
                self._witness.end(system, orbits)
        if not self._reopens:
            self._lost.pop(system.name, None)
        self._came_through, self.raised = True, None  # it holds the frames of the model

    def _entry(self, system: System, running: _Orbit, orbits: Mapping[str, OrbitSummary], ruling: Ruling) -> Entry:
        begin, row = running.begin, SystemRow(system.name, system.rows, {}, {})
        sums = self._sums(begin, orbits, ruling)
        shares = {}
        for name, orbit in orbits.items():
            self._write(row, name, orbit, begin)
            dtype = str(begin.values[name].dtype).removeprefix("torch.")
            shares[name] = Share(
                Kind(orbit.representation, dtype, orbit.channels),
                sums[name],
                begin.random[name],
                begin.jumps[name],
                begin.responds[name],
                begin.depends[name],
                None if orbit.mean is None else self._worst(system.name, orbit),
                self._samples(name, orbit) if self._keep else {},
                self._scene(name, running.onlooker, orbit, row),
            )
        degree = next((orbit.degree for orbit in orbits.values()), None)
        assumed = self.measure.assumes and not ruling.measured
        failures = self._partial(system)
        return Entry(self.places[system.name], row, shares, failures, degree, ruling.ran, ruling.settled, assumed)

    def _partial(self, system: System) -> tuple[Failure, ...]:
        """The outputs that lack the system, and the first of the layers, of which there may be many."""
        lost = {name: own for name, own in self._lost.get(system.name, {}).items() if name not in self._skipped}
        layers = [own for name, own in lost.items() if name not in self._adapter.outputs]
        more = f", and so in {len(layers) - 1} more layers" if len(layers) > 1 else ""
        told = [replace(own, reason=f"{own.reason}{more}") for own in layers[:1]]
        return (*(own for name, own in lost.items() if name in self._adapter.outputs), *told)

    def _sums(self, begin: Begin, orbits: Mapping[str, OrbitSummary], ruling: Ruling) -> Tensors:
        """What the orbits of a system add, by name; fetched from their device at once."""
        parts: dict[str, list[Term]] = {}
        for name, orbit in orbits.items():
            beside = Beside(begin.noise[name], begin.floor[name], ruling.factor, self.measure.independent)
            parts[name] = self._terms_of(orbit.representation).of(orbit, beside)
        sizes = [len(self._terms_of(orbit.representation)) for orbit in orbits.values()]
        joined = on_host([term for terms in parts.values() for term in terms]) if parts else torch.empty(0)
        return dict(zip(parts, joined.split(sizes), strict=True)) if parts else {}

    def _terms_of(self, kind: Representation | None) -> Terms:
        if kind not in self._terms:
            self._terms[kind] = Terms(self.measure.group, self._lmax, kind)
        return self._terms[kind]

    def _samples(self, name: str, orbit: OrbitSummary) -> Tensors:
        """Arrays per sample, on the host."""
        found = {"power": orbit.total_power, "total": orbit.total, "unresolved": orbit.unresolved}
        if orbit.mean is not None:
            found |= {"variance": orbit.total_variance, "mean": self._native(name, orbit.mean)}
            for i, irrep in enumerate(orbit.variance):
                found |= {f"variance {i}": orbit.variance[irrep], f"power {i}": orbit.power[irrep]}
        return {key: value.cpu().contiguous() for key, value in found.items()}

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
            and (above[name] < DOUBTFUL or self.places[begin.system.name] < ENOUGH)
            and not (begin.random[name] or begin.jumps[name])
            and orbits[name].worst_index is not None
            and orbits[name].worst_deviation >= RARE * error
        ]
        doubted = sorted(doubted, key=above.__getitem__)[:DOUBTED]
        system = begin.system
        worst = {name: self._element(system.name, orbits[name].worst_index or 0) for name in doubted}
        for name, scatter in drive.rehearsal.scatter_at(system, worst).items():
            if FARTHEST * scatter >= orbits[name].worst_deviation:
                # a little more, or it would end on the edge
                begin.floor[name] = max(begin.floor[name], 1.001 * rmse[name] / AT_NOISE)

    def _write(self, row: SystemRow, name: str, orbit: OrbitSummary, begin: Begin) -> None:
        if name in self._adapter.outputs:
            row.outputs[name] = {**_error_row(orbit, begin, name), **self._target_row(orbit)}
        else:
            row.layers[name] = {
                **_share_row(orbit, self._chart),
                **(_error_row(orbit, begin, name) if orbit.mean is not None else {}),
            }

    def _scene(self, name: str, onlooker: Onlooker | None, orbit: OrbitSummary, row: SystemRow) -> Scene | None:
        """What the system looks like, where no other so far had so large an error, the first one in the data of equals:
        in any order of systems that of the worst is among those kept, of which there are about ln(n) of n."""
        if onlooker is None or name not in row.outputs or orbit.worst_index is None:
            return None
        rmse = row.outputs[name]["rmse"]
        rank = (rmse, -self.places[row.name])
        if name in self._shown and rank <= self._shown[name]:
            return None
        scene = onlooker.scene(name, orbit, rmse, self._element(row.name, orbit.worst_index))
        if scene is not None:
            self._shown[name] = rank
        return scene

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


def _seen(orbit: OrbitSummary, noise: float) -> Seen:
    errors, averages = orbit.known_errors(), orbit.known_averages()
    declared = orbit.components is not None
    components = 1 if orbit.representation is None else orbit.representation.entries
    return Seen(
        samples=orbit.samples,
        total=averages.total,
        power=averages.power,
        power_error=errors["power"].sum(0),
        noise=components * noise**2,
        components=components,
        variance=float(orbit.total_variance.mean()) if declared else None,
        variance_error=float(errors["variance"].sum()) if declared else 0.0,
    )


def _error_row(orbit: OrbitSummary, begin: Begin, name: str) -> dict[str, float]:
    variance = float(orbit.total_variance.mean())
    averages = orbit.known_averages()
    total = averages.total
    assert orbit.representation is not None
    size = (total / orbit.representation.entries) ** 0.5
    return {
        "samples": orbit.samples,
        "rmse": variance**0.5,
        "relative": variance**0.5 / size if size > 0 else 0.0,
        "noise": begin.noise[name],
        "noise_floor": begin.floor[name],
        "total": total,
        "unresolved": averages.unresolved,
        "worst_deviation": orbit.worst_deviation,
        **({"mean": float(orbit.mean.mean())} if orbit.mean is not None and orbit.mean.shape[-1] == 1 else {}),
        "rmse_error": root_error(
            variance, float(orbit.known_errors()["variance"].sum()), max(begin.noise[name], begin.floor[name])
        ),
    }


def _share_row(orbit: OrbitSummary, chart: Chart) -> dict[str, float]:
    averages = orbit.known_averages()
    total = averages.total
    columns = zip(chart.headings, chart.by_column(averages.power).tolist(), strict=True)
    shares = {f"share_{chart.axis}{head}": value / total if total > 0 else 0.0 for head, value in columns}
    return {"samples": orbit.samples, "total": total, "unresolved": averages.unresolved, **shares}
