"""What the model returned for one batch, on its way from the process that called it to the one that accumulates it: a
file, whose bytes are mapped where they are read."""

from __future__ import annotations

import contextlib
import os
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from ..errors import DataError, fail
from .evaluate import Captured, Outputs

ALIGNED = 64
"""Bytes in multiples of which tensors begin, as those do that torch allocates."""

Label = list[dict[str, Any]]
"""What lies where in the file, as JSON values."""


def send(path: Path, outputs: Outputs, captured: Captured) -> Label:
    """Write a batch of one piece to a new file; returns what `receive` needs to read it."""
    label: Label = []
    try:
        with open(path, "xb") as file:
            single = ((name, True, part) for name, (part,) in outputs.items())
            for name, is_output, tensor in chain(single, ((name, False, own) for name, own in captured.items())):
                file.write(b"\0" * (-file.tell() % ALIGNED))
                label.append(
                    {
                        "name": name,
                        "output": is_output,
                        "dtype": str(tensor.dtype).removeprefix("torch."),
                        "shape": list(tensor.shape),
                        "stride": list(tensor.stride()),
                        "device": tensor.device.type,
                        "start": file.tell(),
                    }
                )
                file.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    except OSError as error:
        expected = "room for batches on their way (all systems before are kept there, and resume=True goes on)"
        fail(DataError, "out", expected, f"{str(path.parent)!r} ({error.strerror})")
    return label


def receive(path: Path, label: Label, device: torch.device) -> tuple[Outputs, Captured]:
    """The tensors of a file, which is removed: as they were, those of a device of another kind than the CPU on
    `device`."""
    size = os.path.getsize(path)
    content = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8) if size else torch.empty(0)
    with contextlib.suppress(PermissionError):  # where what is mapped cannot be removed, it is at the end of the run
        os.unlink(path)
    outputs: Outputs = {}
    captured: Captured = {}
    for part in label:
        tensor = _tensor(content, part)
        if part["device"] != "cpu":
            tensor = tensor.to(device)
        if part["output"]:
            outputs[part["name"]] = [tensor]
        else:
            captured[part["name"]] = tensor
    return outputs, captured


def _tensor(content: torch.Tensor, part: dict[str, Any]) -> torch.Tensor:
    dtype, shape, stride = getattr(torch, part["dtype"]), part["shape"], part["stride"]
    count = torch.Size(shape).numel()
    bytes_ = content[part["start"] : part["start"] + count * dtype.itemsize]
    tensor = bytes_.view(dtype).view(shape) if count else torch.empty(shape, dtype=dtype)
    if list(tensor.stride()) == stride or 0 in stride:
        return tensor
    # sums go in the order of memory, and are to be the same bits
    return torch.empty_strided(shape, stride, dtype=dtype).copy_(tensor)
