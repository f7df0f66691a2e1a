"""Any `torch.nn.Module` or callable, averaged over a group."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..adapters.base import Request
from ..adapters.checks import axis_hint, check_distinct, check_output, explain_missing
from ..adapters.containers import opened
from ..errors import ArgumentError, ModelError, ShapeError, fail
from ..groups.representation import Representation
from .average import Averager, Value
from .call import Batching, Call
from .elements import Elements

SINGLE = "output"
"""Name of the output of a model that returns one bare tensor, unless the declaration names it."""

RANDOM = (torch.nn.modules.dropout._DropoutNd, torch.nn.modules.batchnorm._BatchNorm)
"""Modules that in train mode give a copy something else every time, or mix the copies of a batch."""


@dataclass(frozen=True)
class Averaged:
    """What a symmetrised model returns together with its spread over the group."""

    outputs: Any
    """As the model returns them, averaged."""
    variance: dict[str, torch.Tensor]
    """By declared output, without its component axes: A = (int |rho(g)^-1 f(g x)|^2 dg - |Pi|^2) / components, in the
    dtype of the output. It has gradients, so that its mean can be a penalty."""
    count: int | None = None
    """How many independent random elements; None on a grid."""

    @property
    def spread(self) -> dict[str, torch.Tensor]:
        """sqrt(A): how much one component of one sample varies with the orientation."""
        return {name: variance.sqrt() for name, variance in self.variance.items()}

    @property
    def error(self) -> dict[str, torch.Tensor] | None:
        """Standard error of one component of the average, sqrt(A / count); None on a grid, whose error is what the
        model breaks beyond its degree: compare two degrees."""
        if self.count is None:
            return None
        return {name: (variance / self.count).sqrt() for name, variance in self.variance.items()}


class SymmetrizedModule(torch.nn.Module):
    """The average of `model` over a group: called as the model is, it returns what the model returns.

    Made by `equiscope.symmetrize`. Declared outputs are averages; any other tensor or value that the model returns is
    None, since that of one copy would be no average. `with_spread` returns the spread as well.
    """

    def __init__(self, model: Callable[..., Any], elements: Elements, request: Request, batch: int | None) -> None:
        super().__init__()
        self.model = model
        self.training = isinstance(model, torch.nn.Module) and model.training
        self.elements = elements
        self.inputs = request.parsed("inputs", request.inputs)
        self.outputs = request.parsed("outputs", request.outputs)
        if all(kind.is_invariant for kind in self.inputs.values()):
            declared = ", ".join(f"{name}: {kind.name}" for name, kind in self.inputs.items()) or "none declared"
            expected = "at least one input that rotates, such as {'positions': 'vector'}"
            fail(ArgumentError, "inputs", expected, declared)
        if not self.outputs:
            fail(ArgumentError, "outputs", "at least one output, such as {'energy': 'scalar'}", "none declared")
        self._meant = request.meant
        self._batching: Batching = request.batching or "loop"
        self._average = Averager(elements, batch or (1 if self._batching == "loop" else 32))
        self._told = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model returns for these arguments, averaged."""
        return self._run(args, kwargs)[0]

    def with_spread(self, *args: Any, **kwargs: Any) -> Averaged:
        """The same with the variance over the group beside it."""
        outputs, averages = self._run(args, kwargs)
        count = len(self.elements) if self.elements.sampled else None
        return Averaged(outputs, {name: variance for name, (_, variance) in averages.items()}, count)

    def extra_repr(self) -> str:
        kinds = (
            f"{name}: {kind.name}" if name else kind.name
            for name, kind in (*self.inputs.items(), *self.outputs.items())
        )
        return f"{self.elements}, {', '.join(kinds)}"

    def _run(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Any, dict[str, tuple[torch.Tensor, torch.Tensor]]]:
        call = Call(self.model, args, kwargs, self.inputs, self._meant, self._batching)
        training = any(part.training for part in self._parts())
        if training and not self._told:
            self._told = self._warn()
        evaluation = _Evaluation(self.model, call, self.outputs)
        parameters = evaluation.parameters
        averages = self._average(evaluation, [*call.tensors, *parameters], evaluation.closed, trial=not training)
        found = {
            name: (average.mean.to(dtype), average.variance.to(dtype))
            for (name, average), dtype in zip(averages.items(), evaluation.dtypes, strict=True)
        }
        return evaluation.filled({name: mean for name, (mean, _) in found.items()}), found

    def _parts(self) -> list[torch.nn.Module]:
        return list(self.model.modules()) if isinstance(self.model, torch.nn.Module) else []

    def _warn(self) -> bool:
        random = [
            name.partition(".")[2] or type(part).__name__
            for name, part in self.named_modules()
            if part.training and isinstance(part, RANDOM) and getattr(part, "p", 1.0)
        ]
        if random:
            warnings.warn(
                f"the symmetrised model is in train mode, in which {', '.join(random[:3])} "
                f"{'' if len(random) < 4 else f'and {len(random) - 3} more '}treat every rotated copy differently: the "
                "spread holds that too",
                stacklevel=4,
            )
        return bool(random)


