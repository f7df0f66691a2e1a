"""The numbers of an audit as metatensor's maps, labelled as metatomic labels them (extra ``metatomic``)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from ..errors import ArgumentError, MissingExtraError, fail
from ..result.data import AuditData, Output, Spectrum, widest

if TYPE_CHECKING:
    from metatensor.torch import Labels, TensorBlock, TensorMap

Pair = tuple[int, int]
"""A label of O(3): lambda and sigma."""

IRREP, CHARACTER = ["o3_lambda", "o3_sigma"], ["chi_lambda", "chi_sigma"]
"""Names of keys: of the irreps that an output is made of, and of those that it varies with."""


def to_metatensor(audit: AuditData) -> dict[str, TensorMap]:
    """By the names of metatomic's outputs; see `equiscope.report.Audit.to_metatensor`."""
    group = widest(spectrum for _, spectrum in audit.results()).group
    if group != "O3":
        fail(ArgumentError, "group", "an audit on O3, whose irreps metatomic has names for", group)
    try:
        module = importlib.import_module("metatensor.torch")
    except ImportError:
        fail(MissingExtraError, "metatensor.torch", "an installed package (pip install metatomic-torch)", "none")
    maps = _Maps(module, audit)
    found = {}
    for name, output in [*audit.outputs.items(), *audit.declared_layers.items()]:
        found[f"o3::variance::{name}"] = maps.variance(output)
    for name, spectrum in audit.results():
        found[f"o3::character_projection::{name}"] = maps.characters(spectrum)
    return found


class _Maps:
    """Makes the maps of one audit."""

    def __init__(self, module: Any, audit: AuditData) -> None:
        self._module = module
        self._audit = audit

    def variance(self, output: Output) -> TensorMap:
        blocks = [self._block(output, part.variance) for part in output.parts.values()]
        return self._module.TensorMap(self._labels(IRREP, list(output.parts)), blocks)

    def characters(self, spectrum: Spectrum) -> TensorMap:
        labels = spectrum.chart.labels
        if not isinstance(spectrum, Output):
            blocks = [self._block(spectrum, spectrum.power[spectrum.chart.place(label)]) for label in labels]
            return self._module.TensorMap(self._labels(CHARACTER, labels), blocks)
        keys, blocks = [], []
        for own, part in spectrum.parts.items():
            for label in labels:
                keys.append((*cast("Pair", own), *cast("Pair", label)))
                blocks.append(self._block(spectrum, part.power[spectrum.chart.place(label)]))
        return self._module.TensorMap(self._labels([*IRREP, *CHARACTER], keys), blocks)

    def _block(self, spectrum: Spectrum, values: torch.Tensor) -> TensorBlock:
        """``(samples, properties)``; one of each where values were pooled."""
        values = (values.reshape(1, 1) if values.ndim == 0 else values).to(torch.float64)
        samples = self._samples(spectrum) if spectrum.sample_system is not None else self._labels(["_"], [[0]])
        properties = self._labels(["property"], [[i] for i in range(values.shape[1])])
        return self._module.TensorBlock(values.contiguous(), samples, [], properties)

    def _samples(self, spectrum: Spectrum) -> Labels:
        """Systems by their place in the audit, and the place of a row in its system."""
        system = spectrum.sample_system
        assert system is not None
        rows = [row.rows for row in self._audit.systems]
        counts = torch.bincount(system, minlength=len(rows)).tolist()
        if max(counts, default=0) <= 1:
            return self._labels(["system"], system.reshape(-1, 1))
        inner = torch.cat([torch.arange(count) for count in counts])
        atoms = all(count in (0, own) for count, own in zip(counts, rows, strict=True))
        return self._labels(["system", "atom" if atoms else "sample"], torch.stack([system.long(), inner], dim=1))

    def _labels(self, names: list[str], values: Sequence[Any] | torch.Tensor) -> Labels:
        table = torch.as_tensor(values, dtype=torch.int32).reshape(-1, len(names))
        return self._module.Labels(names, table)
