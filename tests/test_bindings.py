"""The compiled module refuses what does not fit before it reads, whatever its caller forgot."""

import pytest
import torch

import equiscope as eq
from equiscope import _C
from equiscope.kernels.buffer import source, target

DOUBLE = torch.float64
R, XYZ, X = (
    torch.eye(3, dtype=DOUBLE).expand(2, 3, 3),
    torch.ones(2, 3, dtype=DOUBLE),
    torch.ones(2, 1, 4, dtype=DOUBLE),
)
BLOCKS = _C.Blocks([(0, 1, 0, 1, 1, False), (1, 1, 1, 3, 1, True)], 4)
GRID = eq.quadrature(4)
RINGS = source(GRID.rings), source(GRID.ring_weights), GRID.gammas
POINTS = GRID.rings.shape[0]


def zeros(*shape, dtype=DOUBLE):
    return target(torch.zeros(*shape, dtype=dtype))


def good():
    """Name, arguments that fit."""
    values, sums, center = zeros(POINTS, GRID.gammas, 3), zeros(10, 3), zeros(3)
    return {
        "wigner_D": [source(R), 1, zeros(20), 1],
        "wigner_D_checked": [source(R), 1, True, zeros(20), 1e-6, 1],
        "wigner_D_torque": [source(R), zeros(20), 1, zeros(2, 3), 1],
        "spherical_harmonics": [source(XYZ), 1, zeros(2, 4), 1],
        "spherical_harmonics_checked": [source(XYZ), 1, True, zeros(2, 4), 1],
        "spherical_harmonics_torque": [source(XYZ), zeros(2, 4), 1, zeros(2, 3), 1],
        "rotate": [source(X), source(R), 1, BLOCKS, False, zeros(2, 1, 4), 1],
        "rotate_tensors": [source(XYZ), source(R), 1, 1, False, False, zeros(2, 1, 3), 1],
        "rotate_checked": [source(X), source(R), 1, BLOCKS, True, False, zeros(2, 1, 4), 1e-6, 1],
        "rotate_tensors_checked": [source(XYZ), source(R), 1, 1, False, False, zeros(2, 1, 3), 1e-6, 1],
        "project": [values, RINGS, 1, 3, center, sums, 1],
        "synthesize": [sums, RINGS, 1, 3, values, 1],
        "character_power": [zeros(2, POINTS, GRID.gammas, 3), RINGS, 1, 2, 3, center, zeros(2, 2, 3), None, 1],
        "check_rotations": [source(R), 1e-6],
        "power_at_once": [RINGS, 1],
    }


BUFFERS = [(name, i) for name, given in good().items() for i, x in enumerate(given) if type(x) is type(RINGS[0])]


@pytest.mark.parametrize("name", good())
def test_what_fits_is_taken(name):
    getattr(_C, name)(*good()[name])


@pytest.mark.parametrize(("name", "which"), BUFFERS)
def test_a_buffer_of_another_size_dtype_or_address_is_refused_by_name(name, which):
    arguments = good()[name]
    fits = arguments[which]
    for wrong in (
        fits._replace(elements=fits.elements + 1),
        fits._replace(elements=-9),
        fits._replace(elements=1 << 60),
        fits._replace(dtype="int32"),
        fits._replace(dtype="float16"),
        fits._replace(address=0),
    ):
        arguments[which] = wrong
        with pytest.raises(ValueError, match=r"^\w+: expected .+, got .+"):
            getattr(_C, name)(*arguments)


@pytest.mark.parametrize("name", good())
def test_numbers_out_of_range_are_refused(name):
    for i, value in enumerate(good()[name]):
        if type(value) is not int:
            continue
        for wrong in (-1, 1 << 50):
            arguments = good()[name]
            arguments[i] = wrong
            with pytest.raises((ValueError, TypeError)):
                getattr(_C, name)(*arguments)


@pytest.mark.parametrize("cosets", [0, 3])
def test_a_group_has_one_coset_of_rotations_or_two(cosets):
    arguments = good()["character_power"]
    arguments[3], arguments[0] = cosets, zeros(max(1, cosets), POINTS, GRID.gammas, 3)
    arguments[6] = zeros(2, max(1, cosets), 3)
    with pytest.raises(ValueError, match="cosets: expected 1 or 2, got"):
        _C.character_power(*arguments)


def test_mixed_dtypes_are_refused():
    with pytest.raises(ValueError, match="rotations: expected float32, got float64"):
        _C.wigner_D(source(R), 1, zeros(20, dtype=torch.float32), 1)
    with pytest.raises(ValueError, match=r"dtype: expected \(float32, float32\)"):
        _C.project(zeros(POINTS, GRID.gammas, 3), RINGS, 1, 3, None, zeros(10, 3, dtype=torch.float32), 1)


@pytest.mark.parametrize(
    "block",
    [
        (1, 1, 2, 3, 1, True),
        (1, 2, 0, 3, 1, True),
        (1, 1, -1, 3, 1, True),
        (1, 1, 1 << 62, 3, 1, True),
        (1, 0, 0, 3, 1, True),
        (300, 1, 0, 1, 1, True),
        (1, 1, 0, 1, 1 << 40, True),
    ],
)
def test_irreps_that_reach_outside_a_row_are_refused(block):
    with pytest.raises(ValueError, match=r"blocks|lmax"):
        _C.Blocks([block], 4)


@pytest.mark.parametrize("dim", [-1, 1 << 50])
def test_rows_of_no_size_are_refused(dim):
    with pytest.raises(ValueError, match="dim: expected a size"):
        _C.Blocks([], dim)


def test_what_is_no_buffer_is_refused():
    for wrong in (None, 5, (1, 2, "float64"), [*source(R)], ("a", 1, "float64", None)):
        with pytest.raises(TypeError):
            _C.check_rotations(wrong, 1e-6)
