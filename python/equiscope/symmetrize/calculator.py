"""An ASE calculator averaged over a group. Importing this needs ASE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from ..adapters.atoms import turned, turning
from ..adapters.base import Request
from ..adapters.calculators import emptied
from ..adapters.properties import PROPERTIES, check_rows, shape_of_one
from ..adapters.structures import read_structures
from ..errors import ArgumentError, ModelError, fail
from ..groups.representation import Representation
from .average import Averager, Value
from .elements import Elements


class SymmetrizedCalculator(Calculator):
    """The average of `calculator` over a group, for dynamics, relaxations and whatever takes a calculator.

    Made by `equiscope.symmetrize`. Of `calculator` those properties are there whose representation is known
    (`adapters.properties`). The elements of the group are the same for every structure and step, so forces and
    stress are the derivatives of the averaged energy to the accuracy to which they are those of `calculator`:
    E(g x) has the derivative g^-1 F(g x), term by term. What turns is what `equiscope.audit` turns of atoms: positions
    and cell, and momenta, velocities, forces and moments of three components where they have these.

    spread: by property, after a calculation: sqrt(A), how much one component varies with the orientation.
    error: likewise the standard error of the average over random elements, sqrt(A / n); None on a grid.

    Both stand beside `results`, which holds what ASE knows and no more, so that these can be handed on.
    """

    def __init__(self, calculator: Any, elements: Elements, request: Request) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        asked = request.outputs
        self.kinds = request.output_kinds
        offered = list(calculator.implemented_properties)
        known = [name for name in offered if name in PROPERTIES or name in self.kinds]
        chosen = known if asked is None else [asked] if isinstance(asked, str) else list(asked)
        unknown = [name for name in chosen if name not in known]
        if unknown or not chosen:
            expected = f"properties of the calculator ({', '.join(offered) or 'none'}) whose representation is known"
            fail(ArgumentError, "outputs", f"{expected}, or is given", ", ".join(map(repr, unknown)) or "none")
        self.calculator = calculator
        self.elements = elements
        self.implemented_properties = chosen
        self._average = Averager(elements, 1)
        self.spread: dict[str, Any] = {}
        self.error: dict[str, Any] | None = None

    def reset(self) -> None:
        """Forget the last calculation."""
        super().reset()  # type: ignore[no-untyped-call]
        self.spread, self.error = {}, None

    def calculate(
        self, atoms: Any = None, properties: Sequence[str] = ("energy",), system_changes: Sequence[str] = all_changes
    ) -> None:
        """Evaluate the calculator on every rotated copy of `atoms`."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        evaluation = _Evaluation(self, self.atoms, properties)
        # with gradients as they are: calculators that differentiate inside need them, nobody does outside
        found = self._average(evaluation, gradients=False)
        count = len(self.elements)
        self.results = {name: _native(average.mean) for name, average in found.items()}
        self.spread = {name: _native(average.variance.sqrt()) for name, average in found.items()}
        self.error = None
        if self.elements.sampled:
            self.error = {name: _native((average.variance / count).sqrt()) for name, average in found.items()}


def _native(values: torch.Tensor) -> Any:
    """As ASE has them: a float, or an array of its own."""
    return float(values) if values.ndim == 0 else values.numpy().copy()


class _Evaluation:
    """A calculator on rotated copies of one structure."""

    def __init__(self, owner: SymmetrizedCalculator, atoms: Any, asked: Sequence[str]) -> None:
        self._calculator = owner.calculator
        self._kinds = owner.kinds
        self._known = owner.implemented_properties
        (self._structure,) = read_structures(atoms)
        self._turning = turning(self._structure, {})
        self._asked = list(asked)
        self._names: list[str] = []

    def __call__(self, tensors: Sequence[torch.Tensor], rotations: torch.Tensor) -> list[Value]:
        (atoms,) = turned(self._structure, self._turning, rotations)
        # what holds atoms in place has no part in what a calculator gives
        atoms.set_constraint()
        # a calculator that starts from its last result would give an average that depends on the order
        emptied(self._calculator).calculate(atoms, self._asked, all_changes)
        results = self._calculator.results
        self._names = self._names or [name for name in self._known if results.get(name) is not None]
        absent = [name for name in {*self._asked, *self._names} if results.get(name) is None]
        if absent:
            raise PropertyNotImplementedError(f"{', '.join(absent)} not present in this calculation")
        return [self._value(name, results[name]) for name in self._names]

    def _value(self, name: str, result: Any) -> Value:
        values = torch.from_numpy(np.array(result, dtype=np.float64))
        kind = self._kinds.get(name) or _kind_of(name, result, len(self._structure))
        check_rows(name, tuple(values.shape), kind)
        kind.check(tuple(values.shape), name)
        return Value(name, kind, values.unsqueeze(0))


def _kind_of(name: str, result: Any, atoms: int) -> Representation:
    shape = shape_of_one(name, np.asarray(result), atoms)
    kinds = PROPERTIES[name].kinds
    if shape is None or shape not in kinds:
        expected = f"a value{' per atom' if PROPERTIES[name].per_atom else ''} of shape {' or '.join(map(str, kinds))}"
        raise ModelError(f"{name}: expected {expected}, got {np.shape(result)}")
    return Representation.parse(kinds[shape])
