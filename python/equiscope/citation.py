"""What to cite, as BibTeX; known without torch."""

from __future__ import annotations

from .version import VERSION

SOURCES = """\
% this software
@software{equiscope,
  title   = {{equiscope}: symmetry audit of {3-D} machine-learning models, and fast {O(3)} kernels for torch},
  author  = {{The equiscope developers}},
  version = {@version@},
  year    = {2026},
  license = {BSD-3-Clause},
  url     = {https://github.com/equiscope/equiscope}
}

% the quantities: equivariance variance and character projections
@misc{domina2026unconstrained,
  title         = {How unconstrained machine-learning models learn physical symmetries},
  author        = {Domina, M. and Abbott, J. W. and Pegolo, P. and Bigi, F. and Ceriotti, M.},
  year          = {2026},
  eprint        = {2603.24638},
  archiveprefix = {arXiv},
  url           = {https://arxiv.org/abs/2603.24638}
}

% the grids of rotations: quadrature on the sphere
@article{lebedev1999quadrature,
  title   = {A quadrature formula for the sphere of the 131st algebraic order of accuracy},
  author  = {Lebedev, V. I. and Laikov, D. N.},
  journal = {Doklady Mathematics},
  volume  = {59},
  number  = {3},
  pages   = {477--481},
  year    = {1999}
}
"""


def bibtex() -> str:
    """Entries for this version of the software, for the paper that defines its quantities, and for its grids."""
    return SOURCES.replace("@version@", VERSION)
