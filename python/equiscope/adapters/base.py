"""The contract between an audit and a model with its data, whatever they are.

To support a further kind of model or data, write one file in this folder: a subclass of `Adapter` that says what it
serves, under the decorator `registry.register`. A class that lives elsewhere is registered in the same way, and an
`Adapter` made by hand is handed to `audit` in place of the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ..errors import ArgumentError, DTypeError, fail
from ..fingerprint import fingerprint, told
from ..groups._arguments import check_choice, check_floating, checked_device
from ..groups.representation import Representation
from .points import Points
from .rounding import Dither

if TYPE_CHECKING:
    from .labels import Labels

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What an audit asks of a model and its data: the keywords of `audit` that concern them, as the user gave them."""

    inputs: Mapping[str, Any] | str | None = None
    """Representation per input name, or the one of the only input."""
    outputs: Mapping[str, Any] | Sequence[str] | str | None = None
    """Representation per output name, or names alone where the model states the rest; so does None in a dict."""
    layers: Mapping[str, Any] | Sequence[str] | str | None = None
    """Patterns of module names, or names of outputs without a representation; a dict adds representations."""
    batching: Any = None
    """How copies become one argument of the model, where it leaves a choice."""
    call: Any = None
    """The name of a method, or a function of the model and what it would be called with."""
    grad: bool | None = None
    """Whether the model is called with gradients recorded; None: where it turns out to need them."""
    masks: Mapping[str, str] | str | None = None
    """Which input says which rows are real, for all values that have such rows or by name and pattern; for layers also
    a tensor inside the model. An empty dict: none does."""
    basis: str | None = None
    layout: str = "mul_ir"
    """Of Irreps strings in `inputs`, `outputs` and `layers`; without a basis those with l >= 1 are refused."""
    dtype: torch.dtype | None = None
    device: torch.device | str | None = None
    """Where data are brought; None leaves them."""
    labels: Labels | None = None
    """What outputs ought to be, where the data say it: to be `taken` out of every system before the model sees it."""

    def __post_init__(self) -> None:
        checked_device(self.device)
        check_floating(self.dtype)
        if self.basis is not None:
            check_choice("basis", self.basis, ("standard", "e3nn"))
        check_choice("layout", self.layout, ("mul_ir", "ir_mul"))
        if self.layers is not None and not (
            isinstance(self.layers, Collection) and all(isinstance(p, str) for p in self.layers)
        ):
            expected = "patterns of module names, or a dict from pattern to representation"
            fail(DTypeError, "layers", expected, repr(self.layers))

    def identity(self) -> dict[str, Any]:
        """What decides the numbers, as JSON values by name."""
        plain = {name: told(value) for name, value in vars(self).items() if name != "labels"}
        return {**plain, "targets": None if self.labels is None else fingerprint(self.labels.given)}

    @property
    def patterns(self) -> list[str]:
        """`layers` as a list."""
        return [self.layers] if isinstance(self.layers, str) else list(self.layers or ())

    @property
    def layer_kinds(self) -> dict[str, Representation]:
        """The representations that `layers` declares, by pattern."""
        declared = self.layers if isinstance(self.layers, Mapping) else {}
        return self.parsed("layers", {pattern: kind for pattern, kind in declared.items() if kind})

    @property
    def output_kinds(self) -> dict[str, Representation]:
        """The representations that `outputs` declares, by name; what it leaves to the model is not among them."""
        declared = self.outputs if isinstance(self.outputs, Mapping) else {}
        return self.parsed("outputs", {name: kind for name, kind in declared.items() if kind is not None})

    @property
    def inner_masks(self) -> dict[str, str]:
        """Those of `masks` that are tensors inside the model, which have a colon in their names."""
        named = self.masks if isinstance(self.masks, Mapping) else {}
        return {name: mask for name, mask in named.items() if isinstance(mask, str) and ":" in mask}

    @property
    def outer_masks(self) -> Mapping[str, str] | str | None:
        """Those of `masks` that are inputs: an empty dict says that there are none, None leaves it open."""
        if not isinstance(self.masks, Mapping):
            return self.masks
        outer = {name: mask for name, mask in self.masks.items() if name not in self.inner_masks}
        return outer if outer or not self.masks else None

    @property
    def meant(self) -> frozenset[str]:
        """Names of what was declared by a `Representation`, whose axes are meant as they stand."""
        tables = (table for table in (self.inputs, self.outputs, self.layers) if isinstance(table, Mapping))
        return frozenset(name for table in tables for name, kind in table.items() if isinstance(kind, Representation))

    def parsed(self, argument: str, declared: Any, single: str = "") -> dict[str, Representation]:
        """`declared`, the value of `argument`, with its representations parsed; one alone belongs to `single`."""
        if declared is None:
            return {}
        alone = isinstance(declared, str)
        if alone:
            declared = {single: declared}
        if not isinstance(declared, Mapping):
            expected = "a dict from name to representation, or one representation"
            fail(DTypeError, argument, expected, type(declared).__name__)
        return {
            name: Representation.declared(
                kind,
                basis=self.basis,
                layout=self.layout,
                argument=argument if alone else f"{argument}[{name!r}]",
                of_input=argument == "inputs",
            )
            for name, kind in declared.items()
        }


