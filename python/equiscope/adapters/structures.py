"""Atomistic data, wherever it comes from, as one list of named structures."""

from __future__ import annotations

import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import DataError, DTypeError, MissingExtraError, ShapeError, fail, ran_out

TYPE_KEYS = ("types", "atomic_numbers", "numbers")
"""Names under which arrays of atomic numbers are looked for in npz files and dicts."""
METATOMIC_SYSTEM = "__torch__.torch.classes.metatomic.System"
SYNONYMS = (
    ("positions", "pos", "coordinates", "xyz"),
    ("types", "species", "numbers", "atomic_numbers", "z"),
    ("cell", "box", "lattice"),
    ("pbc", "periodic"),
    ("initial_magmoms", "magmoms", "magnetic_moments"),
    ("initial_charges", "charges"),
)
"""Names for one and the same, that of this package or of ASE first."""
CELL = SYNONYMS[2]
VECTORS = ("positions", "cell", "forces", "momenta", "velocities")
MOMENTS = ("initial_magmoms", "magmoms", "magnetic_moments")


@dataclass(frozen=True, eq=False)
class Structure:
    """One set of atoms. Lengths are in the unit of the source; arrays are on the host."""

    name: str
    types: np.ndarray
    """``(n,)`` int64: atomic numbers, or whatever integers the model calls its types."""
    positions: np.ndarray
    """``(n, 3)`` float64."""
    cell: np.ndarray
    """``(3, 3)`` float64, one cell vector per row; zeros where there is none."""
    pbc: np.ndarray
    """``(3,)`` bool."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """What is said of the whole: charge, spin, a field."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Further arrays with a row for each atom, under the names of ASE: initial_magmoms, momenta, tags."""
    results: Mapping[str, Any] = field(default_factory=dict)
    """Reference values that came with it, under the names of ASE: energy, forces."""
    source: Any = None
    """The `ase.Atoms` or metatomic `System` this was made from, with what it carries besides: constraints, neighbour
    lists. None otherwise."""

    def __len__(self) -> int:
        return len(self.types)

    @property
    def content(self) -> list[Any]:
        """All that it holds, but for its name and source."""
        return [self.types, self.positions, self.cell, self.pbc, dict(self.info), dict(self.arrays)]

    def named(self, name: str) -> Any:
        """What the structure has under `name` or another name for the same; None where it has nothing."""
        own = {"positions": self.positions, "types": self.types, "cell": self.cell, "pbc": self.pbc}
        others = next((names for names in SYNONYMS if name in names), ())
        for known in (name, *others):
            for place in (own, self.arrays, self.info, self.results):
                if known in place:
                    return place[known]
        return None


def usual_kind(name: str, value: Any) -> str | None:
    """How what structures have under `name` turns, where that is known of the name; None of any other.

    Moments with three components are axial vectors, as of what circles about an axis; those with one are its size along
    a fixed axis of their own, which no rotation of the atoms turns.
    """
    first = next((names[0] for names in SYNONYMS if name in names), name)
    if np.ndim(value) != 2 or np.shape(value)[1] != 3:
        return None
    return "vector" if first in VECTORS else "pseudovector" if first in MOMENTS else None


def read_structures(data: Any) -> list[Structure]:
    """A list of structures with unique names.

    `data` is one of, or a list or dict (by name) of:

    - an `ase.Atoms`, named by ``info["name"]`` where it has one;
    - a metatomic `System`;
    - a dict of arrays ``positions (n, 3)``, ``types (n,)`` (or ``atomic_numbers``, ``numbers``) and
      optionally ``cell (3, 3)`` and ``pbc (3,)``; what else it holds is kept in `Structure.arrays`, where it has a
      row for each atom, or in `Structure.info`;
    - the path of a file: ``.npz`` with the arrays of such dicts under ``<name>/positions`` and so on, or flat
      with ``offsets`` (structure i is rows ``offsets[i]:offsets[i+1]``) and optionally ``name``,
      ``cell (N, 3, 3)``, ``pbc (N, 3)`` and whatever else has a row for each atom or structure; any other file
      is read by ASE, with all that it says of atoms and of the whole.

    Structures without a name are called ``<file stem>@<index>``, or ``structure@<index>``; of structures that
    share a name the second is called ``<name>#2``, and so on. Pair lists in files are not read: the model
    says which it needs.

    Raises `DataError` for an empty data set, an unreadable or truncated file and non-finite numbers,
    `ShapeError` for arrays that do not fit, `MissingExtraError` when a file needs ASE and there is none.
    """
    structures = _unique(list(_structures(data, "structure")))
    if not structures:
        source = f"none in {data}" if isinstance(data, str | PathLike) else "an empty data set"
        fail(DataError, "data", "at least one structure", source)
    return structures


