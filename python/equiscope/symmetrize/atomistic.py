"""A metatomic model averaged over a group. Importing this needs metatomic-torch and vesin."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import ModelEvaluationOptions

from ..adapters.base import Request
from ..adapters.metatomic.asked import asked_outputs, requested
from ..adapters.metatomic.blocks import representation_of
from ..adapters.metatomic.copies import Template
from ..adapters.metatomic.loading import LoadedModel, dtype_of, length_scale
from ..adapters.structures import Structure, is_metatomic_system, read_structures
from ..errors import ArgumentError, ModelError, fail
from ..groups.representation import Representation
from .average import Average, Averager, Value
from .elements import Elements
from .module import Averaged


class SymmetrizedAtomistic(torch.nn.Module):
    """The average of a metatomic model over a group: called on systems, it returns the `TensorMap` of each output.

    Made by `equiscope.symmetrize`. Systems are what `equiscope.audit` takes for a metatomic model, one or a list: of
    metatomic's own `System` the gradients reach positions and cell, as far as these ask for them. Lengths are in
    angstrom where the model has a unit of length, values in the units of the model. Neighbour lists are made anew for
    each call and turn with the copies; those that a `System` brings along are taken as they are.
    """

    def __init__(self, loaded: LoadedModel, elements: Elements, request: Request, batch: int | None) -> None:
        super().__init__()
        self.model = loaded.model
        self.training = self.model.training
        self.elements = elements
        offered = loaded.outputs()
        self._request = requested(offered, asked_outputs(request.outputs, offered), None)
        self.outputs = request.output_kinds
        self._device = loaded.placed(request.device)
        self._dtype = dtype_of(self.model, request.dtype)
        unit = self.model.capabilities().length_unit
        self._scale = length_scale("angstrom", unit)
        self._options = ModelEvaluationOptions(length_unit=unit, outputs=self._request)
        self._average = Averager(elements, batch or 32)

    def forward(self, systems: Any) -> dict[str, TensorMap]:
        """The averaged outputs, by name."""
        return self._run(systems)[0]

    def with_spread(self, systems: Any) -> Averaged:
        """The same with the variance over the group beside it, ``(samples, properties)`` for each output."""
        outputs, averages = self._run(systems)
        variance = {name: average.variance.to(self._dtype) for name, average in averages.items()}
        return Averaged(outputs, variance, len(self.elements) if self.elements.sampled else None)

    def extra_repr(self) -> str:
        return f"{self.elements}, {', '.join(self._request)}"

    def _run(self, systems: Any) -> tuple[dict[str, TensorMap], dict[str, Average]]:
        templates = [self._template(structure) for structure in read_structures(systems)]
        evaluation = _Evaluation(self.model, self._options, templates, self.outputs, self._dtype)
        vectors = [template.vectors for template in templates]
        closed = [p for p in self.model.parameters() if p.requires_grad]
        averages = self._average(evaluation, vectors, closed, trial=not self.model.training)
        outputs = {name: evaluation.form[name].filled(a.mean.to(self._dtype)) for name, a in averages.items()}
        return outputs, averages

    def _template(self, structure: Structure) -> Template:
        """What all copies share, with vectors that hang on positions and cell of a metatomic `System`."""
        template = Template.make(
            structure,
            self.model.requested_neighbor_lists(),
            scale=self._scale,
            length_unit=self.model.capabilities().length_unit,
            device=self._device,
        )
        if not is_metatomic_system(structure.source):
            return template
        lengths = (structure.source.positions, structure.source.cell)
        positions, cell = (x.to(self._device, torch.float64) * self._scale for x in lengths)
        cell = cell * template.pbc[:, None]
        pairs = [_pair_vectors(samples.values, positions, cell) for samples in template.samples]
        return replace(template, vectors=torch.cat([positions, cell, *pairs]))


def _pair_vectors(pairs: torch.Tensor, positions: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
    """``(pairs, 3)``: from the first atom to the second one, in the cell that the shifts name."""
    first, second, *shifts = pairs.to(torch.int64).unbind(1)
    return positions[second] - positions[first] + torch.stack(shifts, 1).to(cell) @ cell


class _Form:
    """The labels of one output of one copy of all systems, and how its blocks lie along the components."""

    def __init__(self, name: str, tensor: TensorMap, kind: Representation | None) -> None:
        try:
            self.kind = kind or Representation.parse(representation_of(tensor))
        except ValueError as error:
            expected = "labels that state a representation, or outputs={name: representation}"
            fail(ArgumentError, f"outputs[{name!r}]", expected, str(error))
        self._keys = tensor.keys
        self._blocks = tensor.blocks()
        sizes = [math.prod(block.values.shape[1:-1]) for block in self._blocks]
        self._sizes = sizes
        if any(block.samples != self._blocks[0].samples for block in self._blocks):
            raise ModelError(f"{name}: expected the same samples in all of its {len(self._blocks)} blocks, got others")
        if sum(sizes) != self.kind.components:
            expected = f"{self.kind.components} components, because it is declared {self.kind.name!r}"
            fail(ArgumentError, f"outputs[{name!r}]", expected, sum(sizes))

    def joined(self, blocks: Sequence[torch.Tensor]) -> torch.Tensor:
        """Values ``(copies, rows, *components, properties)`` of all blocks, with the components last."""
        parts = [values.flatten(2, -2) if values.ndim > 3 else values.unsqueeze(2) for values in blocks]
        return self.kind.unflatten(torch.cat(parts, 2).transpose(2, 3))

    def filled(self, mean: torch.Tensor) -> TensorMap:
        """``(rows, properties, *components)`` under the labels of the model."""
        parts = self.kind.flatten(mean).transpose(1, 2).split(self._sizes, dim=1)
        blocks = [
            TensorBlock(part.reshape(block.values.shape), block.samples, block.components, block.properties)
            for part, block in zip(parts, self._blocks, strict=True)
        ]
        return TensorMap(self._keys, blocks)


class _Evaluation:
    """The model on rotated copies of all systems of one call."""

    def __init__(
        self,
        model: Any,
        options: Any,
        templates: Sequence[Template],
        kinds: Mapping[str, Representation],
        dtype: torch.dtype,
    ) -> None:
        self._model = model
        self._options = options
        self._templates = templates
        self._kinds = kinds
        self._dtype = dtype
        self.form: dict[str, _Form] = {}

    def __call__(self, tensors: Sequence[torch.Tensor], rotations: torch.Tensor) -> list[Value]:
        columns = [
            replace(template, vectors=vectors).copies(rotations, self._dtype)
            for template, vectors in zip(self._templates, tensors, strict=True)
        ]
        # copy by copy, so that the first copies of all systems are what the user's systems are
        systems = [system for copies in zip(*columns, strict=True) for system in copies]
        returned = self._model(systems, self._options, False)
        return [self._value(name, returned[name], len(rotations)) for name in self._options.outputs]

    def _value(self, name: str, tensor: TensorMap, copies: int) -> Value:
        parts = [_by_copy(name, block, len(self._templates), copies) for block in tensor.blocks()]
        if name not in self.form:
            blocks = [
                TensorBlock(values[0].detach(), samples, block.components, block.properties)
                for (values, samples), block in zip(parts, tensor.blocks(), strict=True)
            ]
            self.form[name] = _Form(name, TensorMap(tensor.keys, blocks), self._kinds.get(name))
        form = self.form[name]
        return Value(name, form.kind, form.joined([values for values, _ in parts]))


def _by_copy(name: str, block: TensorBlock, systems: int, copies: int) -> tuple[torch.Tensor, Labels]:
    """Values ``(copies, rows, ...)`` and the labels of the rows of one copy."""
    names = list(block.samples.names)
    if "system" not in names:
        raise ModelError(f"{name}: expected a sample dimension 'system', got ({', '.join(names)})")
    labels = block.samples.values.clone()
    column = names.index("system")
    owner = labels[:, column] // systems
    labels[:, column] %= systems
    order = torch.argsort(owner, stable=True)
    counts = torch.bincount(owner.to(torch.int64), minlength=copies)
    if len(counts) != copies or not bool((counts == counts[0]).all()):
        found = f"{int(counts.min())} to {int(counts.max())}"
        raise ModelError(f"{name}: expected rotated copies with equal numbers of rows, got {found}")
    rows = int(counts[0])
    own = labels[order].reshape(copies, rows, len(names))
    if not bool((own == own[:1]).all()):
        raise ModelError(
            f"{name}: expected the same sample labels in the same order from every rotated copy, got others"
        )
    return block.values[order].reshape(copies, rows, *block.values.shape[1:]), Labels(names, own[0])
