"""Whether a model that raised runs on copies that are handed over in another way: tried, never guessed."""

from __future__ import annotations

import torch

from .batching import Batching, Concat, Copies, Loop
from .calling import Call


def remedy(call: Call, batching: Batching, copies: Copies) -> str:
    """The way that is left, in a sentence; "" where the model runs on the first copy twice, or in no way at all."""
    leaves = [torch.cat([leaf[:1]] * 2) if isinstance(leaf, torch.Tensor) else leaf for leaf in copies.leaves]
    same = Copies(copies.system, leaves, 2)
    if _runs(call, batching, same):
        return ""
    found = next((words for other, words in _ways(same) if _runs(call, other, same)), "")
    return f"It runs on {found}" if found else ""


def _ways(copies: Copies) -> list[tuple[Batching, str]]:
    """What else a copy can be handed over as, and how that is asked for, the simplest first."""
    rows = "the rows of all copies one after the other, with `batch`: batching="
    ways: list[tuple[Batching, str]] = [(Loop(), "one system at a time, as it is in the data: batching='loop'")]
    likely = Concat.likely(copies.system)
    if likely:
        own = ", ".join(f"{name}={value!r}" for name, value in likely.items())
        ways.append((Concat(**likely), f"{rows}eq.Concat({own})"))
    return [*ways, (Concat(), f"{rows}'concat'")]


def _runs(call: Call, batching: Batching, copies: Copies) -> bool:
    attempt = call.unsettled()
    while True:
        try:
            for argument, extra in batching.arguments([copies], attempt.differentiable):
                attempt(argument, extra, batching.given)
            return True
        except Exception as error:  # whatever a foreign model raises
            if not attempt.records_more(error):
                return False
