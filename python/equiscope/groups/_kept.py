"""Tensors that outlive the call that made them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def kept(make: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The function with inference mode off: tensors made in it could never enter a derivative later."""

    @functools.wraps(make)
    def made(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        import torch  # at first use: what a group is can be read without it

        with torch.inference_mode(False):
            return make(*arguments, **keywords)

    return made
