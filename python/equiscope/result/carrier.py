"""Which layer is the first to carry the irrep in which the error of an invariant output lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..groups.group import Label
from .data import AuditData, Output, Spectrum
from .floor import content, seen_above
from .verdict import actual_irrep, error_sectors, targets, uncertain

MOST = 0.5
"""Share of the squared error from which an irrep holds most of it."""


@dataclass(frozen=True)
class Carrier:
    """A layer, and what of the error of an output it may be the origin of."""

    layer: str
    irrep: Label
    share: float
    """Of the squared error of the output that lies in `irrep`, from 0 to 1."""
    earlier: str | None
    """The first layer before it that carries anything but invariants, whose products may have made `irrep`."""


def carrier(audit: AuditData, output: Output) -> Carrier | None:
    """The first layer, in order of calls, with power above noise and its own error in the irrep that holds most of the
    error of `output`.

    None of an output that is no invariant, or whose error is spread over irreps, is not above its own error, or is that
    of another irrep declared invariant; None too where random elements scatter, where no layer carries the irrep, and
    where the first layer has power above its lmax, as those of unconstrained networks do: it carries all irreps. A
    layer that keeps what it declares carries what it should, and is passed over; one that breaks it tells more than
    any irrep, and there is no carrier then.
    """
    layers = list(audit.layers.values())
    if audit.sampled or not layers or not output.verdict.is_broken or uncertain(output) or seen_above(layers[0]):
        return None
    if targets(output) != {output.chart.labels[0]} or actual_irrep(output) not in (None, *targets(output)):
        return None
    if any(layer.verdict.is_broken and not uncertain(layer) for layer in audit.declared_layers.values()):
        return None
    irrep, share = next(iter(error_sectors(output).items()), (None, 0.0))
    if irrep is None or share < MOST:
        return None
    varying = [layer for layer in _open(layers) if content(layer) - targets(output)]
    found = next((layer.name for layer in varying if irrep in content(layer)), None)
    if found is None:
        return None
    return Carrier(found, irrep, share, None if varying[0].name == found else varying[0].name)


def _open(layers: Iterable[Spectrum]) -> Iterable[Spectrum]:
    """The layers that are not known to be as they should."""
    return (layer for layer in layers if not (isinstance(layer, Output) and layer.verdict.is_kept))
