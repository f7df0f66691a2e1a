"""What is saved is what is loaded, and nothing else is believed."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from markupsafe import Markup
from report_builder import hostile, realistic, with_samples

from equiscope.errors import DataError, EquiscopeError
from equiscope.report import Audit, check_writable, load, save
from equiscope.result.files import checksum


def same(a: Any, b: Any) -> bool:
    """Equal in every bit, dtype, shape and key order; NaN equals NaN."""
    if isinstance(a, torch.Tensor):
        return (
            isinstance(b, torch.Tensor)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and torch.equal(torch.nan_to_num(a.double(), nan=7e77), torch.nan_to_num(b.double(), nan=7e77))
        )
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b


def small() -> Audit:
    """Every kind of picture, and few of each."""
    audit = realistic(3, 1)
    audit.outputs = {"energy": audit.outputs["energy"]}
    return audit


def arrays_of(directory: Path) -> str:
    """Name of the one file of arrays."""
    (name,) = (path.name for path in directory.glob("arrays-*.safetensors"))
    return name


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank pictures, for tests of everything else about the files."""
    monkeypatch.setattr("equiscope.report.files.render", lambda figure, kind: b"\x89PNG")
    monkeypatch.setattr("equiscope.report.html.svg", lambda audit, kind: Markup("<svg></svg>"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(with_samples(), tmp_path_factory.mktemp("audit"))


@pytest.mark.parametrize("build", [small, with_samples, hostile], ids=lambda build: build.__name__)
def test_load_gives_back_every_number(build: Any, no_pictures: None, tmp_path: Path) -> None:
    audit = build()
    directory = audit.save(tmp_path / "new" / "audit")
    assert directory == tmp_path / "new" / "audit"
    assert same(Audit.load(directory), audit)


def test_an_empty_audit_round_trips(tmp_path: Path) -> None:
    audit = Audit({}, {}, [])
    assert same(load(save(audit, tmp_path)), audit)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        arrays_of(tmp_path),
        "audit.json",
        "index.html",
    ]


def test_all_files_are_there_and_no_temporary_one(tmp_path: Path) -> None:
    save(small(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        arrays_of(tmp_path),
        "audit.json",
        "convergence.png",
        "index.html",
        "layers.png",
        "spectra.png",
        "systems.png",
    ]
    for picture in tmp_path.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5000


def test_saving_twice_gives_the_same_numbers_and_drops_stale_pictures(no_pictures: None, tmp_path: Path) -> None:
    audit = small()
    save(audit, tmp_path)
    first = (tmp_path / "audit.json").read_bytes()
    audit.convergence = []
    save(small(), tmp_path)
    assert (tmp_path / "audit.json").read_bytes() == first
    (tmp_path / "mine.txt").write_text("kept")
    save(audit, tmp_path)
    assert not (tmp_path / "convergence.png").exists()
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_the_json_is_strict(no_pictures: None, tmp_path: Path) -> None:
    text = (save(hostile(), tmp_path) / "audit.json").read_text(encoding="utf-8")
    body = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in audit.json"))
    assert body["schema"] == 2
    assert body["settings"]["bad"] is None


def test_what_is_no_json_in_the_settings_does_not_lose_the_audit(tmp_path: Path) -> None:
    audit = Audit({}, {}, [])
    audit.settings |= {
        "dtype": torch.float32,
        "path": tmp_path,
        "shape": (1, 2),
        "tensor": torch.tensor([1.5]),
        3: 4,
    }
    settings = load(save(audit, tmp_path)).settings
    assert settings["dtype"] == "torch.float32" and settings["shape"] == [1, 2]
    assert settings["tensor"] == [1.5] and settings["3"] == 4


def copy(source: Path, target: Path) -> Path:
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("name", ["audit.json", "arrays"])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
def test_truncated_files_are_refused_by_name(saved: Path, tmp_path: Path, name: str, keep: float) -> None:
    path = copy(saved, tmp_path) / (name if name == "audit.json" else arrays_of(saved))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DataError, match=name):
        load(tmp_path)


@pytest.mark.parametrize("name", ["audit.json", "arrays"])
def test_missing_files_are_refused_by_name(saved: Path, tmp_path: Path, name: str) -> None:
    (copy(saved, tmp_path) / (name if name == "audit.json" else arrays_of(saved))).unlink()
    with pytest.raises(DataError, match=name):
        load(tmp_path)


def test_one_flipped_bit_in_the_arrays_is_refused(saved: Path, tmp_path: Path) -> None:
    path = copy(saved, tmp_path) / arrays_of(saved)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="altered"):
        load(tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda body: body.update(schema=99), "schema 99"),
        (lambda body: body.pop("schema"), "schema"),
        (lambda body: body.pop("layers"), "layers"),
        (lambda body: body.pop("arrays"), "arrays"),
        (lambda body: body.update(layers=[]), "audit.json"),
        (lambda body: body.update(settings=3), "settings"),
        (lambda body: body["outputs"]["dipole"].pop("rmse"), "rmse"),
        (lambda body: body["outputs"]["dipole"].update(extra=1), "extra"),
        (lambda body: body["outputs"]["dipole"].update(power={"tensor": "nowhere"}), "nowhere"),
        (lambda body: body["outputs"]["dipole"]["parts"][0].pop("label"), "label"),
        (lambda body: body["failures"].append(5), "audit.json"),
        (lambda body: body["nonfinite"].append(["settings", "lmax", "nan"]), "finite"),
        (lambda body: body["nonfinite"].append([]), "audit.json"),
    ],
)
def test_garbled_numbers_are_refused(saved: Path, tmp_path: Path, change: Any, message: str) -> None:
    path = copy(saved, tmp_path) / "audit.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    change(body)
    body["sha256"] = checksum(body)
    path.write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"[]", b"null", b'"x"', b"[" * 100000, b"\xff\xfe", b'{"schema": NaN}'])
def test_other_json_is_refused(saved: Path, tmp_path: Path, content: bytes) -> None:
    (copy(saved, tmp_path) / "audit.json").write_bytes(content)
    with pytest.raises(DataError, match=r"audit\.json"):
        load(tmp_path)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_places_that_take_no_files_are_refused(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("mine")
    for place in (occupied, occupied / "below", Path("/proc/equiscope"), str(tmp_path / "nul\0")):
        with pytest.raises(DataError, match="directory: expected a directory that files can be written to"):
            check_writable(place)
        with pytest.raises(DataError):
            save(with_samples(), place)
    assert occupied.read_text() == "mine"


def test_check_writable_makes_the_directory_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    made = check_writable(str(tmp_path / "a" / "b"))
    assert made.is_dir() and not list(made.iterdir())


def test_a_failing_disk_leaves_the_earlier_audit(
    no_pictures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Audit({}, {}, []), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DataError, match="No space left"):
        save(small(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_audit_with_a_foreign_object_is_refused_before_writing(tmp_path: Path) -> None:
    audit = with_samples()
    audit.outputs["dipole"].rmse = object()  # type: ignore[assignment]
    with pytest.raises((EquiscopeError, TypeError)):
        save(audit, tmp_path)
    assert not list(tmp_path.iterdir())