def _structures(data: Any, stem: str) -> Iterator[Structure]:
    if isinstance(data, str | PathLike):
        yield from _from_file(Path(data))
    elif isinstance(data, Mapping) and not _is_arrays(data):
        for name, item in data.items():
            yield _single(item, str(name), named=False)
    elif _is_structure(data):
        yield _single(data, f"{stem}@0", named=True)
    elif isinstance(data, Iterable) and not isinstance(data, np.ndarray | torch.Tensor):
        for index, item in enumerate(data):
            if isinstance(item, str | PathLike):
                yield from _from_file(Path(item))
            else:
                yield _single(item, f"{stem}@{index}", named=True)
    else:
        fail(DTypeError, "data", _EXPECTED, type(data).__name__)


_EXPECTED = "ase.Atoms, metatomic Systems, dicts of arrays, or the path of a file of structures"


def label_of(data: Any, count: int) -> str:
    """What a report calls `data` of `count` structures."""
    structures = f"{count} structure{'s' if count != 1 else ''}"
    return f"{Path(data).name}, {structures}" if isinstance(data, str | PathLike) else structures


def is_atoms(item: Any) -> bool:
    """Whether `item` is an `ase.Atoms`, found out without importing ase: it can only exist where that was."""
    ase = sys.modules.get("ase")
    return ase is not None and isinstance(item, ase.Atoms)


def is_metatomic_system(item: Any) -> bool:
    """Whether `item` is a `metatomic.torch.System`, found out without importing metatomic."""
    return isinstance(item, torch.ScriptObject) and item._type().qualified_name() == METATOMIC_SYSTEM


def _is_arrays(item: Any) -> bool:
    return isinstance(item, Mapping) and "positions" in item and any(key in item for key in TYPE_KEYS)


def _is_structure(item: Any) -> bool:
    return is_atoms(item) or is_metatomic_system(item) or _is_arrays(item)


def _single(item: Any, name: str, *, named: bool) -> Structure:
    """One structure; `named` allows the name that the item carries itself to replace `name`."""
    if is_atoms(item):
        own = item.info.get("name") if named else None
        name = str(own) if own else name
        found = _checked(name, item.numbers, item.positions, np.asarray(item.cell), item.pbc)
        arrays = {key: value.copy() for key, value in item.arrays.items() if key not in ("numbers", "positions")}
        # readers attach what a file says of energies and forces as a calculator that knows these alone
        known = type(item.calc).__module__ == "ase.calculators.singlepoint"
        results = dict(item.calc.results) if known else {}
        return replace(found, info=dict(item.info), arrays=arrays, results=results, source=item)
    if is_metatomic_system(item):
        found = _checked(name, item.types, item.positions, item.cell, item.pbc)
        return replace(found, source=item)
    if _is_arrays(item):
        types = next(key for key in TYPE_KEYS if key in item)
        found = _checked(name, item[types], item["positions"], item.get("cell"), item.get("pbc"))
        rest = {key: _host(value) for key, value in item.items() if key not in (types, "positions", "cell", "pbc")}
        arrays = {key: np.asarray(value) for key, value in rest.items() if np.shape(value)[:1] == (len(found),)}
        return replace(found, arrays=arrays, info={key: rest[key] for key in rest if key not in arrays})
    fail(DTypeError, f"data[{name}]", _EXPECTED, type(item).__name__)


def _host(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value


def _checked(name: str, types: Any, positions: Any, cell: Any, pbc: Any) -> Structure:
    where = f"data[{name}]"
    types, positions, cell, pbc = (_host(value) for value in (types, positions, cell, pbc))
    types = np.asarray(types)
    if types.ndim != 1 or types.dtype.kind not in "iu":
        fail(ShapeError, f"{where}.types", "integers of shape (n,)", f"{types.dtype} of shape {types.shape}")
    if len(types) == 0:
        fail(DataError, where, "at least one atom", "a structure without atoms")
    positions = _lengths(f"{where}.positions", positions, (len(types), 3))
    cell = _lengths(f"{where}.cell", np.zeros((3, 3)) if cell is None else cell, (3, 3))
    pbc = np.zeros(3, dtype=bool) if pbc is None else np.asarray(pbc)
    pbc = np.broadcast_to(pbc, (3,)).astype(bool) if pbc.ndim == 0 else pbc
    if pbc.shape != (3,) or pbc.dtype.kind not in "biu":
        fail(ShapeError, f"{where}.pbc", "3 booleans", f"{pbc.dtype} of shape {pbc.shape}")
    pbc = pbc.astype(bool)
    flat = pbc & ~cell.any(axis=1)
    if flat.any():
        fail(
            DataError,
            f"{where}.cell",
            "a cell vector along each periodic direction",
            f"zeros in row {flat.argmax()}",
        )
    return Structure(name, types.astype(np.int64), positions, cell, pbc)


def _lengths(where: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != shape or values.dtype.kind not in "fiu":
        fail(ShapeError, where, f"real numbers of shape {shape}", f"{values.dtype} of shape {values.shape}")
    lengths: np.ndarray = values.astype(np.float64)
    finite = np.isfinite(lengths).all(axis=1)
    if not finite.all():
        fail(DataError, where, "finite values", f"{lengths[finite.argmin()].tolist()} in row {finite.argmin()}")
    return lengths


def _unique(structures: Sequence[Structure]) -> list[Structure]:
    """The same structures, later ones of equal name renamed `name#2`, `name#3`, ..."""
    taken = {structure.name for structure in structures}
    seen: dict[str, int] = {}
    out = []
    for structure in structures:
        count = seen.get(structure.name, 0) + 1
        seen[structure.name] = count
        if count > 1:
            while (name := f"{structure.name}#{count}") in taken:
                count += 1
            seen[structure.name] = count
            taken.add(name)
            structure = replace(structure, name=name)
        out.append(structure)
    return out


def _from_file(path: Path) -> Iterator[Structure]:
    if not path.is_file():
        fail(DataError, "data", "a file of structures", f"{path}, which is not a file")
    if path.stat().st_size == 0:
        fail(DataError, "data", "a file of structures", f"{path}, which is empty")
    if path.suffix == ".npz":
        yield from _from_npz(path)
        return
    try:
        import ase.io
    except ImportError:
        raise MissingExtraError(f"data: expected an installed ase to read {path}, got none; pip install ase") from None
    try:
        frames = ase.io.read(path, index=":")
    except Exception as error:  # the readers of ASE raise whatever their parsing met
        if ran_out(error):
            raise
        raise DataError(
            f"data: expected a complete file in a format that ASE reads, got {path}: {type(error).__name__}: {error}"
        ) from error
    for index, atoms in enumerate(frames):
        yield _single(atoms, f"{path.stem}@{index}", named=True)


def _from_npz(path: Path) -> Iterator[Structure]:
    try:
        # opened here, because np.load leaves files open that it cannot read
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("a single array")
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"data: expected a complete npz file without pickled objects, got {path}: {error}") from error
    types = next((key for key in TYPE_KEYS if key in arrays), None)
    if types is not None and "positions" in arrays and "offsets" in arrays:
        yield from _from_flat(path, arrays, arrays[types])
        return
    names = [key.removesuffix("/positions") for key in arrays if key.endswith("/positions")]
    if not names:
        fail(
            DataError,
            "data",
            "an npz file with '<name>/positions' and '<name>/types', or 'offsets', 'positions' and 'types'",
            f"{path} with {', '.join(arrays) or 'no arrays'}",
        )
    for name in names:
        own = {key.removeprefix(f"{name}/"): value for key, value in arrays.items() if key.startswith(f"{name}/")}
        if not _is_arrays(own):
            fail(DataError, f"data[{name}]", f"one of {', '.join(TYPE_KEYS)}", f"{path} with {', '.join(own)}")
        yield _single(own, name, named=False)


def _from_flat(path: Path, arrays: Mapping[str, np.ndarray], types: np.ndarray) -> Iterator[Structure]:
    offsets = arrays["offsets"]
    if (
        offsets.ndim != 1
        or offsets.dtype.kind not in "iu"
        or len(offsets) < 1
        or offsets[0] != 0
        or offsets[-1] != len(types)
        or (np.diff(offsets.astype(np.int64)) < 0).any()
    ):
        fail(
            DataError,
            "offsets",
            f"integers rising from 0 to the {len(types)} atoms of the file",
            f"{offsets.dtype} of shape {offsets.shape} in {path}",
        )
    count = len(offsets) - 1
    for key in ("name", "cell", "pbc"):
        if key in arrays and len(arrays[key]) != count:
            fail(ShapeError, key, f"{count} entries, one per structure", f"shape {arrays[key].shape} in {path}")
    for index in range(count):
        rows = slice(int(offsets[index]), int(offsets[index + 1]))
        name = str(arrays["name"][index]) if "name" in arrays else f"{path.stem}@{index}"
        cell, pbc = (arrays[key][index] if key in arrays else None for key in ("cell", "pbc"))
        found = _checked(name, types[rows], arrays["positions"][rows], cell, pbc)
        rest = {key: value for key, value in arrays.items() if key not in FLAT and value is not types}
        per_atom = {key: value[rows] for key, value in rest.items() if np.shape(value)[:1] == (len(types),)}
        whole = {key: value[index] for key, value in rest.items() if np.shape(value)[:1] == (count,)}
        yield replace(found, arrays=per_atom, info={key: whole[key] for key in whole if key not in per_atom})


FLAT = ("positions", "offsets", "name", "cell", "pbc")
"""Arrays of a flat file that have a place of their own."""

__all__ = ["SYNONYMS", "Structure", "is_atoms", "is_metatomic_system", "label_of", "read_structures", "usual_kind"]
