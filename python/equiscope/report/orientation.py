"""An element of O(3) in words."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation


def describe(rotation: torch.Tensor | None) -> str:
    """``rotation by 120 deg about (0.58, 0.58, 0.58), then inversion``, ``mirror plane across (1.00, 0.00, 0.00)``;
    a dash for None."""
    if rotation is None:
        return "-"
    matrix = rotation.detach().cpu().to(torch.float64).numpy()
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return "-"
    inverted = np.linalg.det(matrix) < 0
    vector = Rotation.from_matrix(-matrix if inverted else matrix).as_rotvec()
    angle = float(np.linalg.norm(vector))
    tail = ", then inversion" if inverted else ""
    if angle < 1e-9:
        return "inversion" if inverted else "the identity"
    axis = ", ".join(f"{x + 0.0:.2f}" for x in vector / angle)
    if inverted and abs(angle - np.pi) < 1e-6:
        return f"mirror plane across ({axis})"
    return f"rotation by {np.degrees(angle):.0f} deg about ({axis}){tail}"
