"""Whether a model that raised at copies along a new first axis runs on them in another way: tried, never guessed."""

from __future__ import annotations

import torch

from .batching import Batching, Concat, Copies, Loop, Stack
from .calling import Call

WAYS: tuple[tuple[Batching, str], ...] = (
    (Loop(), "one system at a time, as it is in the data: batching='loop'"),
    (Concat(), "the rows of all copies one after the other, with `batch`: batching='concat'"),
)
"""What else a copy can be handed over as, and how that is asked for."""


def remedy(call: Call, copies: Copies) -> str:
    """The way that is left, in a sentence; "" where the model runs on the first copy twice, or in no way at all."""
    leaves = [torch.cat([leaf[:1]] * 2) if isinstance(leaf, torch.Tensor) else leaf for leaf in copies.leaves]
    same = Copies(copies.system, leaves, 2)
    if _runs(call, Stack(), same):
        return ""
    found = next((words for batching, words in WAYS if _runs(call, batching, same)), "")
    return f"It runs on {found}" if found else ""


def _runs(call: Call, batching: Batching, copies: Copies) -> bool:
    attempt = call.unsettled()
    try:
        for argument, extra in batching.arguments([copies], call.differentiable):
            attempt(argument, extra)
    except Exception:  # whatever a foreign model raises
        return False
    return True
