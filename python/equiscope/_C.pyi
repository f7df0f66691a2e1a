"""The compiled kernels, on buffers of `kernels.buffer`. Only `kernels` calls them.

A place is a number of threads of the host or, in a build with CUDA, (device, stream, tolerance, tables). Each function
checks that every buffer has the dtype and the number of elements that go with the others before any is read (a
ValueError names the argument), and works without the GIL. Where the answer is a bool, it says whether the function
found a way; if not, nothing was written, and no more where matrices or points that are `checked` have faults.
"""

from typing import Any, TypeAlias, overload

_Buffer: TypeAlias = tuple[int, int, str, object]
_Device: TypeAlias = tuple[int, int, float, tuple[_Buffer, ...]]
_Place: TypeAlias = int | _Device
_Grid: TypeAlias = tuple[_Buffer, _Buffer, int]
_Faults: TypeAlias = tuple[int, float, int]
"""Of `kernels.module.RotationFaults`."""

def info() -> dict[str, Any]: ...
def prefer_huge_pages(out: _Buffer) -> None: ...
def check_rotations(rotations: _Buffer, tolerance: float) -> _Faults: ...
def wigner_D(rotations: _Buffer, lmax: int, out: _Buffer, place: _Place) -> None: ...
def wigner_D_checked(
    rotations: _Buffer, lmax: int, cycled: bool, out: _Buffer, tolerance: float, place: int
) -> _Faults: ...
def wigner_D_torque(rotations: _Buffer, grad: _Buffer, lmax: int, out: _Buffer, place: _Place) -> bool: ...
def spherical_harmonics(xyz: _Buffer, lmax: int, out: _Buffer, place: _Place) -> None: ...
def spherical_harmonics_checked(xyz: _Buffer, lmax: int, cycled: bool, out: _Buffer, place: int) -> int: ...
def spherical_harmonics_torque(xyz: _Buffer, grad: _Buffer, lmax: int, out: _Buffer, place: _Place) -> bool: ...

class Blocks:
    """The irreps in a row of `dim` components: (l, mul, offset, stride of copies, stride of m, odd) of each."""

    def __init__(self, blocks: list[tuple[int, int, int, int, int, bool]], dim: int) -> None: ...
    @property
    def lmax(self) -> int: ...

def rotate(
    x: _Buffer,
    rotations: _Buffer,
    rows: int,
    blocks: Blocks,
    inverse: bool,
    out: _Buffer,
    place: _Place,
) -> bool: ...
def rotate_tensors(
    x: _Buffer,
    rotations: _Buffer,
    rows: int,
    rank: int,
    pseudo: bool,
    inverse: bool,
    out: _Buffer,
    place: int,
) -> None: ...
def rotate_checked(
    x: _Buffer,
    rotations: _Buffer,
    rows: int,
    blocks: Blocks,
    cycled: bool,
    inverse: bool,
    out: _Buffer,
    tolerance: float,
    place: int,
) -> _Faults: ...
def rotate_tensors_checked(
    x: _Buffer,
    rotations: _Buffer,
    rows: int,
    rank: int,
    pseudo: bool,
    inverse: bool,
    out: _Buffer,
    tolerance: float,
    place: int,
) -> _Faults: ...
@overload
def project(
    values: _Buffer, grid: _Grid, lmax: int, channels: int, center: _Buffer | None, out: _Buffer, place: int
) -> None: ...
@overload
def project(
    values: _Buffer, grid: Plan, lmax: int, channels: int, center: _Buffer | None, out: _Buffer, place: _Device
) -> None: ...
def synthesize(coefficients: _Buffer, grid: _Grid, lmax: int, channels: int, out: _Buffer, place: int) -> None: ...
def power_at_once(grid: _Grid, lmax: int) -> bool: ...
@overload
def character_power(
    values: _Buffer,
    grid: _Grid,
    lmax: int,
    cosets: int,
    channels: int,
    center: _Buffer | None,
    out: _Buffer,
    moments: _Buffer | None,
    place: int,
) -> bool: ...
@overload
def character_power(
    values: _Buffer,
    grid: Plan,
    lmax: int,
    cosets: int,
    channels: int,
    center: _Buffer | None,
    out: _Buffer,
    moments: _Buffer | None,
    place: _Device,
) -> bool: ...

# ---- in a build with CUDA --------------------------------------------------------------------------------------------

class Plan:
    """A grid for projections on a device: its shape, and `size` numbers that are copied there as the first table."""

    def __init__(self, *args: object, **kwargs: object) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def worthwhile(self) -> bool: ...
    def copy(self, out: _Buffer) -> None: ...

def plan(grid: _Grid, lmax: int, dtype: str) -> Plan: ...
def power_parts(plan: Plan, channels: int, dtype: str, place: _Device) -> int: ...
def device_info(index: int) -> dict[str, Any]: ...
def table_size(lmax: int) -> int: ...
def fill_tables(lmax: int, out: _Buffer) -> None: ...
