"""Wigner matrices of edges as fairchem's eSCN, EquiformerV2 and UMA take them: block-diagonal, to where an edge is +y.

``D @ features`` are features ``(E, (lmax+1)^2, channels)`` in the frame of each edge, in e3nn's basis.
"""

from ._edges import axis_angle_wigner_hybrid, rotation_to_wigner

__all__ = ["axis_angle_wigner_hybrid", "rotation_to_wigner"]
