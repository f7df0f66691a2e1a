"""The tracker as a callback of Lightning, whose classes are looked for when one is asked for."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError

if TYPE_CHECKING:
    from .tracker import SymmetryTracker

PACKAGES = ("lightning.pytorch", "pytorch_lightning")
"""Names under which it is installed; a callback of either serves a Trainer of either."""


def callback(tracker: SymmetryTracker, model: Any = None) -> Any:
    """A callback that calls `step` before training and after every batch, and `finish` at the end.

    The number of a step is the trainer's ``global_step``, that of steps of the optimiser. Scalars also go to the
    loggers of the trainer. `model` is the name of an attribute of the LightningModule, a function of it, or None.
    """

    class SymmetryCallback(_base()):  # type: ignore[misc]
        """Audits what is trained, by a `SymmetryTracker`."""

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            tracker.loggers += [logger for logger in trainer.loggers if logger not in tracker.loggers]
            tracker.step(_part(pl_module, model), trainer.global_step)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
            tracker.step(_part(pl_module, model), trainer.global_step)

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            tracker.finish(_part(pl_module, model), trainer.global_step)

    return SymmetryCallback()


def _base() -> type:
    """The class of callbacks of the Lightning that is in use, or installed."""
    loaded = [name for name in PACKAGES if name in sys.modules]
    for name in (*loaded, *PACKAGES):
        try:
            found: type = importlib.import_module(name).Callback
        except ImportError:
            continue
        return found
    raise MissingExtraError(
        "callback: expected Lightning to be installed (pip install lightning), got neither of its names"
    )


def _part(module: Any, model: Any) -> Any:
    if model is None:
        return module
    return model(module) if callable(model) else getattr(module, model)
