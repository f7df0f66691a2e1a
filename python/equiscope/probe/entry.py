"""What came of one system: its row of the report, and what it adds to the numbers of each output and layer."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from ..groups.representation import Representation
from ..result.data import Failure, SystemRow, Worst
from ..result.scene import Scene

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Kind:
    """What an output or layer is, in every system."""

    representation: Representation | None
    dtype: str
    channels: int


@dataclass(frozen=True)
class Share:
    """What one system gave of one output or layer."""

    kind: Kind
    sums: torch.Tensor
    """What it adds to the `measure.sums.Terms` of that representation."""
    random: bool
    jumps: bool
    responds: bool
    depends: bool
    worst: Worst | None
    kept: Tensors = field(default_factory=dict)
    """Arrays per sample, where they are kept."""
    scene: Scene | None = None
    """What the system looks like, where its error may be the largest of all."""


@dataclass(frozen=True)
class Entry:
    """One system that ended: with numbers, or with failures, or with both where some outputs or layers lack it."""

    place: int
    """In the order of the data."""
    row: SystemRow | None = None
    shares: dict[str, Share] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    degree: int | None = None
    """At which it was settled."""
    ran: tuple[int | None, ...] = ()
    """Degrees at which it was evaluated."""
    settled: bool = True
    """Whether its errors are as small as was asked."""
    assumed: bool = False
    """Whether they rest on an assumption."""


def encode(entry: Entry) -> dict[str, Any]:
    """As JSON values, from which `decode` makes the same bits; sums and arrays in base64."""
    body: dict[str, Any] = {"place": entry.place}
    if entry.row is not None:
        body["row"] = dataclasses.asdict(entry.row)
        body |= {"degree": entry.degree, "ran": entry.ran, "settled": entry.settled, "assumed": entry.assumed}
        body["shares"] = {name: _share(share) for name, share in entry.shares.items()}
    if entry.failures:
        body["failures"] = [_plain(dataclasses.asdict(failure)) for failure in entry.failures]
    return body


def decode(body: dict[str, Any]) -> Entry:
    """The inverse of `encode`."""
    row = body.get("row")
    failures = tuple(Failure(**_with_rotation(failure)) for failure in body.get("failures", ()))
    if row is None:
        return Entry(body["place"], failures=failures)
    return Entry(
        body["place"],
        SystemRow(**row),
        {name: _share_of(own) for name, own in body["shares"].items()},
        failures,
        degree=body["degree"],
        ran=tuple(body["ran"]),
        settled=body["settled"],
        assumed=body["assumed"],
    )


def _share(share: Share) -> dict[str, Any]:
    kind = share.kind.representation
    return {
        "kind": None if kind is None else {"name": kind.name, "basis": kind.basis, "layout": kind.layout},
        "dtype": share.kind.dtype,
        "channels": share.kind.channels,
        "sums": _text(share.sums.numpy().tobytes()),
        "random": share.random,
        "jumps": share.jumps,
        "responds": share.responds,
        "depends": share.depends,
        "worst": None if share.worst is None else _plain(dataclasses.asdict(share.worst)),
        **({"kept": _text(save(share.kept))} if share.kept else {}),
        **({"scene": _scene(share.scene)} if share.scene is not None else {}),
    }


def _share_of(body: dict[str, Any]) -> Share:
    own, worst = body["kind"], body["worst"]
    kind = None if own is None else Representation.parse(own["name"], basis=own["basis"], layout=own["layout"])
    return Share(
        Kind(kind, body["dtype"], body["channels"]),
        torch.from_numpy(np.frombuffer(bytearray(_bytes(body["sums"])))),
        body["random"],
        body.get("jumps", False),
        body["responds"],
        body["depends"],
        None if worst is None else Worst(**_with_rotation(worst)),
        load(_bytes(body["kept"])) if "kept" in body else {},
        _scene_of(body["scene"]) if "scene" in body else None,
    )


def _scene(scene: Scene) -> dict[str, Any]:
    tensors = {key: value for key, value in vars(scene).items() if isinstance(value, torch.Tensor)}
    told = {key: value for key, value in vars(scene).items() if key not in tensors}
    # safetensors refuses tensors that share memory
    own = {key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    return {**told, "tensors": _text(save(own))}


def _scene_of(body: dict[str, Any]) -> Scene:
    told = {key: value for key, value in body.items() if key != "tensors"}
    return Scene(**{**told, **load(_bytes(body["tensors"]))})


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value.tolist() if isinstance(value, torch.Tensor) else value for key, value in body.items()}


def _with_rotation(body: dict[str, Any]) -> dict[str, Any]:
    rotation = body["rotation"]
    return {**body, "rotation": None if rotation is None else torch.tensor(rotation, dtype=torch.float64)}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
