"""How unconstrained models learn their symmetry: runs, results, figures and the account. Not part of the wheel."""
