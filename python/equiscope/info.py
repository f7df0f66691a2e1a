"""What this installation can do: versions, devices, instruction set, threads."""

from __future__ import annotations

import platform
from typing import Any

import torch

from .ops import backend
from .version import version_of

_PACKAGES = ("equiscope", "torch", "numpy", "scipy", "torchmetrics", "metatomic-torch", "vesin", "ase", "e3nn")


def info() -> dict[str, Any]:
    """Versions, devices and compiled paths as JSON values.

    ``isa`` is the instruction set in use (environment variable EQUISCOPE_ISA forces one), ``cuda`` says whether CUDA
    kernels are active and, if not, why.
    """
    native = backend()
    if not torch.cuda.is_available():
        cuda = "no: torch sees no CUDA device"
    elif not native["cuda"]:
        cuda = "no: this build has no CUDA kernels; CUDA tensors take the reference path in plain torch"
    else:
        cuda = f"yes: {torch.cuda.get_device_name()}"
    built = {key: native[key] for key in ("toolkit", "architectures") if key in native}
    return {
        "versions": {name: found for name in _PACKAGES if (found := version_of(name)) is not None},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "isa": native["isa"],
        "isas": list(native["isas"]),
        "compiler": native["compiler"],
        "cuda": cuda,
        **{f"cuda_{key}": value for key, value in built.items()},
        "threads": torch.get_num_threads(),
        "devices": ["cpu"] + [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }
