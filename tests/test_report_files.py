"""What is saved is what is loaded, and nothing else is believed."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import blank
from report_builder import hostile, octahedral_samples, realistic, rotations_only, with_samples

from equiscope.errors import DataError, EquiscopeError
from equiscope.report import Audit, check_writable, load, save
from equiscope.result.data import AuditData
from equiscope.result.files import Numbers, checksum, pack, write
from equiscope.result.place import write_all


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


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with blank():
        return save(with_samples(), tmp_path_factory.mktemp("audit"))


@pytest.mark.parametrize(
    "build", [small, with_samples, hostile, rotations_only, octahedral_samples], ids=lambda build: build.__name__
)
def test_load_gives_back_every_number(build: Any, blank_pictures: None, tmp_path: Path) -> None:
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
        "layers.csv",
        "outputs.csv",
        "systems.csv",
    ]


def test_all_files_are_there_and_no_temporary_one(tmp_path: Path) -> None:
    save(small(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        arrays_of(tmp_path),
        "audit.json",
        "convergence.png",
        "index.html",
        "layers.csv",
        "layers.png",
        "outputs.csv",
        "spectra.png",
        "systems.csv",
        "systems.png",
    ]
    for picture in tmp_path.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5000


def test_saving_twice_gives_the_same_numbers_and_drops_stale_pictures(blank_pictures: None, tmp_path: Path) -> None:
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


def test_the_json_is_strict(blank_pictures: None, tmp_path: Path) -> None:
    text = (save(hostile(), tmp_path) / "audit.json").read_text(encoding="utf-8")
    body = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in audit.json"))
    assert body["schema"] == 3
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
        (lambda body: body.update(schema=1), "schema 1"),
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
        (lambda body: body["outputs"]["dipole"].update(chart=7), "audit.json"),
        (lambda body: body["charts"][0]["labels"].pop(), "a place for each label"),
        (lambda body: body["charts"][0].update(headings=["0", "1"]), "heading for each column"),
        (lambda body: body["charts"][0].update(family_names=["proper"]), "name for each family"),
        (lambda body: body["charts"][0].update(shape=[2, 4]), "power of shape"),
        (lambda body: body["charts"][0].update(headings=[*"01234"]), "heading for each column"),
        (lambda body: body["arrays"].update(file="../elsewhere.safetensors"), "the name of the file of arrays"),
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
    for name in ("x" * 5000, "nul\0"):
        with pytest.raises(DataError, match=r"directory: expected a directory written by Audit\.save"):
            load(name)


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
    blank_pictures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Audit({}, {}, []), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DataError, match="No space left"):
        save(small(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_are_on_the_disk_before_they_have_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Any] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        found = os.fstat(handle)
        steps.append("directory" if stat.S_ISDIR(found.st_mode) else found.st_size)
        fsync(handle)

    def renamed(source: Path, target: Path) -> None:
        steps.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_all(tmp_path, {"a": b"0123456789", "b": b"01"}, stale=lambda name: False)
    assert steps == [10, 2, "a", "directory", "b", "directory"]


def test_an_audit_with_a_foreign_object_is_refused_before_writing(tmp_path: Path) -> None:
    audit = with_samples()
    audit.outputs["dipole"].rmse = object()  # type: ignore[assignment]
    with pytest.raises((EquiscopeError, TypeError)):
        save(audit, tmp_path)
    assert not list(tmp_path.iterdir())


# ---- damage


def test_no_digit_of_the_numbers_can_change(saved: Path, tmp_path: Path) -> None:
    path = copy(saved, tmp_path) / "audit.json"
    content, audit = path.read_bytes(), load(saved)
    digits = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
    alike = 0
    for i in random.Random(0).sample(digits, 300):
        other = b"%d" % ((content[i] - ord("0") + 1) % 10)
        path.write_bytes(content[:i] + other + content[i + 1 :])
        try:
            assert same(load(tmp_path), audit)  # a seventeenth digit that no float64 holds
            alike += 1
        except DataError as error:
            assert "audit.json" in str(error)
    assert alike < 30


def test_random_damage_is_refused_or_changes_nothing_that_is_read(saved: Path, tmp_path: Path) -> None:
    path = copy(saved, tmp_path) / "audit.json"
    content, audit, draw, refused = path.read_bytes(), load(saved), random.Random(1), 0
    for _ in range(400):
        i, kind = draw.randrange(len(content)), draw.randrange(3)
        byte = bytes([draw.randrange(256)])
        damaged = content[:i] + (b"", byte, byte + content[i : i + 1])[kind] + content[i + 1 :]
        path.write_bytes(damaged)
        try:
            found = load(tmp_path)
        except DataError:
            refused += 1
        else:
            assert same(found, audit)  # blanks between the numbers
    assert refused > 200


def test_the_checksum_does_not_ask_how_the_file_is_laid_out(saved: Path, tmp_path: Path) -> None:
    path = copy(saved, tmp_path) / "audit.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    assert same(load(tmp_path), load(saved))


# ---- death, readers and writers


OLD, NEW = (
    {"layers.png": b"old", "index.html": b"old", "systems.png": b"old"},
    {"layers.png": b"new", "index.html": b"new"},
)
RETIRED = {*OLD, *NEW}


def numbered(value: float) -> Audit:
    audit = with_samples()
    audit.settings["value"] = value
    audit.outputs["dipole"].variance = torch.full((5, 2), value, dtype=torch.float64)
    return audit


def value_of(directory: Path) -> float:
    """Of the one audit that is read: its two files agree."""
    audit = load(directory)
    assert bool((audit.outputs["dipole"].variance == audit.settings["value"]).all())
    return float(audit.settings["value"])


def interrupted(n: int, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether `act` used the disk more than n times and so was stopped, as Ctrl-C would, where it wanted to again."""
    done = itertools.count()

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if next(done) == n:
                raise KeyboardInterrupt
            return real(*arguments)

        return call

    with monkeypatch.context() as patched:
        for name in ("fsync", "replace", "unlink"):
            patched.setattr(os, name, counted(getattr(os, name)))
        try:
            act()
        except KeyboardInterrupt:
            return True
    return False


def test_an_interrupt_at_any_step_leaves_the_old_audit_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, seen, died = pack(numbered(1.0)), pack(numbered(2.0)), [], True
    while died:
        write(tmp_path, old, OLD, RETIRED)
        died = interrupted(len(seen), lambda: write(tmp_path, new, NEW, RETIRED), monkeypatch)
        seen.append(value_of(tmp_path))
        assert not list(tmp_path.glob(".*"))
    assert seen == sorted(seen) and set(seen) == {1.0, 2.0} and len(seen) > 10
    assert {path.name for path in tmp_path.iterdir()} == {new.arrays_name, "audit.json", *NEW}


KILLED = """
import itertools, os, pathlib, shutil, signal, sys
from equiscope.result.files import Numbers, write

root = pathlib.Path(sys.argv[1])
old, new = root / "old", root / "new"
(arrays,) = new.glob("arrays-*")
numbers = Numbers(arrays.read_bytes(), (new / "audit.json").read_bytes())

def count(real, done, n):
    def call(*arguments):
        if next(done) == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    return call

for n in itertools.count():
    place = root / str(n)
    shutil.copytree(old, place)
    child = os.fork()
    if child == 0:
        done = itertools.count()
        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, count(getattr(os, name), done, n))
        write(place, numbers, {"layers.png": b"new", "index.html": b"new"}, {"layers.png", "systems.png"})
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(n)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked and killed")
def test_a_kill_at_any_step_leaves_the_old_audit_or_the_new(tmp_path: Path) -> None:
    for name, value, views in (("old", 1.0, OLD), ("new", 2.0, NEW)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, pack(numbered(value)), views, RETIRED)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    steps = int(done.stdout)
    seen = [value_of(tmp_path / str(n)) for n in range(steps + 1)]
    assert seen == sorted(seen) and set(seen) == {1.0, 2.0} and steps > 10


def test_ctrl_c_waits_until_all_files_are_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, pack(numbered(1.0)), OLD, RETIRED)
    real, before = os.replace, signal.getsignal(signal.SIGINT)

    def replace(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        real(*arguments)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, pack(numbered(2.0)), NEW, RETIRED)
    assert value_of(tmp_path) == 2.0 and (tmp_path / "index.html").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 4 and signal.getsignal(signal.SIGINT) is before


def test_readers_beside_two_writers_always_read_one_whole_audit(tmp_path: Path) -> None:
    packed = [pack(numbered(value)) for value in (1.0, 2.0)]
    write(tmp_path, packed[0], OLD, RETIRED)

    def rewrite(numbers: Numbers) -> None:
        for _ in range(25):
            write(tmp_path, numbers, NEW, RETIRED)

    writers = [threading.Thread(target=rewrite, args=(numbers,)) for numbers in packed]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(value_of(tmp_path))
    assert seen <= {1.0, 2.0} and value_of(tmp_path) in {1.0, 2.0}
    arrays_of(tmp_path)


def test_temporary_files_of_dead_writers_go_after_a_day(tmp_path: Path) -> None:
    names = (".audit.json.0123abcd.tmp", ".a.b.png.00000000.tmp", ".mine.tmp", "audit.json.0123abcd.tmp")
    for name in names:
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (time.time() - 90000,) * 2)
    (tmp_path / ".index.html.89abcdef.tmp").write_text("of a writer that lives")
    check_writable(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".index.html.89abcdef.tmp", ".mine.tmp", "audit.json.0123abcd.tmp"}


def test_numbers_can_be_read_without_the_views(saved: Path) -> None:
    from equiscope.result.files import load as load_numbers

    numbers = load_numbers(AuditData, saved)
    assert type(numbers) is AuditData and numbers.outputs["dipole"].rmse == load(saved).outputs["dipole"].rmse
