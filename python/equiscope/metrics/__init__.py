"""Metrics of symmetry as `torchmetrics.Metric` with float64 sum states. They know no model."""

from .equivariance import EquivarianceError
from .orbit import OrbitMoments, OrbitSummary
from .spectrum import CharacterSpectrum

__all__ = ["CharacterSpectrum", "EquivarianceError", "OrbitMoments", "OrbitSummary"]
