"""Calls of a model without torch's compiler."""

from __future__ import annotations

import contextlib
import sys

import torch


def eager() -> contextlib.AbstractContextManager[object]:
    """Within it, whatever ``torch.compile`` made runs as it was written."""
    # the compiler takes a second to import, and without it nothing is compiled
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else contextlib.nullcontext()
