"""metatomic `AtomisticModel`s on atomistic structures."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ..errors import ArgumentError, DataError, DeviceError, DTypeError, MissingExtraError, ModelError, fail
from ..groups.registry import quadrature
from ..groups.representation import Representation
from .base import Adapter, Piece, System
from .structures import Structure, read_structures

try:
    with warnings.catch_warnings():
        # metatensor compiles TorchScript when it is imported, which torch calls deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        from metatensor.torch import Labels, TensorMap
        from metatomic.torch import (
            AtomisticModel,
            ModelEvaluationOptions,
            ModelOutput,
            unit_conversion_factor,
        )

        from .metatomic_blocks import Layout, representation_of
        from .metatomic_copies import Template
        from .metatomic_merged import Merged
        from .metatomic_model import LoadedModel
        from .metatomic_samples import Samples
except ImportError as error:
    raise MissingExtraError(
        f"model: expected installed metatomic-torch and vesin for a metatomic model, got '{error}'; "
        "pip install equiscope[metatomic]"
    ) from error

GLOBAL_QUANTITIES = (
    "energy",
    "energy_ensemble",
    "energy_uncertainty",
    "heat_flux",
    "non_conservative_stress",
    "spin_multiplicity",
)
"""Quantities that are asked for per system. A model that can sum over atoms declares them per atom."""
FEATURE_PREFIXES = ("feature", "mtt::aux::")
"""Outputs without a representation: auxiliary, or the hidden features of the model."""
COMPILED = "the model is compiled TorchScript, whose submodules cannot be hooked"
DIRECT_TOLERANCE = 1e-4
"""Relative difference up to which the wrapped module counts as equal to the wrapper: a unit conversion
changes the first digit, a sum in another order the last."""
MERGED_EPS = 1e3
"""In eps of the largest value: up to here merged copies count as equal to single ones. Sums in another order are off by
tens of eps."""
STRETCH = 1.05
"""Merging is tried on copies of structures together with one stretched by this, so that a model that averages over
the whole system cannot pass."""
TRIED_ATOMS = 256
"""Merging is tried on structures with this many atoms together: a call of a model has a price of its own."""


class MetatomicAdapter(Adapter):
    """Rotated copies for a metatomic `AtomisticModel`: positions, cell and pair vectors rotate together.

    model: path of an exported model, or an `AtomisticModel`, loaded or built in Python.
    data: whatever `read_structures` reads; lengths in `length_unit`.
    outputs: names, or a dict from name to representation that overrides what the labels of the output say.
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
    adapter is made, with all of metatomic's checks. The wrapper copies every `System` to convert units; since
    data and outputs are in the model's own units here, the wrapped module is called directly from then on,
    provided that it gave the same values on the first structure.

    Making a `System` costs as much as a small model, so all copies of a batch are merged into one, with
    block-diagonal neighbour lists and per-system outputs summed over atoms, wherever that may be (no periodic
    direction, every output offered per atom) and is seen to give the same values to round-off: every structure is
    tried before its turn. `merges` says which were.

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
        basis: str = "standard",
        layout: str = "mul_ir",
        extensions_directory: str | PathLike[str] | None = None,
    ) -> None:
        loaded = LoadedModel.of(model, extensions_directory)
        self._model = loaded.model
        self._capabilities = self._model.capabilities()
        self._dtype = _dtype(dtype, self._capabilities.dtype)
        self._device = self._placed(device, moves=loaded.ours)
        self._scale = _scale(length_unit, self._capabilities.length_unit)
        compiled = isinstance(self._model.module, torch.jit.ScriptModule)
        self.module = None if compiled else self._model.module
        extra = sorted(self._model.requested_inputs(use_new_names=True))
        if extra:
            fail(
                ArgumentError,
                "model",
                "a model whose inputs are structures",
                f"one that also asks for {extra}",
            )

        self._structures = read_structures(data)
        self.count = len(self._structures)
        self._check_types()
        self._templates: dict[str, Template] = {}
        self._samples, self._atom_samples = Samples(), Samples()
        self.model_seconds = 0.0

        offered = loaded.outputs()
        wanted = _wanted(outputs, offered)
        overrides = outputs if isinstance(outputs, Mapping) else {}
        declared = {name: Representation.parse(kind, basis=basis, layout=layout) for name, kind in overrides.items()}
        self.features = _features(features, offered, wanted if outputs is not None else ())
        wanted = [name for name in wanted if name not in self.features]
        self._request = self._requested(offered, [*wanted, *self.features], sample_kind)
        self._direct = False
        self._last_merged: tuple[list[Template], Merged] | None = None
        self.merges: dict[str, bool] = {}
        with self._undisturbed():
            first = self._rehearsal()
            self.outputs, self._layouts, self.left_out = self._read(first, wanted, declared, chosen=outputs is not None)
            kept = [*self.outputs, *self.features]
            # hidden modules are audited without any output, but the model computes nothing unless asked to
            self._request = {name: self._request[name] for name in kept} or self._request
            self._mergeable = all(offered[name].sample_kind == "atom" for name in self._request)
            self._atomic = {n: ModelOutput(unit=o.unit, sample_kind="atom") for n, o in self._request.items()}
            self._direct = self._direct_agrees(first)
        self.units = {name: offered[name].unit for name in kept if offered[name].unit}
        self.unhookable_reason = COMPILED if compiled else None
        self.available_features = [name for name in offered if name.startswith(FEATURE_PREFIXES)]
        self.description = {
            "model": loaded.label,
            "data": _data_label(data, self._structures),
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

    # -- model -----------------------------------------------------------------------------------------------

    def _placed(self, device: torch.device | str | None, *, moves: bool) -> torch.device:
        state = [*self._model.parameters(), *self._model.buffers()]
        here = state[0].device if state else None
        wanted = _device(device, default=here or torch.device("cpu"))
        supported = list(self._capabilities.supported_devices)
        if wanted.type not in supported:
            fail(DeviceError, "device", f"one that the model supports ({', '.join(supported)})", str(wanted))
        if moves:
            self._model = self._model.to(wanted)
        elif here not in (None, wanted):
            fail(DeviceError, "device", f"{here}, where the model is", str(wanted))
        return wanted

    def _requested(
        self, offered: Mapping[str, ModelOutput], names: Sequence[str], sample_kind: Mapping[str, str] | None
    ) -> dict[str, ModelOutput]:
        kinds = dict(sample_kind or {})
        unknown = [name for name in kinds if name not in names]
        if unknown:
            fail(ArgumentError, "sample_kind", f"names among {', '.join(names)}", ", ".join(map(repr, unknown)))
        for name, kind in kinds.items():
            if kind not in ("system", "atom"):
                fail(ArgumentError, f"sample_kind[{name!r}]", "'system' or 'atom'", repr(kind))
        request = {}
        for name in names or offered:
            default = "system" if name.split("/")[0] in GLOBAL_QUANTITIES else offered[name].sample_kind
            request[name] = ModelOutput(unit=offered[name].unit, sample_kind=kinds.get(name, default))
        return request

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Evaluation mode without gradients; modes and random state are put back."""
        modes = [(part, part.training) for part in self._model.modules()]
        cuda = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda), torch.no_grad():
            self._model.eval()
            try:
                yield
            finally:
                for part, training in modes:
                    part.training = training

    def _rehearsal(self) -> dict[str, TensorMap]:
        """The first structure, unrotated, through the wrapper with its checks on."""
        first = self._structures[0]
        systems = self._template(first).copies(torch.eye(3, dtype=torch.float64).unsqueeze(0), self._dtype)
        try:
            returned = self._model(systems, self._options(self._request), True)
        except Exception as error:  # whatever a foreign model raises
            raise ModelError(
                f"model: expected outputs {', '.join(self._request)} for structure {first.name!r}, got "
                f"{type(error).__name__}: {error}"
            ) from error
        missing = [name for name in self._request if name not in returned]
        if missing:
            raise ModelError(f"model: expected outputs {', '.join(self._request)}, got none for {', '.join(missing)}")
        return returned

    def _read(
        self,
        first: Mapping[str, TensorMap],
        wanted: Sequence[str],
        declared: Mapping[str, Representation],
        *,
        chosen: bool,
    ) -> tuple[dict[str, Representation], dict[str, Layout], dict[str, str]]:
        """Representation and layout of every output, and why some that nobody asked for are left out."""
        kinds: dict[str, Representation] = {}
        layouts: dict[str, Layout] = {}
        left_out: dict[str, str] = {}
        for name in self.features:
            layouts[name] = Layout.of(name, first[name])
        for name in wanted:
            try:
                kind = declared.get(name) or Representation.parse(representation_of(first[name]))
                if not chosen and not all(bool(torch.isfinite(b.values).all()) for b in first[name].blocks()):
                    raise ValueError(f"not finite for structure {self._structures[0].name!r}")
                layout = Layout.of(name, first[name])
            except (ValueError, ModelError) as error:
                if isinstance(error, ModelError) and chosen:
                    raise
                if chosen:
                    fail(
                        ArgumentError,
                        f"outputs[{name!r}]",
                        "labels that state a representation, or outputs={name: representation}",
                        str(error),
                    )
                left_out[name] = str(error)
                continue
            kinds[name] = kind
            layouts[name] = layout.declared(name, kind)
        return kinds, layouts, left_out

    def _direct_agrees(self, first: Mapping[str, TensorMap]) -> bool:
        if type(self._model) is not AtomisticModel:
            return False
        systems = self._template(self._structures[0]).copies(
            torch.eye(3, dtype=torch.float64).unsqueeze(0), self._dtype
        )
        direct = self._model.module(systems, self._request, None)
        for name in self._request:
            mine = direct[name].blocks() if name in direct else []
            theirs = first[name].blocks()
            if len(mine) != len(theirs):
                return False
            for a, b in zip(mine, theirs, strict=True):
                scale = float(b.values.abs().nan_to_num(posinf=0.0).max()) if b.values.numel() else 0.0
                if a.values.shape != b.values.shape or not torch.allclose(
                    a.values, b.values, rtol=DIRECT_TOLERANCE, atol=DIRECT_TOLERANCE * scale, equal_nan=True
                ):
                    return False
        return True

    def _options(self, request: Mapping[str, ModelOutput]) -> ModelEvaluationOptions:
        return ModelEvaluationOptions(length_unit=self._capabilities.length_unit, outputs=request)

    # -- data ------------------------------------------------------------------------------------------------

    def _check_types(self) -> None:
        supported = set(self._capabilities.atomic_types)
        for structure in self._structures:
            foreign = set(structure.types.tolist()) - supported
            if foreign:
                fail(
                    DataError,
                    f"data[{structure.name}].types",
                    f"types that the model supports ({', '.join(map(str, sorted(supported)))})",
                    ", ".join(map(str, sorted(foreign))),
                )

    def _template(self, structure: Structure) -> Template:
        if structure.name not in self._templates:
            self._templates[structure.name] = self._make(structure)
        return self._templates[structure.name]

    def _make(self, structure: Structure) -> Template:
        return Template.make(
            structure,
            self._model.requested_neighbor_lists(),
            scale=self._scale,
            length_unit=self._capabilities.length_unit,
            device=self._device,
        )

    def systems(self) -> Iterator[System]:
        item = torch.empty(0, dtype=self._dtype).element_size()
        for index, structure in enumerate(self._structures):
            template = self._template(structure)
            if structure.name not in self.merges:
                self._try_merging(index)
                self.description["merged"] = f"{sum(self.merges.values())} of {len(self.merges)} structures"
            yield System(structure.name, template, len(structure), template.vectors.numel() * item, self._device)

    def compatible(self, first: System, other: System) -> bool:
        return self.merges[first.name] == self.merges[other.name]

    def hooked(self) -> None:
        """Hidden modules are listened to: from now on every copy is a `System` of its own."""
        self._mergeable = False
        self.merges.clear()

    def forget(self, system: System) -> None:
        self._templates.pop(system.name, None)
        self._forget_samples(system.name)

    def _forget_samples(self, *structures: str) -> None:
        for samples in (self._samples, self._atom_samples):
            samples.forget(*structures)

    # -- values ----------------------------------------------------------------------------------------------

    def forward(self, pieces: Sequence[Piece]) -> dict[str, list[torch.Tensor]]:
        names = [piece.system.name for piece in pieces]
        templates = [piece.system.payload for piece in pieces]
        rotations = [piece.rotations for piece in pieces]
        run = self._run_merged if all(self.merges.get(name, False) for name in names) else self._run_single
        return run(names, templates, rotations)

    def _run_single(
        self, structures: Sequence[str], templates: Sequence[Template], rotations: Sequence[torch.Tensor]
    ) -> dict[str, list[torch.Tensor]]:
        systems = [copy for t, r in zip(templates, rotations, strict=True) for copy in t.copies(r, self._dtype)]
        returned = self._evaluate(systems, self._request)
        copies = [len(r) for r in rotations]
        found = {}
        for name in [*self.outputs, *self.features]:
            values, samples = self._canonical(name, returned)
            labels = samples.values
            found[name] = self._samples.split(name, samples.names, labels, values, structures, copies)
        return found

    def _run_merged(
        self, structures: Sequence[str], templates: Sequence[Template], rotations: Sequence[torch.Tensor]
    ) -> dict[str, list[torch.Tensor]]:
        copies = [len(r) for r in rotations]
        merged = self._merged(templates, copies)
        returned = self._evaluate([merged.system(templates, rotations, self._dtype)], self._atomic)
        found = {}
        for name in [*self.outputs, *self.features]:
            values, samples = self._canonical(name, returned)
            parts = self._atom_samples.split(name, *merged.labels(name, samples), values, structures, copies)
            if self._request[name].sample_kind == "system":
                parts = [part.sum(1, keepdim=True, dtype=torch.float64).to(part.dtype) for part in parts]
            found[name] = parts
        return found

    def _merged(self, templates: Sequence[Template], copies: Sequence[int]) -> Merged:
        """The layout of the last batch again where this one has the same structures and numbers of copies."""
        if self._last_merged is not None:
            known, merged = self._last_merged
            same = len(known) == len(templates) and all(a is b for a, b in zip(known, templates, strict=True))
            if same and merged.counts == tuple(copies):
                return merged
        merged = Merged.of(templates, copies)
        self._last_merged = (list(templates), merged)
        return merged

    def _try_merging(self, start: int) -> None:
        """Whether merged copies give what single ones give, to round-off; for some structures from `start` on."""
        tried: list[Structure] = []
        for structure in self._structures[start:]:
            if tried and sum(map(len, tried)) + len(structure) > TRIED_ATOMS:
                break
            self.merges[structure.name] = False
            if self._mergeable and not structure.pbc.any():
                tried.append(structure)
        if not tried:
            return
        stretched = replace(tried[0], positions=tried[0].positions * STRETCH, source=None)
        templates = [*map(self._template, tried), self._make(stretched)]
        names = [*(structure.name for structure in tried), ""]
        # an element of each coset
        rotations = quadrature(3).rotations[[1, -1]]
        try:
            with self._undisturbed():
                runs = (self._run_single, self._run_merged)
                single, merged = (run(names, templates, [rotations] * len(names)) for run in runs)
        except Exception:  # whatever a foreign model raises for a system of many parts
            return
        finally:
            self._forget_samples(*names)
        for i, structure in enumerate(tried):
            self.merges[structure.name] = all(_agree(single[name][i], merged[name][i]) for name in single)

    def _evaluate(self, systems: list[Any], request: Mapping[str, ModelOutput]) -> Mapping[str, TensorMap]:
        start = time.perf_counter()
        with torch.no_grad():
            if self._direct:
                returned = self._model.module(systems, request, None)
            else:
                returned = self._model(systems, self._options(request), False)
        self.model_seconds += time.perf_counter() - start
        return returned

    def _canonical(self, name: str, returned: Mapping[str, TensorMap]) -> tuple[torch.Tensor, Labels]:
        """Values ``(rows, channels, components)`` of an output, and whose rows they are."""
        if name not in returned:
            raise ModelError(f"{name}: expected this output from every call of the model, got none")
        values = self._layouts[name].values(name, returned[name])
        if name in self.features:
            values = values.flatten(1).unsqueeze(-1)
        return values, returned[name].block(0).samples

    def native_mean(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        if name in self.features:
            layout = self._layouts[name]
            mean = mean.reshape(mean.shape[0], layout.properties, layout.components)
        return self._layouts[name].native(mean)


def _agree(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape:
        return False
    bound = MERGED_EPS * torch.finfo(a.dtype).eps * float(a.abs().max()) if a.numel() else 0.0
    return bool(((a - b).abs() <= bound).all())


def _dtype(dtype: torch.dtype | None, own: str) -> torch.dtype:
    model = getattr(torch, own)
    if dtype not in (None, model):
        fail(DTypeError, "dtype", f"torch.{own}, the one dtype of this model", str(dtype))
    return model


def _device(device: torch.device | str | None, default: torch.device) -> torch.device:
    """`device` with its index, after a tensor was put there."""
    try:
        return torch.empty(0, device=default if device is None else device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        fail(DeviceError, "device", "a device of this machine", f"{device!r} ({reason})")


def _scale(length_unit: str, own: str) -> float:
    """The factor that takes lengths of the data to the unit of the model."""
    if not own or not length_unit:
        return 1.0
    try:
        return float(unit_conversion_factor(length_unit, own))
    except (ValueError, RuntimeError) as error:
        fail(ArgumentError, "length_unit", f"a length that converts to {own}", f"{length_unit!r} ({error})")


def _wanted(outputs: str | Sequence[str] | Mapping[str, Any] | None, offered: Mapping[str, Any]) -> list[str]:
    """The names of the outputs that are asked for."""
    if outputs is None:
        return [name for name in offered if not name.startswith(FEATURE_PREFIXES)]
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    _check_known("outputs", names, offered)
    return names


def _features(features: str | Sequence[str], offered: Mapping[str, Any], outputs: Sequence[str]) -> list[str]:
    names = [features] if isinstance(features, str) else list(features)
    _check_known("features", names, offered)
    both = [name for name in names if name in outputs]
    if both:
        fail(ArgumentError, "features", "names that are not outputs as well", ", ".join(map(repr, both)))
    return names


def _check_known(argument: str, names: Sequence[str], offered: Mapping[str, Any]) -> None:
    unknown = [name for name in names if name not in offered]
    if unknown:
        has = f"names of outputs of the model ({', '.join(offered)})"
        fail(ArgumentError, argument, has, ", ".join(map(repr, unknown)))
    if len(set(names)) != len(names):
        fail(ArgumentError, argument, "every name once", ", ".join(names))


def _data_label(data: Any, structures: Sequence[Structure]) -> str:
    count = f"{len(structures)} structure{'s' if len(structures) != 1 else ''}"
    return f"{Path(data).name}, {count}" if isinstance(data, str | PathLike) else count
