"""Functions with the names, arguments and results of other libraries: `dropin.e3nn` and `dropin.fairchem`.

They stand on the kernels here; neither library is imported.
"""

from __future__ import annotations

from . import e3nn, fairchem

__all__ = ["e3nn", "fairchem"]
