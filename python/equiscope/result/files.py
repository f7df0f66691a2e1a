"""The numbers of an audit as files: JSON and safetensors, written whole or not at all, and believed only when whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ..errors import DataError, DTypeError, EquiscopeError, fail
from .data import AuditData, SystemRow
from .encode import Kind, decode_audit, encode_audit
from .place import write_all
from .rows import FEW, Rows, encoded, opened

SCHEMA = 3
"""Version of the layout of audit.json; raised by every change that an older reader would misread."""

NUMBERS = "audit.json"

_ARRAYS = re.compile(r"arrays-[0-9a-f]{16}\.safetensors")
"""Named by their content: arrays of two audits never stand under one name."""

_ROWS = re.compile(r"systems-[0-9a-f]{16}\.jsonl")
"""Likewise the rows of systems, where there are more than `rows.FEW`; fewer stand in ``audit.json``."""

Reader = Callable[[Path], "dict[str, Any] | None"]
"""The fields of the audit of what finished in a directory that holds no ``audit.json``; None where there is nothing."""

READERS: list[Reader] = []
"""Registered by those who write such directories."""

CHECKSUM = "sha256"
"""Key of the `checksum` of what stands beside it."""


@dataclass(frozen=True)
class Numbers:
    """All numbers of an audit, as the bytes of two files."""

    arrays: bytes
    scalars: bytes
    """Of ``audit.json``; it names the other files."""
    rows: Sequence[SystemRow] = ()
    """Of the systems, where they have a file of their own."""
    rows_name: str | None = None

    @property
    def arrays_name(self) -> str:
        return f"arrays-{_digest(self.arrays)[:16]}.safetensors"


def pack(audit: AuditData) -> Numbers:
    """`audit` as bytes, the same each time."""
    several = len(audit.systems) > FEW
    body, tensors = encode_audit(dataclasses.replace(audit, systems=[]) if several else audit)
    numbers = Numbers(save_tensors(tensors), b"")
    if several:
        sha256 = _rows_digest(audit.systems)
        numbers = replace(numbers, rows=audit.systems, rows_name=f"systems-{sha256[:16]}.jsonl")
        body["systems"] = {"file": numbers.rows_name, "sha256": sha256}
    body = {"schema": SCHEMA, "arrays": {"file": numbers.arrays_name, "sha256": _digest(numbers.arrays)}, **body}
    signed = {CHECKSUM: checksum(body), **body}
    return replace(numbers, scalars=_laid_out(signed).encode("utf-8", "surrogatepass"))


def _rows_digest(rows: Sequence[SystemRow]) -> str:
    if isinstance(rows, Rows):
        return rows.sha256
    digest = hashlib.sha256()
    for piece in encoded(rows):
        digest.update(piece)
    return digest.hexdigest()


def _laid_out(body: Mapping[str, Any]) -> str:
    """JSON with a line for each entry of `body` and of what it holds; json indents five times as slowly."""
    return "{\n" + ",\n".join(f"{_json(key)}: {_entries(value)}" for key, value in body.items()) + "\n}\n"


def _entries(value: Any) -> str:
    if isinstance(value, dict) and value:
        return "{\n " + ",\n ".join(f"{_json(str(key))}: {_json(own)}" for key, own in value.items()) + "\n}"
    if isinstance(value, list) and value:
        return "[\n " + ",\n ".join(map(_json, value)) + "\n]"
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write(directory: Path, numbers: Numbers, views: Mapping[str, bytes], retired: Collection[str]) -> None:
    """`numbers` and the files of `views` in `directory`, in place of an earlier audit.

    ``audit.json`` decides which audit a directory holds. It is renamed into place when the arrays that it names are
    there, and the files that no ``audit.json`` names go last: whenever the writer dies, the earlier audit or the new
    one can be read. The files of `retired` that are not written are removed.
    """
    rows = {numbers.rows_name: encoded(numbers.rows)} if numbers.rows_name is not None else {}
    contents: dict[str, bytes | Iterable[bytes]] = {numbers.arrays_name: numbers.arrays, **rows}
    contents |= {NUMBERS: numbers.scalars, **views}
    named = (_ARRAYS, _ROWS)
    write_all(directory, contents, stale=lambda name: name in retired or any(own.fullmatch(name) for own in named))


def load(kind: type[Kind], directory: str | Path) -> Kind:
    """The audit in `directory`, equal in every number, dtype and shape; of a run that was stopped, that of the systems
    that had ended.

    Raises `DataError` naming the file that is missing, truncated, altered or of another version.
    """
    if not isinstance(directory, str | PathLike):
        fail(DTypeError, "directory", "the path of a directory", repr(directory))
    path = Path(directory)
    try:
        there = path.is_dir()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if not there:
        fail(DataError, "directory", "a directory written by Audit.save", f"{str(path)!r:.200}")
    if not (path / NUMBERS).exists():
        for reader in READERS:
            if (found := reader(path)) is not None:
                return kind(**found)
    body, name, arrays = _read_both(path)
    try:
        tensors = load_tensors(arrays)
    except (SafetensorError, ValueError, KeyError) as error:
        fail(DataError, str(path / name), "a safetensors file", f"one that cannot be read ({error})")
    rows = _rows_of(path, body)
    try:
        audit = decode_audit(kind, body if rows is None else {**body, "systems": []}, tensors)
        return audit if rows is None else dataclasses.replace(audit, systems=rows)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, EquiscopeError):
            raise
        fail(DataError, str(path / NUMBERS), f"an audit of schema {SCHEMA}", f"one that lacks or garbles {error}")


def _rows_of(path: Path, body: dict[str, Any]) -> Rows | None:
    """The rows of systems that have a file of their own; None where they stand in ``audit.json``."""
    told = body.get("systems")
    if not isinstance(told, dict):
        return None
    name = str(told.get("file"))
    if not _ROWS.fullmatch(name):
        fail(DataError, str(path / NUMBERS), "the name of the file of rows", repr(told))
    try:
        rows = opened(path / name)
    except OSError as error:
        fail(DataError, str(path / name), f"the rows that {NUMBERS} belongs to", str(error.strerror))
    if rows.sha256 != told.get("sha256"):
        fail(DataError, str(path / name), f"the rows that {NUMBERS} belongs to", "a truncated or altered file")
    return rows


def checksum(body: Mapping[str, Any]) -> str:
    """Of all that `body` says, however it is laid out in the file."""
    said = {key: value for key, value in body.items() if key != CHECKSUM}
    return _digest(json.dumps(said, separators=(",", ":"), allow_nan=False).encode("ascii"))


def _read_both(path: Path) -> tuple[dict[str, Any], str, bytes]:
    """The scalars, and name and content of the arrays they belong to; read again where another audit came between."""
    found = _read(path / NUMBERS)
    while True:
        body = _parsed(path / NUMBERS, found)
        name, expected = _arrays_of(path / NUMBERS, body)
        try:
            arrays, got = (path / name).read_bytes(), "a truncated or altered file"
        except OSError as error:
            arrays, got = b"", str(error.strerror)
        if _digest(arrays) == expected:
            return body, name, arrays
        again = _read(path / NUMBERS)
        if again == found:
            fail(DataError, str(path / name), f"the arrays that {NUMBERS} belongs to", got)
        found = again


def _arrays_of(path: Path, body: dict[str, Any]) -> tuple[str, str]:
    arrays = body.get("arrays")
    if not isinstance(arrays, dict) or not _ARRAYS.fullmatch(str(arrays.get("file"))):
        fail(DataError, str(path), "the name of the file of arrays", repr(arrays))
    return str(arrays["file"]), str(arrays.get("sha256"))


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content.decode("utf-8", "surrogatepass"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        fail(DataError, str(path), "a JSON file", f"a truncated or corrupt one ({error})")
    if not isinstance(body, dict) or "schema" not in body:
        fail(DataError, str(path), "an audit written by Audit.save", "JSON without a schema version")
    if body["schema"] != SCHEMA:
        got = f"schema {body['schema']!r}: another version of equiscope wrote it"
        fail(DataError, str(path), f"schema {SCHEMA}", got)
    try:
        whole = checksum(body) == body.get(CHECKSUM)
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        fail(DataError, str(path), "the numbers that were written", "an altered file: its checksum differs")
    return body


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fail(DataError, str(path), "a readable file", str(error.strerror))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
