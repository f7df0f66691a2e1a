"""Memory of an audit does not grow with the data or with the grid."""

import functools
import subprocess
import sys

import pytest

CODE = """
import sys
import equiscope as eq
from equiscope import demo

systems, degree = int(sys.argv[1]), int(sys.argv[2])
molecules = demo.load_molecules()
stream = ((str(i), molecules[i % len(molecules)]) for i in range(systems))
report = eq.audit(
    demo.load_model(),
    stream,
    inputs=demo.INPUTS,
    outputs=demo.REPRESENTATIONS,
    layers=demo.LAYERS,
    lmax=3,
    degree=degree,
    batch_rows=400,  # "auto" takes what is fastest, which differs from run to run
    progress=False,
)
assert len(report.systems) == systems
# not ru_maxrss, which begins with that of the parent
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024)
"""


@functools.cache
def peak(systems, degree):
    """Megabytes."""
    arguments = [sys.executable, "-c", CODE, str(systems), str(degree)]
    return float(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)


def test_memory_does_not_grow_with_the_number_of_rotations():
    assert peak(2, 21) - peak(2, 6) < 25


@pytest.mark.parametrize("systems", [50, pytest.param(500, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_number_of_systems(systems):
    assert peak(systems, 6) - peak(2, 6) < 25
