"""The adapter of metatomic models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import torch
from metatomic.torch import AtomisticModel

from ...errors import ArgumentError, DataError, fail
from ...inuse import in_use
from ..atoms import points_of
from ..base import Adapter, Piece, Request, System
from ..points import Points
from ..structures import Structure, label_of, read_structures
from .asked import asked_features, asked_outputs, features_of, look, requested
from .batches import Batches
from .calls import Calls
from .copies import Template
from .loading import LoadedModel, dtype_of, length_scale
from .merging import Merging

COMPILED = "the model is compiled TorchScript, whose submodules cannot be hooked"
IDENTITY = torch.eye(3, dtype=torch.float64).unsqueeze(0)


class MetatomicAdapter(Adapter):
    """Rotated copies for a metatomic `AtomisticModel`: positions, cell and pair vectors rotate together.

    model: path of an exported model, or an `AtomisticModel`, loaded or built in Python.
    data: whatever `read_structures` reads; lengths in `length_unit`.
    outputs: names, or a dict from name to representation that overrides what the labels of the output say; None leaves
        it to them.
        None: every output whose labels state a representation; `left_out` says why each other is not taken.
    features: names of outputs without a representation, audited as layers.
    basis, layout: of Irreps strings in `outputs`. Irreps that metatomic states are in the standard basis.
    sample_kind: "system" or "atom" by output, where the default is not wanted: energies, stress and heat flux
        are asked for per system, everything else as the model declares it.
    dtype: metatomic models have one floating-point dtype; None or that one. Data of any dtype are rotated in
        float64 and taken to it after the rotation.
    device: None: where the model is. A model read from a file is moved; one handed over must be there.
    length_unit: of the data, whatever the model works in; "" where neither has a unit.
    extensions_directory: of compiled extensions that the file of the model asks for.

    Values are in the units of the model (`units`). The model runs once on the first structure when the
    adapter is made, with all of metatomic's checks; then it is called without its wrapper where that gives the same
    (`Calls`).

    Making a `System` costs as much as a small model, so all copies of a batch are merged into one, with
    block-diagonal neighbour lists and per-system outputs summed over atoms, wherever that may be (no periodic
    direction, every output offered per atom) and is seen to give the same values to round-off: every structure is
    tried before its turn (`Merging`). `merges` says which were.

    Raises `DataError` for a file that is no complete metatomic model and for atomic types it does not know,
    `ArgumentError` for unknown names or units and for models that ask for more inputs than structures hold,
    `DTypeError`, `DeviceError`, and `ModelError` for what a model returns and cannot be audited.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        *,
        outputs: str | Sequence[str] | Mapping[str, Any] | None = None,
        features: str | Sequence[str] = (),
        sample_kind: Mapping[str, str] | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        length_unit: str = "angstrom",
        basis: str | None = None,
        layout: str = "mul_ir",
        extensions_directory: str | PathLike[str] | None = None,
    ) -> None:
        loaded = LoadedModel.of(model, extensions_directory)
        self._model = loaded.model
        self._length_unit = self._model.capabilities().length_unit
        self._dtype = dtype_of(self._model, dtype)
        self._device = loaded.placed(device)
        self._scale = length_scale(length_unit, self._length_unit)
        compiled = isinstance(self._model.module, torch.jit.ScriptModule)
        self.module = None if compiled else self._model.module
        self.unhookable_reason = COMPILED if compiled else None
        _check_inputs(self._model)
        self._structures = read_structures(data)
        self._named = {structure.name: structure for structure in self._structures}
        self.count = len(self._structures)
        _check_types(self._structures, self._model)
        self._templates: dict[str, Template] = {}
        self._calls = Calls(self._model, self._device)

        offered = loaded.outputs()
        self.available_features = features_of(offered)
        wanted = asked_outputs(outputs, offered)
        self.features = asked_features(features, offered, wanted if outputs is not None else ())
        wanted = [name for name in wanted if name not in self.features]
        request = requested(offered, [*wanted, *self.features], sample_kind)
        declared = Request(outputs=outputs, basis=basis, layout=layout).output_kinds
        first = self._structures[0]
        with in_use(self.module), self._calls.undisturbed():
            returned = self._calls.checked(first.name, self._unrotated(first), request)
            seen = look(first.name, returned, wanted, self.features, declared, chosen=outputs is not None)
            self.outputs, self._layouts, self.left_out = seen.outputs, seen.layouts, seen.left_out
            kept = [*self.outputs, *self.features]
            # hidden modules are audited without any output, but the model computes nothing unless asked to
            request = {name: request[name] for name in kept} or request
            self._calls.settle(self._unrotated(first), request, returned)
        ordered = {name: self._layouts[name] for name in kept}
        self._batches = Batches(self._calls, request, ordered, self._dtype)
        mergeable = all(offered[name].sample_kind == "atom" for name in request)
        self._merging = Merging(self._calls, self._batches, self._made, allowed=mergeable)
        self.merges = self._merging.verdicts
        self.units = {name: offered[name].unit for name in kept if offered[name].unit}
        self.description = {
            "model": loaded.label,
            "data": label_of(data, self.count),
            "units": ", ".join(f"{name} {unit}" for name, unit in self.units.items()),
        }

    @classmethod
    def with_layers(
        cls, model: Any, data: Any, *, layers: Sequence[str], outputs: Any = None, **options: Any
    ) -> MetatomicAdapter:
        """The adapter whose `features` are those of `layers` that name an output of the model, exactly."""
        loaded = LoadedModel.of(model, options.pop("extensions_directory", None))
        names = [outputs] if isinstance(outputs, str) else list(outputs or ())
        features = [layer for layer in layers if layer in loaded.outputs() and layer not in names]
        return cls(loaded, data, outputs=outputs, features=features, **options)

    def _unrotated(self, structure: Structure) -> list[Any]:
        return self._template(structure).copies(IDENTITY, self._dtype)

    def _template(self, structure: Structure) -> Template:
        if structure.name not in self._templates:
            self._templates[structure.name] = self._made(structure)
        return self._templates[structure.name]

    def _made(self, structure: Structure) -> Template:
        return Template.make(
            structure,
            self._model.requested_neighbor_lists(),
            scale=self._scale,
            length_unit=self._length_unit,
            device=self._device,
        )

    def systems(self) -> Iterator[System]:
        item = torch.empty(0, dtype=self._dtype).element_size()
        for index, structure in enumerate(self._structures):
            template = self._template(structure)
            if structure.name not in self.merges:
                self._merging.decide(self._structures[index:], self._template)
                self.description["merged"] = str(self._merging)
                self.model_seconds = self._calls.seconds
            yield System(structure.name, template, len(structure), template.vectors.numel() * item, self._device)

    def points(self, system: System) -> Points | None:
        return points_of(self._named[system.name])

    def compatible(self, first: System, other: System) -> bool:
        return self.merges[first.name] == self.merges[other.name]

    def hooked(self) -> None:
        """Hidden modules are listened to: from now on every copy is a `System` of its own."""
        self._merging.forbid()

    def forget(self, system: System) -> None:
        self._templates.pop(system.name, None)
        self._batches.forget(system.name)

    def forward(self, pieces: Sequence[Piece]) -> dict[str, list[torch.Tensor]]:
        names = [piece.system.name for piece in pieces]
        merged = all(self.merges.get(name, False) for name in names)
        run = self._batches.merged if merged else self._batches.single
        found = run(names, [piece.system.payload for piece in pieces], pieces)
        self.model_seconds = self._calls.seconds
        return found

    def native_mean(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        return self._layouts[name].native(mean)


def _check_inputs(model: AtomisticModel) -> None:
    extra = sorted(model.requested_inputs(use_new_names=True))
    if extra:
        fail(ArgumentError, "model", "a model whose inputs are structures", f"one that also asks for {extra}")


def _check_types(structures: Sequence[Structure], model: AtomisticModel) -> None:
    supported = set(model.capabilities().atomic_types)
    for structure in structures:
        foreign = set(structure.types.tolist()) - supported
        if foreign:
            fail(
                DataError,
                f"data[{structure.name}].types",
                f"types that the model supports ({', '.join(map(str, sorted(supported)))})",
                ", ".join(map(str, sorted(foreign))),
            )
