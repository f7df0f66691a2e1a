"""Calculators of ASE: whatever calculates properties of `ase.Atoms`, one structure at a time."""

from __future__ import annotations

import functools
import inspect
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import (
    ArgumentError,
    DTypeError,
    MissingExtraError,
    ModelError,
    ShapeError,
    ends_the_system,
    fail,
)
from ..groups.cartesian import ASE_ORDER
from ..groups.representation import Representation
from .atoms import atoms_of, points_of, turned, turning, usual_inputs
from .base import Adapter, Piece, Request, System
from .checks import check_axes
from .points import Points
from .properties import PROPERTIES, Shape, check_rows, shape_of_one
from .registry import register
from .structures import label_of, read_structures

PROBED = 8
"""Structures that are tried for a first look at what the calculator returns: the first may be such as it cannot do, or
have no property of the kind whose form is looked for."""

SYMMETRY = 1e-4
"""Part of a 3 x 3 stress by which it may be asymmetric and still be brought to Voigt order: single precision."""

ENTRIES = [("xyz".index(name[0]), "xyz".index(name[1])) for name in ASE_ORDER]
"""Where Voigt components lie in the matrix."""

Form = tuple[int | str, ...]

ASYMMETRIC = "a symmetric matrix (declare it 'tensor' where it is none)"


