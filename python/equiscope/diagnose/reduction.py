"""From the readings of an audit to the numbers of each sector of its targets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from ..groups.group import Group, Isotypic
from ..report import Audit
from ..report.labels import own_sectors
from ..report.words import irrep_full
from ..result.data import Output, Spectrum
from ..result.floor import noise_power, sector_floor
from ..result.judge import AT_NOISE
from .fate import LayerReading, Scores, fate
from .readings import Readings, Running
from .ridge import Samples, at_random_orientations, symmetrised
from .sector import SectorDiagnosis

CONTROLS = 8
"""Targets of other systems, turned at random, that are read as well: the best of them is what is read from nothing."""

PLANTS = 4
"""Targets made of the features by random weights; the mean over them is taken."""


def sectors(audit: Audit, readings: Readings, group: Group, seed: int) -> Iterator[SectorDiagnosis]:
    """One after the other, by output and irrep."""
    for name, output in audit.outputs.items():
        if output.target is None:
            continue
        done = [found for found in readings.done if name in found.targets]
        hidden = {key: layer for key, layer in audit.layers.items() if not readings.is_head(key)}
        layers = {key: layer for key, layer in hidden.items() if _readable(done, key, name)}
        skipped = [key for key in hidden if key not in layers]
        worth = {sector.label for sector in own_sectors(output)}
        for i, part in enumerate(readings.parts(name)):
            sector = _Sector(name, output, part, i, done, readings, group, seed)
            own = _up_to_readout(layers, done, name, i) if len(audit.outputs) > 1 else layers
            yield sector.diagnosis(own, part.label in worth, skipped)


def _readable(done: Sequence[Running], layer: str, output: str) -> bool:
    return bool(done) and all((layer, output) in found.moments for found in done)


def _up_to_readout(
    layers: dict[str, Spectrum], done: Sequence[Running], output: str, place: int
) -> dict[str, Spectrum]:
    """`layers` without those at the end that have fewer numbers than the irrep has components: no linear readout could
    give it, so they are the heads of other outputs."""
    kept = list(layers)
    while len(kept) > 1:
        moments = done[0].moments[kept[-1], output][place]
        if moments.shape[1] >= moments.shape[-1]:
            break
        kept.pop()
    return {key: layers[key] for key in kept}


class _Sector:
    """One irrep of one target, of all systems."""

    def __init__(
        self,
        name: str,
        output: Output,
        part: Isotypic,
        place: int,
        done: Sequence[Running],
        readings: Readings,
        group: Group,
        seed: int,
    ) -> None:
        self._name, self._output, self._part, self._place = name, output, part, place
        self._done, self._readings, self._group, self._seed = done, readings, group, seed
        self._trivial = part.label == group.labels(0)[0]
        rows = list(part.rows)
        self._targets = torch.cat([found.targets[name][..., rows] for found in done])
        self._means = torch.cat([found.predicted[name][0][..., rows] for found in done])
        self._broken = torch.cat([found.predicted[name][1][place] for found in done])
        self._fold = torch.cat([torch.full((len(found.targets[name]),), found.fold) for found in done])
        self._pooled = all(len(found.targets[name]) == 1 for found in done)

    def diagnosis(self, layers: dict[str, Spectrum], worth: bool, skipped: list[str]) -> SectorDiagnosis:
        """Numbers and fate."""
        centre = self._targets.mean(0) if self._trivial else 0.0
        target, mean = self._targets - centre, self._means - centre
        size = float(target.square().sum())
        count = self._targets.shape[0] * self._targets.shape[1]
        floor = (AT_NOISE * self._output.scatter) ** 2 * self._part.components * count
        told = worth and size > max(floor, 1e-24 * float(self._targets.square().sum()))
        away = float((mean - target).square().sum())
        scores = Scores(*(1 - x / size if told else math.nan for x in (away + float(self._broken.sum()), away)))
        found = [self._layer(name, spectrum) for name, spectrum in layers.items()] if told else []
        word, formed, lost = fate(told, scores, found)
        around = mean - mean.mean(0) if self._trivial else mean
        length = math.sqrt(size * float(around.square().sum()))
        share = size / max(float(self._targets.square().sum()), 1e-300) if self._trivial else 1.0
        return SectorDiagnosis(
            output=self._name,
            label=self._part.label,
            words=irrep_full(self._output.chart, self._part.label),
            power=float(self._targets.square().sum()) / count,
            varying=share,
            samples=self._targets.shape[0],
            explained=scores.explained,
            symmetrised=scores.symmetrised,
            cosine=float((around * target).sum()) / length if length > 0 else 0.0,
            gain=float((around * target).sum()) / size if told else math.nan,
            offset=float(mean.mean() if self._trivial else torch.zeros(())),
            predicted=float(around.square().sum()) / count,
            missed=away / count,
            broken=float(self._broken.sum()) / count,
            error_in=self._error_in(),
            layers=found,
            unread=skipped,
            pooled=self._pooled,
            fate=word,
            formed_at=formed,
            lost_at=lost,
        )

    def _error_in(self) -> dict[str, float]:
        """Power of the error of the whole output in each irrep, by its name; what stands above noise."""
        output = self._output
        assert output.target is not None
        power, floor = output.target.error_power.reshape(-1).tolist(), sector_floor(output).reshape(-1).tolist()
        named = zip(output.chart.labels, power, floor, strict=True)
        own = self._part.label
        return {irrep_full(output.chart, label): p for label, p, least in named if p > least or label == own}

    def _layer(self, name: str, spectrum: Spectrum) -> LayerReading:
        place, chart = self._part.label, spectrum.chart
        power = float(spectrum.pooled_power[chart.place(place)])
        seen = power > float(sector_floor(spectrum)[chart.place(place)])
        total = spectrum.pooled_total
        reading = LayerReading(name, power, power / total if total > 0 else 0.0, seen, 0.0, 0.0, 0.0, math.nan)
        return self._read(reading, spectrum) if power > noise_power(spectrum) else reading

    def _read(self, reading: LayerReading, spectrum: Spectrum) -> LayerReading:
        name = reading.layer
        moments = torch.cat([found.moments[name, self._name][self._place] for found in self._done])
        squares = self._readings.squares[name, self._pooled]
        rows = max(found.rows[name] for found in self._done)
        if self._pooled and rows == 1:  # sum and mean are the same
            moments, squares = (
                moments[:, : moments.shape[1] // 2],
                squares[:, : squares.shape[1] // 2, : squares.shape[1] // 2],
            )
        size = moments.square().sum((2, 3)).mean(0)
        # features of which nothing turns like the target but noise
        loud = size > rows * (AT_NOISE * spectrum.scatter) ** 2
        generator = torch.Generator().manual_seed(self._seed)
        wanted = torch.cat([self._targets, self._controls(generator)], dim=1)
        samples = Samples(moments, wanted, self._fold, self._trivial)
        linear = at_random_orientations(samples, squares)
        chosen = moments[:, loud] / size[loud].sqrt()[:, None, None]
        weights = torch.randn(PLANTS, *chosen.shape[1:3], dtype=torch.float64, generator=generator)
        planted = torch.einsum("tkm,ikmn->itn", weights, chosen)
        read = symmetrised(replace(samples, moments=chosen, targets=torch.cat([wanted, planted], dim=1)))
        own, end = self._targets.shape[1], wanted.shape[1]
        parts = self._targets - (self._targets.mean(0) if self._trivial else 0.0)
        weight = parts.square().sum((0, 2))
        weight = weight / weight.sum()
        return replace(
            reading,
            linear=float(linear[:own] @ weight),
            symmetrised=float(read[:own] @ weight),
            control=float(torch.cat([linear[own:], read[own:end]]).max()),
            planted=float(read[end:].mean()),
        )

    def _controls(self, generator: torch.Generator) -> torch.Tensor:
        """``(N, CONTROLS, P)``: a target of another sample each, turned at random."""
        targets = self._targets
        found = []
        for control in range(CONTROLS):
            order = torch.randperm(len(targets), generator=generator)
            elements = self._group.draw(len(targets), generator)
            turns = self._readings.matrices(self._name, elements)[self._place]
            found.append(torch.einsum("imn,in->im", turns, targets[order, control % targets.shape[1]]))
        return torch.stack(found, dim=1)