class _Evaluation:
    """The model on rotated copies of the arguments of one call."""

    def __init__(self, model: Callable[..., Any], call: Call, kinds: Mapping[str, Representation]) -> None:
        self._model = model
        self._call = call
        self._kinds = kinds
        self._form: tuple[list[str], Any] | None = None
        self.dtypes: list[torch.dtype] = []
        """Of the outputs."""
        self.parameters: list[torch.Tensor] = []
        """Of the model, which is handed those that stand in for them."""
        self.closed: list[torch.Tensor] = []
        """Parameters that cannot be replaced, those of compiled modules."""
        self._names: list[str] = []
        self._mode = getattr(model, "training", None)
        if not isinstance(model, torch.nn.Module):
            return
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
            self.closed = [p for _, p in named]
        else:
            self._names, self.parameters = [name for name, _ in named], [p for _, p in named]

    def __call__(self, tensors: Sequence[torch.Tensor], rotations: torch.Tensor) -> list[Value]:
        own, parameters = tensors[: len(self._call.tensors)], tensors[len(self._call.tensors) :]
        returned = [self._named(self._called(*one, parameters)) for one in self._call.arguments(own, rotations)]
        self.dtypes = [returned[0][name].dtype for name in self._kinds]
        found = []
        for name, kind in self._kinds.items():
            values = self._call.copies_of(name or SINGLE, [leaves[name] for leaves in returned], len(rotations))
            self._check(name or SINGLE, kind, values)
            found.append(Value(name or SINGLE, kind, values))
        return found

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any], parameters: Sequence[torch.Tensor]) -> Any:
        if getattr(self._model, "training", None) != self._mode:
            expected = "the train or eval mode of the value in its gradient too, which evaluates the model again"
            raise ModelError(f"model: expected {expected}, got another")
        if all(a is b for a, b in zip(parameters, self.parameters, strict=True)):
            return self._model(*args, **kwargs)
        assert isinstance(self._model, torch.nn.Module)
        given = dict(zip(self._names, parameters, strict=True))
        return torch.func.functional_call(self._model, given, args, kwargs)

    def _named(self, returned: Any) -> dict[str, torch.Tensor]:
        """The declared outputs among what the model returned; its form is kept."""
        leaves, layout = opened(returned)
        check_distinct(ArgumentError, "outputs", (name for name, _ in leaves), self._kinds)
        every, names = dict(leaves), [name for name, _ in leaves]
        tensors = {name: leaf for name, leaf in every.items() if isinstance(leaf, torch.Tensor)}
        if len(self._kinds) == 1 and len(tensors) == 1 and ("" in tensors or "" in self._kinds):
            # one tensor is the one output, whatever either is called
            (own,), (name,) = self._kinds, tensors
            names, tensors = [own if n == name else n for n in names], {own: tensors[name]}
        missing = [name for name in self._kinds if name not in tensors]
        if missing:
            has = ", ".join(tensors) or "no tensor"
            fail(ArgumentError, "outputs", f"names that the model returns ({has})", explain_missing(missing, every))
        self._form = names, layout
        return {name: tensors[name] for name in self._kinds}

    def _check(self, name: str, kind: Representation, values: torch.Tensor) -> None:
        check_output(name, values)
        own = tuple(values.shape[1:])
        try:
            kind.check(own, f"outputs[{name!r}]")
        except ShapeError as error:
            raise ShapeError(f"{error} (the model returns {own} per copy{axis_hint(kind, own)})") from None

    def filled(self, outputs: Mapping[str, torch.Tensor]) -> Any:
        """`outputs` in the form of what the model returned."""
        if self._form is None:
            raise ModelError("model: expected a call, got none")
        names, layout = self._form
        own = dict(zip(self._kinds, outputs.values(), strict=True))
        return layout.rebuilt([own.get(name) for name in names])
