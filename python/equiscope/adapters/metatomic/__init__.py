"""metatomic `AtomisticModel`s on atomistic structures. Importing this needs metatomic-torch and vesin."""

import warnings

from ...errors import MissingExtraError

try:
    with warnings.catch_warnings():
        # metatensor compiles TorchScript when it is imported, which torch calls deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        from .adapter import MetatomicAdapter
except ImportError as error:
    raise MissingExtraError(
        f"model: expected installed metatomic-torch and vesin for a metatomic model, got '{error}'; "
        "pip install metatomic-torch vesin ase"
    ) from error

__all__ = ["MetatomicAdapter"]