@register
class CalculatorAdapter(Adapter):
    """Rotated copies of structures for a calculator of ASE, one calculation per copy.

    model: a calculator; or what makes one and is called for every copy: a class of calculators, a `functools.partial`
        of one, or a function without arguments. A calculator that is used again is told to forget by its `reset`.
    data: whatever `read_structures` reads, in Angstrom.

    Positions and cell turn together, and with them momenta, velocities, forces and moments of three components that the
    structure carries. ``request.inputs`` declares further entries of `atoms.info` and `atoms.arrays`, such as a field;
    all others reach the calculator as they are, as do constraints, which have no part in the forces.

    ``request.outputs`` chooses among the properties of the calculator, or declares those that `PROPERTIES` does not
    know. None: every one that it implements and is known. A property that a structure does not have is left out there:
    one for which the calculator raises ASE's `PropertyNotImplementedError`, or a plain `NotImplementedError` where it
    gave another one before. Whatever else it raises ends that structure.
    """

    wants = "an ASE calculator, a class of these, or a function without arguments that makes one"
    reads_files = True

    @classmethod
    def serves(cls, model: Any, data: Any) -> bool:
        return is_calculator(model) or makes_calculators(model)

    @classmethod
    def open(cls, model: Any, data: Any, request: Request) -> Adapter:
        for name in ("batching", "call", "grad", "masks", "device"):
            value = getattr(request, name)
            if value is not None:
                fail(ArgumentError, name, "nothing: a calculator is called once per copy, where it lives", repr(value))
        if request.dtype not in (None, torch.float64):
            fail(DTypeError, "dtype", "torch.float64, the one dtype of ase.Atoms", str(request.dtype))
        return cls(model, data, request)

    def __init__(self, model: Any, data: Any, request: Request | None = None) -> None:
        request = request or Request()
        self._make: Callable[[], Any] | None = model if makes_calculators(model) else None
        self._calculator = model if self._make is None else self._make()
        _check_calculator(self._calculator)
        self._structures = read_structures(data)
        self.count = len(self._structures)
        self._declared = request.parsed("inputs", request.inputs, "positions")
        self.inputs = self._all_inputs()
        self.calls_per_copy = True
        self.model_seconds = 0.0
        self.unhookable_reason = "a calculator is called as it is: for hidden layers audit the module inside of it"
        self.unrepeatable = (
            "one calculator made all of these, and what it gives depends on what it calculated before: hand over its "
            "class, or a function that makes it (`lambda: Calculator(...)`), and every copy gets a new one"
            if self._make is None
            else ""
        )
        name = type(self._calculator).__name__
        self.description = {
            "model": name,
            "data": label_of(data, self.count),
            "calculators": "one for all copies" if self._make is None else "a new one for every copy",
        }
        self._tails: dict[str, Shape] = {}
        self._forms: dict[str, Form] = {}
        self._given: dict[str, list[str]] = {}
        """By system: the properties that its first copy had. To ask for others means another calculation."""
        self.outputs, notes = self._declared_outputs(request)
        self.notes = [f"{name}: {note}" for note in notes]
        self.unasked = () if request.outputs else tuple(self.outputs)
        self.units = {name: PROPERTIES[name].unit for name in self.outputs if name in PROPERTIES}
        self._meant = request.meant

    # -- what turns, and how -------------------------------------------------------------------------------------

    def _all_inputs(self) -> dict[str, Representation]:
        inputs: dict[str, Representation] = {}
        carried = dict[str, None]()
        for structure in self._structures:
            carried |= dict.fromkeys([*structure.arrays, *structure.info])
            inputs |= usual_inputs(structure)
        inputs |= self._declared
        unknown = [name for name in inputs if name not in ("positions", "cell") and name not in carried]
        if unknown:
            expected = f"names of what the structures carry ({', '.join(['positions', 'cell', *carried])})"
            fail(ArgumentError, "inputs", expected, ", ".join(map(repr, unknown)))
        return inputs

    def _declared_outputs(self, request: Request) -> tuple[dict[str, Representation], list[str]]:
        """The representation of each property that is audited, and what is to be said of the others."""
        asked, declared = request.outputs, request.output_kinds
        names = [asked] if isinstance(asked, str) else list(asked or self._calculator.implemented_properties)
        self._check_implemented(names)
        unknown = [name for name in names if name not in PROPERTIES and name not in declared]
        if unknown and asked is not None:
            known = ", ".join(name for name in PROPERTIES if name in self._calculator.implemented_properties)
            expected = f"names among {known}, or a dict from name to representation for others"
            fail(ArgumentError, "outputs", expected, ", ".join(map(repr, unknown)))
        notes = [f"how `{name}` transforms is not known: outputs={{{name!r}: ...}} declares it" for name in unknown]
        names = [name for name in names if name not in unknown]
        shapes = self._seen([name for name in names if name not in declared])
        found: dict[str, Representation] = {}
        for name in names:
            if name in declared:
                found[name] = declared[name]
                continue
            kinds, per_atom = PROPERTIES[name].kinds, PROPERTIES[name].per_atom
            shape = shapes.get(name, next(iter(kinds)))
            if shape is not None and shape in kinds:
                found[name] = Representation.parse(kinds[shape])
                self._forms[name] = ("atoms", *shape) if per_atom else shape
            else:
                what = "value per atom" if per_atom else "value"
                notes.append(f"`{name}` is no {what} of shape {' or '.join(map(str, kinds))}, and was left out")
        return found, notes

    def _check_implemented(self, names: Sequence[str]) -> None:
        own = list(self._calculator.implemented_properties)
        missing = [name for name in names if name not in own]
        if missing or not own:
            fail(
                ArgumentError,
                "outputs" if own else "model",
                f"properties that {type(self._calculator).__name__} implements ({', '.join(own) or 'none'})",
                ", ".join(map(repr, missing)) or "none",
            )

    def _seen(self, names: Sequence[str]) -> dict[str, Shape | None]:
        """Shape of one value of each property, in the first structure that has it; None: it has no row for each atom.

        Where the first that can be calculated has none, further ones are asked for what may have several forms.
        """
        found: dict[str, Shape | None] = {}
        with torch.random.fork_rng(devices=[]):
            for structure in self._structures[:PROBED]:
                left = [name for name in names if name not in found and (not found or len(PROPERTIES[name].kinds) > 1)]
                if not left:
                    break
                try:
                    values = self._calculated(atoms_of(structure), left)
                except Exception as error:  # the audit comes to this structure, and says what it was
                    if not ends_the_system(error):
                        raise
                    continue
                found |= {name: shape_of_one(name, value, len(structure)) for name, value in values.items()}
        return found

    # -- systems and copies --------------------------------------------------------------------------------------

    def systems(self) -> Iterator[System]:
        for structure in self._structures:
            parts = turning(structure, self._declared)
            size = sum(part.values.nbytes for part in parts.values())
            yield System(structure.name, (structure, parts), len(structure), size)

    def points(self, system: System) -> Points | None:
        return points_of(system.payload[0])

    def compatible(self, first: System, other: System) -> bool:
        return False

    # -- calculations --------------------------------------------------------------------------------------------

    def forward(self, pieces: Sequence[Piece]) -> dict[str, list[torch.Tensor]]:
        found: dict[str, list[torch.Tensor]] = {name: [] for name in self.outputs}
        for piece in pieces:
            results: list[dict[str, np.ndarray]] = []
            given, system = self._given, piece.system.name
            structure, turns = piece.system.payload
            copies = turned(structure, turns, piece.rotations, piece.dither)
            for element, atoms in zip(piece.rotations, copies, strict=True):
                try:
                    results.append(self._calculated(atoms, given.get(system, list(self.outputs))))
                    given.setdefault(system, list(results[0]))
                except ModelError as error:
                    if torch.linalg.det(element) > 0:
                        raise
                    raise ModelError(f"{error}, at an element that inverts (group='SO3' leaves these out)") from error
            for name, parts in found.items():
                parts.append(self._canonical(name, piece.system, [result.get(name) for result in results]))
        return found

    def _calculated(self, atoms: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The properties that the calculator gives for `atoms`."""
        start = time.perf_counter()
        found: dict[str, np.ndarray] = {}
        lacking: tuple[str, Exception] | None = None
        name = "calculator"
        try:
            # as its users call it, and not as an audit calls a model
            with torch.enable_grad():
                calculator = self._fresh()
                for name in names:
                    try:
                        # asked again, it would compare the atoms with those before
                        known = calculator.results.get(name)
                        value = calculator.get_property(name, atoms) if known is None else known
                    except NotImplementedError as error:
                        if not found and not isinstance(error, _absences()):
                            raise  # it may be the structure that it cannot do
                        lacking = lacking or (name, error)
                        # what a calculation has left that did not end is no result
                        emptied(calculator)
                        continue
                    if value is not None:
                        found[name] = np.array(value)
            if not found and lacking is not None:
                name = lacking[0]
                raise lacking[1]
        except Exception as error:  # whatever a calculator raises
            if not ends_the_system(error) or isinstance(error, ModelError):
                raise
            raise ModelError(f"{name}: {type(error).__name__}: {error}") from error
        finally:
            self.model_seconds += time.perf_counter() - start
        return found

    def _fresh(self) -> Any:
        """A calculator that remembers no results."""
        return emptied(self._calculator if self._make is None else self._make())

    def _canonical(self, name: str, system: System, values: Sequence[np.ndarray | None]) -> torch.Tensor:
        kind = self.outputs[name]
        own = [_as_declared(name, kind, value) for value in values if value is not None]
        if not own:
            return torch.empty(len(values), 0, 1, kind.components, dtype=torch.float64)
        shapes = {value.shape for value in own}
        if len(own) < len(values) or len(shapes) > 1:
            got = f"{len(own)} of {len(values)} copies have one" if len(shapes) == 1 else ", ".join(map(str, shapes))
            raise ModelError(f"{name}: expected a value of one shape for every copy of {system.name!r}, got {got}")
        stacked = torch.from_numpy(np.stack(own))
        shape = tuple(stacked.shape[1:])
        form = _form(name, shape, kind, system.rows)
        if self._forms.get(name, form) != form:
            expected = f"a value of shape {_words(self._forms[name])}, which is taken for {kind.name!r},"
            raise ModelError(f"{name}: expected {expected} of every structure, got {_words(form)} of {system.name!r}")
        check_rows(name, shape, kind)
        kind.check(shape, f"outputs[{name!r}]")
        check_axes(f"outputs[{name!r}]", kind, shape, meant=name in self._meant or name in PROPERTIES)
        rest = shape[: len(shape) - kind.component_axes]
        self._forms[name], self._tails[name] = form, rest[1:] + kind.component_shape
        return stacked.reshape(len(values), rest[0] if rest else 1, math.prod(rest[1:]), kind.components)

    def identity(self) -> Any:
        state = vars(self._calculator) if hasattr(self._calculator, "__dict__") else {}
        # what it remembers of the last structure is no part of it
        return [type(self._calculator), {name: own for name, own in state.items() if name not in ("atoms", "results")}]

    def content(self, system: System) -> Any:
        return system.payload[0].content

    def forget(self, system: System) -> None:
        self._given.pop(system.name, None)

    def native_mean(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        return mean.reshape(mean.shape[0], *self._tails[name])


def _calculators() -> Any:
    """The base class of calculators; none where ASE was not imported."""
    module = sys.modules.get("ase.calculators.calculator")
    return () if module is None else module.BaseCalculator


def is_calculator(model: Any) -> bool:
    """Whether `model` is a calculator of ASE, told without importing it."""
    return isinstance(model, _calculators())


def makes_calculators(model: Any) -> bool:
    """Whether `model` is to be called for a calculator: a class of these, a partial of one, or what takes no arguments,
    as no model of anything can."""
    made = model.func if isinstance(model, functools.partial) else model
    if isinstance(made, type):
        return issubclass(made, _calculators())
    if isinstance(model, torch.nn.Module) or not callable(model):
        return False
    try:
        return not inspect.signature(model).parameters
    except (TypeError, ValueError):
        return False


def _check_calculator(calculator: Any) -> None:
    if not is_calculator(calculator):
        try:
            import ase  # noqa: F401
        except ImportError:
            raise MissingExtraError(
                "model: expected an installed ase for its calculators, got none; pip install ase"
            ) from None
        expected = "a calculator of ASE from what is called without arguments (any other model is handed over itself)"
        fail(DTypeError, "model", expected, type(calculator).__name__)
    if type(calculator).__module__ == "ase.calculators.singlepoint":
        expected = "a calculator that calculates"
        fail(ArgumentError, "model", expected, f"a {type(calculator).__name__}, which holds results of one structure")


def emptied(calculator: Any) -> Any:
    """`calculator`, which remembers no results, and no atoms that it would take for calculated."""
    if hasattr(calculator, "reset"):
        calculator.reset()
    calculator.atoms, calculator.results = None, {}
    return calculator


def _absences() -> Any:
    """What ASE raises where a structure has no such property."""
    return sys.modules["ase.calculators.calculator"].PropertyNotImplementedError


def _form(name: str, shape: Shape, kind: Representation, atoms: int) -> Form:
    """`shape` of a value without what may differ from one structure to the other: how many rows it has."""
    if name in PROPERTIES and PROPERTIES[name].per_atom:
        return ("atoms", *shape[1:]) if shape[:1] == (atoms,) else shape
    return ("rows", *shape[1:]) if len(shape) > kind.component_axes else shape


def _words(form: Form) -> str:
    return f"({', '.join(map(str, form))}{',' if len(form) == 1 else ''})"


def _as_declared(name: str, kind: Representation, value: np.ndarray) -> np.ndarray:
    """`value` as real numbers, and a symmetric tensor in the one of its two forms that was declared."""
    if value.dtype.kind not in "fiub":
        raise ModelError(f"{name}: expected real numbers, got {value.dtype}")
    if value.dtype not in (np.float32, np.float64):
        value = value.astype(np.float64)
    if kind.name == "voigt" and value.shape[-2:] == (3, 3):
        away = np.abs(value - value.swapaxes(-1, -2)).max()
        if away > SYMMETRY * np.abs(value).max():
            fail(ShapeError, f"outputs[{name!r}]", ASYMMETRIC, f"one that is asymmetric by {away:.3g}")
        return np.stack([(value[..., i, j] + value[..., j, i]) / 2 for i, j in ENTRIES], axis=-1)
    if kind.name == "tensor" and value.shape[-1:] == (6,):
        full = np.empty((*value.shape[:-1], 3, 3), dtype=value.dtype)
        for column, (i, j) in enumerate(ENTRIES):
            full[..., i, j] = full[..., j, i] = value[..., column]
        return full
    return value
