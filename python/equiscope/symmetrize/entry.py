"""The one entry: which average a model gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from os import PathLike
from typing import Any

from ..adapters.archive import check_archive
from ..adapters.base import Request
from ..adapters.calculators import is_calculator
from ..adapters.metatomic_models import is_metatomic
from ..errors import ArgumentError, fail
from ..groups.group import Group
from .call import BATCHINGS
from .elements import Elements
from .module import SymmetrizedModule


def symmetrize(
    model: Any,
    *,
    inputs: Mapping[str, Any] | str | None = None,
    outputs: Mapping[str, Any] | Sequence[str] | str | None = None,
    degree: int | None = None,
    rotations: int | None = None,
    seed: int | None = 0,
    group: str | Group = "O3",
    batching: Any = None,
    batch: int | None = None,
    basis: str | None = None,
    layout: str = "mul_ir",
) -> Any:
    """`model` averaged over a group: Pi(x) = sum_g w_g rho(g)^-1 f(g x), with its spread beside it.

    The elements g and weights w are chosen once, when the average is made: a grid that is exact to a degree, or random
    elements. An averaged energy is a smooth function of positions therefore, and averaged forces are its derivative.

    What comes back depends on the model:

    - a `torch.nn.Module` or another callable on tensors: a `SymmetrizedModule`, called as the model is;
    - a metatomic model, or the path of one: a `SymmetrizedAtomistic`, called on systems, which returns a
      `TensorMap` each;
    - an ASE calculator: a `SymmetrizedCalculator`, a calculator.

    The first two have ``with_spread(...)``, which returns an `Averaged`: outputs, variance A, spread sqrt(A), error.
    Their gradients, of any order, evaluate the model again a batch at a time, so that memory does not grow with the
    number of elements (`test_memory_of_a_gradient_does_not_grow_with_the_elements`).

    Args:
        model: see above. It is called in the mode in which it is, which the average takes over: in train mode the
            spread holds its dropout.
        inputs: of a callable: representation per input name, as for `equiscope.audit`, or the one of the only input.
            Names are those of the parameters, with dots for what lies in containers, or those of the parts of the only
            argument: what turns is declared, and everything else is invariant. At least one must turn. None for other
            models, which know it.
        outputs: of a callable: representation per name, or the one of the only output; what is not declared is None in
            the result. Of other models: names, or a dict where the representation must be said; None: all that have
            one.
        degree: of the grid, 0..131; 6 where nothing is asked. What the model breaks by content of degree l is gone from
            an output of degree lambda for l + lambda <= degree; what is beyond is averaged as well as random elements
            would do, or better.
        rotations: so many independent random elements in place of a grid: the average then has a standard error.
        seed: of the random pair that turns the grid, so that its points lie askew to the axes of the data, or of the
            random elements; None: the bare grid.
        group: "O3", "SO3" or a `Group`, with one axis for every call where it has one.
        batching: of a callable, how copies are handed over: "loop" (the default) calls the model once per copy, with
            arguments of the shape of the user's; "stack" adds a leading axis of copies; "concat" joins copies along the
            first axis of every tensor, for models with a batch axis; a function makes one argument of a list of
            arguments. The first call makes sure that copies of a batch do not see each other.
        batch: copies per call of the model, by default 32, and 1 for "loop", where it counts the copies whose
            activations are kept at a time.
        basis, layout: of Irreps strings; those with l >= 1 need a basis.

    Raises:
        ArgumentError, DTypeError, ShapeError: arguments that do not fit the model or each other; nothing that turns.
        ModelError: of a call: outputs that are missing, not finite or no real numbers, copies that see each other.
        MissingExtraError: a model whose library is not installed.

    >>> import torch
    >>> average = symmetrize(lambda x: x.norm() + x[0], inputs="vector", outputs="scalar", degree=4)
    >>> round(float(average(torch.tensor([0.0, 3.0, 4.0]))), 4)
    5.0
    """
    elements = Elements.asked(group, degree, rotations, seed)
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, Integral) or int(batch) < 1):
        fail(ArgumentError, "batch", "a positive integer or None", repr(batch))
    request = Request(inputs=inputs, outputs=outputs, batching=batching, basis=basis, layout=layout)
    if is_calculator(model):
        _check_none("an ASE calculator knows its own inputs", inputs=inputs, batching=batching, batch=batch)
        from .calculator import SymmetrizedCalculator

        return SymmetrizedCalculator(model, elements, request)
    if is_metatomic(model):
        _check_none("a metatomic model knows its own inputs", inputs=inputs, batching=batching)
        if isinstance(model, str | PathLike):
            check_archive(model)
        # first, because it says what to install where that is missing
        from ..adapters.metatomic.loading import LoadedModel
        from .atomistic import SymmetrizedAtomistic

        return SymmetrizedAtomistic(LoadedModel.of(model, None), elements, request, batch)
    if not callable(model):
        expected = "a torch.nn.Module or another callable on tensors, a metatomic model or an ASE calculator"
        fail(ArgumentError, "model", expected, type(model).__name__)
    named = isinstance(batching, str) and batching in BATCHINGS
    if batching is not None and not named and not callable(batching):
        fail(ArgumentError, "batching", f"one of {', '.join(BATCHINGS)} or a callable", repr(batching))
    return SymmetrizedModule(model, elements, request, batch)


def _check_none(why: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            fail(ArgumentError, name, f"nothing: {why}", repr(value))
