"""Why copies of a batch may see each other, in words."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..adapters.base import Adapter, System
from ..errors import CrossTalkError
from .noise import Noise

SEARCHED = 2048
"""Rows among which one that went astray is looked for."""


def refusal(
    adapter: Adapter,
    system: System,
    name: str,
    before: torch.Tensor,
    after: torch.Tensor,
    every: torch.Tensor,
    noise: Noise,
) -> str:
    """The message for an output that is not the same `before` and `after`, in two batches, of values ``(copies,
    samples, channels, components)``; `every` holds all copies of the first batch."""
    away = float((before.double() - after.double()).abs().max())
    told = (
        f"outputs[{name!r}]: expected of each copy the value that it has in any other batch, got values of system "
        f"{system.name!r} that differ by {away:.3g} (round-off: {noise.floor:.3g})"
    )
    if before.shape[1] > 1 and _astray(after, every, away):
        return (
            f"{told}: its rows come back in another order than the copies. The first axis must run over the copies, or "
            "over all rows of the first copy, then those of the second"
        )
    return f"{told}: copies of a batch see each other. {adapter.suspicion(system)}"


def cannot_mix(systems: Sequence[System], error: Exception) -> CrossTalkError:
    """The error for `systems` that can be evaluated one by one, and whose copies in one batch made the model raise."""
    names = " and ".join(repr(name) for name in dict.fromkeys(system.name for system in systems))
    return CrossTalkError(
        f"model: expected systems that can share a batch, got {type(error).__name__}: {error} from copies of {names} "
        "together, each of which can be evaluated alone: batching='loop' evaluates one copy per call"
    )


def _astray(after: torch.Tensor, every: torch.Tensor, away: float) -> bool:
    """Whether each row of the second batch is somewhere among those of the first."""
    one, other = after.double().flatten(2).flatten(0, 1), every.double().flatten(2).flatten(0, 1)
    if len(other) > SEARCHED:
        return False
    nearest = torch.cdist(one, other).amin(1)
    return bool((nearest <= 1e-3 * away).all())
