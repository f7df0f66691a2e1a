"""Which sectors of its targets a model fails to produce, and where in the network they are lost."""

from .diagnosis import Diagnosis
from .entry import diagnose
from .fate import Fate, LayerReading
from .sector import SectorDiagnosis

__all__ = ["Diagnosis", "Fate", "LayerReading", "SectorDiagnosis", "diagnose"]
