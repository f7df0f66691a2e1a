"""Groups, their irreps and grids, and the representations of O(3) that tensors are declared to carry.

No kernel and no operator: what a group is, not how fast it acts.
"""

from .group import Chart, Decomposition, ElementGrid, Grid, Group, Isotypic, Label
from .o3 import O3, SO3
from .so2 import O2, SO2

__all__ = ["O2", "O3", "SO2", "SO3", "Chart", "Decomposition", "ElementGrid", "Grid", "Group", "Isotypic", "Label"]
