"""An audit as a directory: numbers as JSON and safetensors, pictures as PNG, one page. Written whole or not
at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ..errors import DataError, EquiscopeError, fail
from ..report.html import to_html
from ..report.plots import KINDS, available, plot
from ..report.style import render
from .data import Audit
from .encode import decode_audit, encode_audit
from .place import check_writable, write_all

SCHEMA = 1
"""Version of the layout of audit.json; raised by every change that an older reader would misread."""

NUMBERS, ARRAYS, PAGE = "audit.json", "arrays.safetensors", "index.html"


def save(audit: Audit, directory: str | Path) -> Path:
    """The directory, into which the audit was written.

    ``audit.json`` (all scalars), ``arrays.safetensors`` (all tensors), ``layers.png``, ``spectra.png``,
    ``systems.png``, ``convergence.png`` (those that the audit has numbers for) and ``index.html``. Every file
    is made in memory first, then written under a temporary name and renamed, the numbers last: a reader sees
    the old file or the new one. Pictures of an earlier audit that this one does not have are removed. Raises
    `DataError` where the directory cannot be written, before anything is made.
    """
    path = check_writable(directory)
    body, tensors = encode_audit(audit)
    arrays = save_tensors(tensors)
    body = {
        "schema": SCHEMA,
        "arrays": {"file": ARRAYS, "sha256": hashlib.sha256(arrays).hexdigest()},
        **body,
    }
    contents: dict[str, bytes] = {ARRAYS: arrays}
    for kind in available(audit):
        contents[f"{kind}.png"] = render(plot(audit, kind), "png")
    contents[PAGE] = to_html(audit).encode("utf-8", "replace")
    contents[NUMBERS] = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
    write_all(path, contents)
    for kind in KINDS:
        if f"{kind}.png" not in contents:
            (path / f"{kind}.png").unlink(missing_ok=True)
    return path


def load(directory: str | Path) -> Audit:
    """The audit that `save` wrote into `directory`, equal in every number, dtype and shape.

    Raises `DataError` naming the file that is missing, truncated, altered or of another version.
    """
    path = Path(directory)
    if not path.is_dir():
        fail(DataError, "directory", "a directory written by Audit.save", repr(str(path)))
    body = _read_numbers(path / NUMBERS)
    arrays = _read(path / ARRAYS)
    expected = body["arrays"].get("sha256") if isinstance(body.get("arrays"), dict) else None
    if hashlib.sha256(arrays).hexdigest() != expected:
        fail(
            DataError,
            str(path / ARRAYS),
            f"the arrays that {NUMBERS} belongs to",
            "a truncated or altered file",
        )
    try:
        tensors: dict[str, torch.Tensor] = load_tensors(arrays)
    except (SafetensorError, ValueError, KeyError) as error:
        fail(DataError, str(path / ARRAYS), "a safetensors file", f"one that cannot be read ({error})")
    try:
        return decode_audit(body, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, EquiscopeError):
            raise
        fail(
            DataError,
            str(path / NUMBERS),
            f"an audit of schema {SCHEMA}",
            f"one that lacks or garbles {error}",
        )


def _read_numbers(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(_read(path).decode("utf-8", "surrogatepass"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        fail(DataError, str(path), "a JSON file", f"a truncated or corrupt one ({error})")
    if not isinstance(body, dict) or "schema" not in body:
        fail(DataError, str(path), "an audit written by Audit.save", "JSON without a schema version")
    if body["schema"] != SCHEMA:
        fail(
            DataError,
            str(path),
            f"schema {SCHEMA}",
            f"schema {body['schema']!r}: another version of equiscope wrote it",
        )
    return body


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fail(DataError, str(path), "a readable file", str(error.strerror))
