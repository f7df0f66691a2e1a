"""What a plain model is not given, and what it may not return: refused in words that say what to do instead."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..errors import ArgumentError, DataError, DTypeError, EquiscopeError, ModelError, ShapeError, annotate, fail, notes
from ..groups.cartesian import Cartesian
from ..groups.representation import Representation

if TYPE_CHECKING:
    from .base import System

SIZES = (3, 4, 6, 9)
"""Sizes of the axes that vectors, four-momenta, Voigt tensors and flat tensors have."""

INDEX_ROWS = 2
"""Rows of an index of edges, (2, edges), which is no list of vectors even where there are three edges."""


def check_system(where: str, item: Any, leaves: Iterable[Any]) -> None:
    """Refuse a system that holds no tensor or array."""
    found = list(leaves)
    if any(isinstance(leaf, torch.Tensor) or _is_array(leaf) for leaf in found):
        return
    expected = "a tensor or array, or a dict, tuple or object that holds some"
    kind = type(item).__name__
    kinds = sorted({type(leaf).__name__ for leaf in found if leaf is not item})
    fail(DataError, where, expected, f"{kind} of {', '.join(kinds)}" if kinds else kind)


def check_distinct(
    kind: type[EquiscopeError], argument: str, names: Iterable[str], asked: Collection[str] | None = None
) -> None:
    """Refuse names that stand for more than one value: any of them, or those that are `asked` for."""
    several = [name for name, n in Counter(names).items() if n > 1 and (asked is None or name in asked)]
    if several:
        expected = "names that stand for one value each (keys of nested containers are joined by dots)"
        fail(kind, argument, expected, f"{', '.join(map(repr, several))} for several")


def distinct(systems: Iterable[System]) -> Iterator[System]:
    """The same systems; one whose name came before is refused, since names tell systems apart in every number."""
    seen: set[str] = set()
    for system in systems:
        if system.name in seen:
            fail(DataError, "data", "names that differ", f"{system.name!r} twice")
        seen.add(system.name)
        yield system


def check_rotates(where: str, inputs: Mapping[str, Representation], leaves: Mapping[str, Any]) -> None:
    """Refuse an audit in which no input transforms: every model is invariant then, whatever it does."""
    if any(not kind.is_invariant for kind in inputs.values()):
        return
    shaped = [
        f"{key} {tuple(leaf.shape)}"
        for key, leaf in leaves.items()
        if isinstance(leaf, torch.Tensor) and key not in inputs and leaf.is_floating_point() and _may_rotate(leaf)
    ]
    declared = ", ".join(f"{name}: {kind.name}" for name, kind in inputs.items())
    raise ArgumentError(
        "inputs: expected at least one input that rotates, such as 'vector', got "
        f"{f'only invariant ones ({declared})' if declared else 'none declared'}: nothing would turn, and every output "
        "would be called exact"
        + (f"; of {where} these may hold vectors or tensors: {', '.join(shaped)}" if shaped else "")
    )


def may_hold_vectors(leaf: Any) -> bool:
    """Whether a leaf that is not declared could hold vectors in its last axis."""
    return isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.ndim > 0 and leaf.shape[-1] == 3


def _may_rotate(leaf: torch.Tensor) -> bool:
    return leaf.ndim > 0 and (leaf.shape[-1] in SIZES or 3 in leaf.shape)


def check_leaf(where: str, leaf: torch.Tensor, kind: Representation | None, *, meant: bool = False) -> None:
    """Refuse tensors that look like what rotates and cannot: complex, or whole numbers that are not `meant` as such."""
    if leaf.is_complex() and (kind is None or kind.name != "invariant"):
        what = "declared" if kind is not None else "undeclared"
        fail(
            DTypeError,
            where,
            "real numbers (give .real and .imag as inputs of their own, or declare it 'invariant')",
            f"{what}, {leaf.dtype}",
        )
    whole = not leaf.is_floating_point() and not leaf.is_complex()
    if kind is not None and not kind.is_invariant and whole:
        fail(DTypeError, where, "a floating-point tensor, because it is rotated", str(leaf.dtype))
    if kind is None and whole and not meant and leaf.dtype != torch.bool and leaf.ndim > 1 and leaf.shape[-1] == 3:
        if leaf.ndim == 2 and leaf.shape[0] == INDEX_ROWS:
            return
        fail(
            DTypeError,
            where,
            "a declaration: 'vector', as floating-point numbers, of coordinates, 'invariant' to leave it as it is",
            f"whole numbers ({leaf.dtype}) of shape {tuple(leaf.shape)} that may hold vectors",
        )


def check_finite(where: str, leaf: torch.Tensor, kind: Representation | None) -> None:
    """Refuse NaN, and infinity where it would be rotated: a mask of what is invariant may hold it."""
    still = kind is None or kind.is_invariant
    if leaf.is_floating_point() and bool((leaf.isnan() if still else ~leaf.isfinite()).any()):
        fail(DataError, where, "finite values", "NaN" if still else "NaN or infinity")


def check_axes(where: str, kind: Representation, shape: Sequence[int], *, meant: bool) -> None:
    """Refuse "tensor" and "vector" where the axes before the components may be components as well.

    `shape` is that of one copy; `meant` says that the declaration was made as a `Representation`, not as a word.
    """
    term, rest = kind.alone, kind.rest(shape)
    if meant or not rest or rest[-1] != 3 or not isinstance(term, Cartesian) or term.stored is not None:
        return
    if term.rank > 1:
        rank = next((i for i, size in enumerate(reversed(shape)) if size != 3), len(shape))
        fail(
            ShapeError,
            where,
            f"the last {term.rank} axes alone to turn for {kind.name!r} (a tensor of rank {rank} is "
            f'"tensor({rank})"); where axes of size 3 before them count samples or channels, say so by '
            f"eq.Representation.parse({kind.name!r})",
            f"{tuple(shape)}, which may be a tensor of rank {rank}",
        )
    if term.rank == 1 and len(rest) > 1:
        fail(
            ShapeError,
            where,
            f'components in the last axis for "{kind.name}" (in the last but one: '
            f'eq.Representation.parse("{kind.name}", axis=-2)); where the last axis holds them and three channels come '
            f'before it, say so by eq.Representation.parse("{kind.name}")',
            f"{tuple(shape)}, whose last two axes may both be that of the components",
        )


def axis_hint(kind: Representation, shape: Sequence[int]) -> str:
    """Where the components may lie instead, for the error that they are not where they are said to be."""
    places = [axis for axis, size in enumerate(shape) if kind.component_shape == (size,)]
    if len(places) != 1 or kind.partial:
        return ""
    axis = places[0] - len(shape)
    written = Representation.parse(kind, axis=-1).name
    return f"; if axis {places[0]} holds the components, say so by eq.Representation.parse({written!r}, axis={axis})"


def check_output(name: str, value: torch.Tensor) -> None:
    """Refuse outputs that are no real numbers."""
    if value.is_complex():
        raise ModelError(
            f"{name}: expected a floating-point output, got {value.dtype}; return its .real and .imag as two outputs"
        )
    if not value.is_floating_point():
        raise ModelError(f"{name}: expected a floating-point output, got {value.dtype}")


def explain_missing(missing: Sequence[str], leaves: Mapping[str, Any]) -> str:
    """What the model returns in place of the tensors that were asked for, and what it should."""
    tensors = [key for key, leaf in leaves.items() if isinstance(leaf, torch.Tensor)]
    if tensors:
        others = {name: leaves[name] for name in missing if name in leaves}
    else:
        others = dict(leaves)
    said = [f"{f'{name!r} is ' if name else ''}{_described(leaf)}" for name, leaf in others.items()]
    return ", ".join(map(repr, missing)) + (f" ({'; '.join(said)})" if said else "")


def _described(leaf: Any) -> str:
    kind = type(leaf).__name__
    if _is_array(leaf):
        return f"a NumPy {kind}: return torch.from_numpy of it"
    if leaf is None:
        return "None: return a tensor"
    if isinstance(leaf, float | int):
        return f"{'an' if kind == 'int' else 'a'} {kind}: return a floating-point number or tensor"
    if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
        return f"a {kind}, a dataclass: return a dict, such as vars(result)"
    return f"a {kind}: return tensors, or dicts and tuples of them"


def _is_array(leaf: Any) -> bool:
    return type(leaf).__module__ == "numpy" and hasattr(leaf, "dtype") and getattr(leaf, "ndim", 0) > 0


def same_value(x: Any, y: Any) -> bool:
    """Whether two constants that are no tensors are the same, whatever they mean by ==."""
    try:
        return type(x) is type(y) and bool(x == y)
    except (TypeError, ValueError, RuntimeError):
        return x is y


def explain(error: Exception, argument: Any, *, forbidden: bool, way: str, given: str) -> None:
    """Add to the error of a model what it was given; raise it in this package's words where the cause is ours.

    `forbidden` says that gradients were not recorded because the user did not want it, `way` how the model was called,
    where that had to be decided, `given` what of the copies it was called with.
    """
    if forbidden and "does not require grad" in str(error):
        raise ModelError(
            f"model: expected a model that turns gradients on for what it differentiates, got {str(error)[:120]!r}: "
            "with grad=False it runs under torch.no_grad(). Leave `grad` out, or put `with torch.enable_grad():` round "
            "the differentiation in the model"
        ) from error
    if not notes(error):
        values = argument.items() if isinstance(argument, Mapping) else enumerate(_listed(argument))
        shapes = ", ".join(f"{key} {tuple(v.shape)}" for key, v in values if isinstance(v, torch.Tensor))
        if shapes:
            annotate(
                error,
                f"equiscope called the model{f' as {way}' if way else ''} with {shapes}, {given}: "
                "systems come without a batch axis of their own",
            )


def _listed(argument: Any) -> Sequence[Any]:
    return argument if isinstance(argument, tuple | list) else (argument,)
