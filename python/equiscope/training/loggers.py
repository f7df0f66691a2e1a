"""Scalars to whatever a training run logs to, by the method that it has."""

from __future__ import annotations

from typing import Any

from ..errors import DTypeError, fail

WAYS = ("add_scalar", "log_metrics", "log_dict", "log")
"""Methods that are looked for, in this order: of TensorBoard's SummaryWriter, of loggers of Lightning, of others."""


def check(logger: Any) -> None:
    """Refuse what has none of the methods and cannot be called either."""
    if not callable(logger) and not any(callable(getattr(logger, way, None)) for way in WAYS):
        methods = ", ".join(WAYS)
        fail(DTypeError, "loggers", f"objects with one of the methods {methods}, or functions", type(logger).__name__)


def send(logger: Any, scalars: dict[str, float], step: int) -> None:
    """Hand over one point: ``add_scalar(name, value, step)`` for each number, or all of them at once.

    ``log_metrics(scalars, step)`` is told the step; ``log_dict(scalars)``, ``log(scalars)`` and a function find it
    among the scalars.
    """
    way = next((way for way in WAYS if callable(getattr(logger, way, None))), None)
    if way == "add_scalar":
        for name, value in scalars.items():
            logger.add_scalar(name, value, step)
    elif way == "log_metrics":
        logger.log_metrics(scalars, step)
    elif way is None:
        logger(scalars)
    else:
        getattr(logger, way)(scalars)