class Again(Exception):
    """`Adapter.forward` found out how its model must be called, and is to be given the same batch once more.

    What hidden modules returned so far belongs to a call that failed.
    """


@dataclass(frozen=True)
class System:
    """One input of the model, not rotated. `payload` belongs to the adapter that made it."""

    name: str
    payload: Any
    rows: int
    """Size of one copy in rows (atoms, points, constituents): what batches are filled by. 0: there is nothing in it
    that could be rotated, and it is recorded as such, not evaluated."""
    nbytes: int
    """Size of the tensors of one copy, in bytes."""
    device: torch.device = CPU
    """Where its tensors lie, and the rotations that are made for it."""


@dataclass(frozen=True)
class Piece:
    """Some rotated copies of one system: a part of a batch."""

    system: System
    rotations: torch.Tensor
    """``(copies, 3, 3)`` float64, elements of O(3) that act on column vectors, on the device of the system."""
    dither: Dither | None = None
    """Noise to be added to the rotated copies before they are rounded: handed on to `rounding.rounded`."""


class Kind:
    """What the registry asks about a kind of model before anything of it is opened.

    Every `Adapter` class is one. Where the adapter's file cannot be imported without an optional dependency, a class of
    its own that imports nothing is registered in its place (`metatomic_models`).
    """

    wants: ClassVar[str] = ""
    """The models that are served, in words, for the error when nothing serves a model."""
    precedence: ClassVar[int] = 1
    """Kinds are asked from high to low, equal ones from the last registered to the first. The adapter of any callable
    has 0."""
    reads_files: ClassVar[bool] = False
    """Whether `data` may be the path of a file of structures."""

    @classmethod
    def serves(cls, model: Any, data: Any) -> bool:
        """Whether this is the one to open `model`.

        Told from types and names alone, within microseconds and without importing anything: a model of an optional
        package can exist only where that was imported (look into ``sys.modules``, or at the ``__module__`` of its
        classes). Wrong `data` are no reason to say no: `open` has the better words for them.
        """
        return False

    @classmethod
    def open(cls, model: Any, data: Any, request: Request) -> Adapter:
        """The adapter of `model` and `data`, or the error that says what of them or of `request` is wrong.

        Settings that this kind of model has no use for are refused unless they are None. Of ``request.patterns`` those
        that name an output without a representation become `Adapter.features`; the others are taken for module names.
        """
        raise NotImplementedError(f"{cls.__name__}.open")


