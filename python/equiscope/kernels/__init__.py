"""The kernels: a `Backend` for each type of device. Nothing else imports the compiled module or takes addresses."""

from __future__ import annotations

from ..groups.irreps import matrix_count as packed_size
from .backend import Backend, RotationFaults
from .registry import register, using

__all__ = ["Backend", "RotationFaults", "packed_size", "register", "using"]
