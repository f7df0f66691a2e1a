"""How an orbit is averaged: grids and random elements, the moments that they accumulate, and what is pooled of them."""

from . import estimators, quantities  # modules there register themselves
from .measure import ESTIMATORS, Elements, Judgement, Measure, Moments, Question, register
from .quantity import QUANTITIES, Quantity
from .stored import StoredMoments
from .summary import OrbitSummary

__all__ = [
    "ESTIMATORS",
    "QUANTITIES",
    "Elements",
    "Judgement",
    "Measure",
    "Moments",
    "OrbitSummary",
    "Quantity",
    "Question",
    "StoredMoments",
    "estimators",
    "quantities",
    "register",
]
