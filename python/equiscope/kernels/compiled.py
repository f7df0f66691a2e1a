"""What the backends of the compiled module share: its functions have one signature, whatever the place."""

from __future__ import annotations

from abc import abstractmethod

import torch

from .. import _C
from ..groups.irreps import matrix_count
from ..groups.representation import Representation
from .backend import Backend
from .buffer import Device, source, target
from .module import checked_blocks


class CompiledBackend(Backend):
    """The kernels of the compiled module at a place; those that find no way there are products of D."""

    @abstractmethod
    def _place(self, x: torch.Tensor, lmax: int, rep: Representation | None = None) -> int | Device:
        """Where work on x is done, with what it needs there for all l <= lmax, and for `rep`."""

    def wigner_D(self, rotations: torch.Tensor, lmax: int) -> torch.Tensor:
        out = self.empty(rotations, rotations.shape[0] * matrix_count(lmax))
        _C.wigner_D(source(rotations), lmax, target(out), self._place(out, lmax))
        return out

    def wigner_D_torque(self, rotations: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
        out = rotations.new_empty(rotations.shape[0], 3)
        done = _C.wigner_D_torque(source(rotations), source(grad), lmax, target(out), self._place(out, lmax))
        return out if done else super().wigner_D_torque(rotations, grad, lmax)

    def spherical_harmonics(self, xyz: torch.Tensor, lmax: int) -> torch.Tensor:
        out = self.empty(xyz, xyz.shape[0], (lmax + 1) ** 2)
        _C.spherical_harmonics(source(xyz), lmax, target(out), self._place(out, lmax))
        return out

    def spherical_harmonics_torque(self, xyz: torch.Tensor, grad: torch.Tensor, lmax: int) -> torch.Tensor:
        out = xyz.new_empty(xyz.shape[0], 3)
        done = _C.spherical_harmonics_torque(source(xyz), source(grad), lmax, target(out), self._place(out, lmax))
        return out if done else super().spherical_harmonics_torque(xyz, grad, lmax)

    def rotate(self, x: torch.Tensor, rotations: torch.Tensor, rep: Representation, inverse: bool) -> torch.Tensor:
        _, rows, dim = x.shape
        out, own = self.empty(x, rotations.shape[0], rows, dim), checked_blocks(rep)
        done = _C.rotate(source(x), source(rotations), rows, own, inverse, target(out), self._place(out, own.lmax, rep))
        return out if done else super().rotate(x, rotations, rep, inverse)
