"""e3nn modules say themselves how their outputs transform."""

from __future__ import annotations

import torch

from ..groups.representation import Representation


def declared_by_module(module: torch.nn.Module) -> Representation | None:
    """Representation of the output of an e3nn module, from its ``irreps_out``; None where there is none."""
    irreps = getattr(module, "irreps_out", None)
    if irreps is None or not type(irreps).__module__.startswith("e3nn."):
        return None
    return Representation.parse(str(irreps), basis="e3nn", layout="mul_ir") if irreps.dim else None
