"""`wigner_D` and `spherical_harmonics` as `e3nn.o3` has them: its arguments, conventions, values and gradients."""

from ._o3 import spherical_harmonics, wigner_D

__all__ = ["spherical_harmonics", "wigner_D"]
