"""Which outputs of a metatomic model are asked for, and what each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from metatensor.torch import TensorMap
from metatomic.torch import ModelOutput

from ...errors import ArgumentError, ModelError, fail
from ...groups.representation import Representation
from .blocks import Layout, representation_of

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

Offered = Mapping[str, ModelOutput]


def features_of(offered: Offered) -> list[str]:
    """The outputs that have no representation."""
    return [name for name in offered if name.startswith(FEATURE_PREFIXES)]


def asked_outputs(outputs: str | Sequence[str] | Mapping[str, Any] | None, offered: Offered) -> list[str]:
    """The names of the outputs that are asked for; None asks for all but the features."""
    if outputs is None:
        return [name for name in offered if not name.startswith(FEATURE_PREFIXES)]
    return _known("outputs", outputs, offered)


def asked_features(features: str | Sequence[str], offered: Offered, outputs: Sequence[str]) -> list[str]:
    """The names of the outputs that are asked for as layers; none of them is among `outputs`."""
    names = _known("features", features, offered)
    both = [name for name in names if name in outputs]
    if both:
        fail(ArgumentError, "features", "names that are not outputs as well", ", ".join(map(repr, both)))
    return names


def _known(argument: str, asked: str | Iterable[str], offered: Offered) -> list[str]:
    names = [asked] if isinstance(asked, str) else list(asked)
    unknown = [name for name in names if name not in offered]
    if unknown:
        has = f"names of outputs of the model ({', '.join(offered)})"
        fail(ArgumentError, argument, has, ", ".join(map(repr, unknown)))
    if len(set(names)) != len(names):
        fail(ArgumentError, argument, "every name once", ", ".join(names))
    return names


def requested(offered: Offered, names: Sequence[str], sample_kind: Mapping[str, str] | None) -> dict[str, ModelOutput]:
    """What the model is asked for: `names`, or all that it offers where there is none."""
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


@dataclass(frozen=True)
class Seen:
    """What the outputs of the first structure show."""

    outputs: dict[str, Representation] = field(default_factory=dict)
    layouts: dict[str, Layout] = field(default_factory=dict)
    """Of outputs and features."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Why an output that nobody chose is not audited."""


def look(
    structure: str,
    returned: Mapping[str, TensorMap],
    wanted: Sequence[str],
    features: Sequence[str],
    declared: Mapping[str, Representation],
    *,
    chosen: bool,
) -> Seen:
    """What each of `wanted` and `features` is, by the labels of `returned` for `structure` or as `declared`.

    An output that cannot be audited is an error where it was `chosen`, else left out.
    """
    seen = Seen()
    for name in features:
        seen.layouts[name] = Layout.of(name, returned[name]).without_representation()
    for name in wanted:
        try:
            kind = declared.get(name) or Representation.parse(representation_of(returned[name]))
            if not chosen and not all(bool(torch.isfinite(b.values).all()) for b in returned[name].blocks()):
                raise ValueError(f"not finite for structure {structure!r}")
            layout = Layout.of(name, returned[name])
        except (ValueError, ModelError) as error:
            if chosen and isinstance(error, ModelError):
                raise
            if chosen:
                expected = "labels that state a representation, or outputs={name: representation}"
                fail(ArgumentError, f"outputs[{name!r}]", expected, str(error))
            seen.left_out[name] = str(error)
            continue
        seen.outputs[name] = kind
        seen.layouts[name] = layout.declared(name, kind)
    return seen