class Adapter(Kind, ABC):
    """A model together with its data: makes rotated copies, calls the model, hands back canonical values.

    An audit reads the attributes below, then calls, always from one thread and without gradients:

    1. `hooked`, if hidden modules are listened to;
    2. `systems`, once;
    3. for each system the rehearsal: `forward` with one piece, whose first two copies are identical (the identity),
       then with smaller ones, alone or beside those of other systems. How many rows a copy has may be learned from the
       first, from the leading axis alone. Copies that depend on what else is in their batch are found here;
    4. `forward` with pieces of one or several systems, all rehearsed and `compatible` with one another, any number of
       times. A system may stand in several pieces. After running out of memory the same copies come again in smaller
       batches;
    5. `forget`, when the system was finished or given up. It may start again with a rehearsal, so what its `payload`
       holds must suffice.

    Several audits may follow one another. Two at once, in two threads, are refused where they share a `module`.

    In the time of an audit `module` is in evaluation mode, and torch's random state is put back at its end. The model
    must be called in the thread that called `forward`: modules that are run by others are not heard.

    What must be refused, with `fail` or `ModelError`: values that are not finite and anything of the wrong dtype, shape
    or device in the data, when `systems` comes to them (a name that comes twice the audit refuses itself); outputs that
    are missing or do not fit their representation; copies of one system with different numbers of rows, or rows in
    another order. Values of outputs that are not finite are returned: the audit reports them with their rotation.
    Whatever the model itself raises is passed on, `errors.ran_out` above all. It ends the system, as a `ModelError`
    does, and the others go on; what `fail` raises would come again with every system, and ends the audit
    (`errors.ends_the_system`).
    """

    inputs: Mapping[str, Representation] = MappingProxyType({})
    """How each declared input transforms."""
    outputs: Mapping[str, Representation]
    """How each declared output transforms."""
    features: Sequence[str] = ()
    """Names of model outputs that are audited as layers: no representation, spectrum only."""
    available_features: Sequence[str] = ()
    """Names that `features` could hold, for the error when module patterns are asked of a model that has no modules."""
    count: int | None = None
    """Number of systems, where it is known beforehand."""
    module: torch.nn.Module | None = None
    """Where hidden modules can be hooked; None for a plain callable."""
    unhookable_reason: str | None = None
    """Why `module` is None or cannot be hooked, where there is more to say than that it is a plain callable."""
    units: Mapping[str, str] = MappingProxyType({})
    """Of outputs, where the model says them."""
    notes: Sequence[str] = ()
    """For the warnings of the report: what of the model was not taken, and why; read at the end of an audit."""
    remarks: Sequence[str] = ()
    """For the notes of the report: what was taken as it was declared, and may have been meant otherwise; likewise."""
    unasked: Collection[str] = ()
    """Outputs that nobody named, and which are audited because the model has them: systems may all have none."""
    unrepeatable: str = ""
    """What is to be said, and done, where the same input gives different values: a sentence."""
    description: dict[str, str]
    """For the report: `model` and `data`, and what else the settings should say; read at the end of an audit."""
    calls_per_copy: bool = False
    """True where the model is called once per copy instead of once per batch."""
    model_seconds: float = 0.0
    """Wall time spent inside the model so far."""

    @abstractmethod
    def systems(self) -> Iterator[System]:
        """The systems in order, checked one by one; may be a stream that is read only once."""

    @abstractmethod
    def compatible(self, first: System, other: System) -> bool:
        """Whether copies of the two systems may share one batch."""

    @abstractmethod
    def forward(self, pieces: Sequence[Piece]) -> Mapping[str, list[torch.Tensor]]:
        """Evaluate all copies of `pieces`, ``for piece: for copy``, in one call of the model.

        Copy i of a piece is its system under ``rotations[i]``, rotated in float64 and brought to the model's dtype at
        the end, by `rounding.rounded` with the dither of the piece, and with the rows that are real where some are
        padding. Nothing that the model writes into may be the
        user's, or shared by two copies.

        For every name in `outputs` and `features` one tensor per piece, ``(copies, samples, channels, components)``:
        components as `Representation` has them (1 for features), samples the rows that a system has of its own (1 for
        what belongs to the whole). Samples may differ between systems, not between copies; none say that the system has
        no such output. Detached, floating-point, in the model's dtype and on its device. Raises `Again` to be called
        again.
        """

    @abstractmethod
    def native_mean(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        """`mean` ``(samples, channels, components)`` of one system, brought to the model's own layout."""

    def value(self, system: System, name: str) -> torch.Tensor:
        """One input of a system as it was given, for what an audit has to know of it: an axis."""
        fail(ArgumentError, "group", f"an axis of its own for all systems ({type(self).__name__} names none)", name)

    def points(self, system: System) -> Points | None:
        """The points of a system as they were given, for the picture of it; None where it has none."""
        return None

    def in_frame(self, name: str, system: System, values: torch.Tensor) -> torch.Tensor:
        """Values of the output `name` ``(samples, channels, components)``, as the data have them, in the frame in which
        `forward` gives those of this system."""
        return values

    def hooked(self) -> None:
        """Hidden modules are listened to: copies must lie one after the other in every tensor."""

    def mask(self, name: str, system: System) -> torch.Tensor | None:
        """Which rows of the output or layer `name` are real in `system`, where others are padding; None: all are.

        Bool, True where real, ``(n,)`` or ``(n, m)``: the leading axes of the value of one copy. Layers are asked for
        by the names that they have in the report; one whose values have no such axes is taken whole.
        """
        return None

    def longer(self, system: System) -> System | None:
        """`system` under another name and with one more row of padding; None where no mask says what padding is.

        What grows with it runs over the rows that the mask counts.
        """
        return None

    def is_real(self, system: System, rows: torch.Tensor) -> bool | None:
        """Whether `rows`, bool ``(n,)`` or ``(n, m)``, may be those of a system that are real: not where all that
        rotates is filled up there, as padding is, and not elsewhere. None: that cannot be told."""
        return None

    def displaced(self, system: System) -> tuple[System, System] | None:
        """`system` twice, each under another name: with what rotates displaced in the rows that its masks call real,
        and in those that they call padding. None where no mask says which are, or the data leave no doubt of it.
        """
        return None

    def unturned(self, system: System) -> Mapping[str, System]:
        """`system` by the name of each input that is not turned, was not said by its name to be invariant and may hold
        directions; under another name, with that input displaced. An output that changes with one is warned of."""
        return {}

    def suspicion(self, system: System) -> str:
        """What is likely at fault where copies of a batch turn out to see each other, and what to do: a sentence."""
        return "Statistics over a batch do that, and functions that were written for one system"

    def identity(self) -> Any:
        """What says which model this is, for its `fingerprint`: a run that was stopped goes on with the same alone."""
        return self.module if self.module is not None else self.description.get("model")

    def content(self, system: System) -> Any:
        """What says which system this is, likewise."""
        return system.payload

    def forget(self, system: System) -> None:
        """A system is finished or given up: drop what was kept for it."""
