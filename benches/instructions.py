"""Instructions that the kernels take, counted by valgrind's callgrind: repeatable where times are not.

    python benches/instructions.py [--update] [--build DIR]

Builds a small program around the AVX2 kernels and compares its counts with benches/results/instructions.json; exit
status 1 where one grew by more than 10 %. Counts belong to a compiler, which the file names; --update writes a new one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).parent.parent
BASELINE = Path(__file__).parent / "results" / "instructions.json"
ALLOWED = 1.10
KERNELS = (
    *("wigner_D", "wigner_D_torque", "spherical_harmonics", "rotate_mul_ir", "rotate_ir_mul", "rotate_vectors"),
    *("rotate_tensors", "character_power"),
)


def run(*command: str | Path) -> str:
    """What a command prints; its output is the error where it fails."""
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return ran.stdout + ran.stderr


def built(directory: Path) -> tuple[Path, str]:
    """The program, and the compiler that made it."""
    run(
        *("cmake", "-S", SOURCE, "-B", directory, "-DCMAKE_BUILD_TYPE=Release"),
        *("-DEQUISCOPE_PYTHON=OFF", "-DEQUISCOPE_BENCHES=ON"),
    )
    run("cmake", "--build", directory, "--target", "count", "--parallel", str(os.cpu_count() or 1))
    found = re.search(r"CMAKE_CXX_COMPILER:[A-Z]+=(.+)", (directory / "CMakeCache.txt").read_text())
    assert found is not None
    return directory / "count", run(found[1], "--version").splitlines()[0]


def count(program: Path, kernel: str) -> int:
    """Instructions of one call; those of the first, which fills tables, are not counted."""
    totals = []
    for repeats in (1, 3):
        said = run("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, kernel, str(repeats))
        found = re.search(r"Collected : (\d+)", said)
        assert found is not None, said
        totals.append(int(found[1]))
    return (totals[1] - totals[0]) // 2


def grown(counts: Mapping[str, int], baseline: Mapping[str, int]) -> list[str]:
    """The kernels that take more than is allowed, in words."""
    return [
        f"{kernel}: {new} instructions, {new / baseline[kernel] - 1:+.1%} against {baseline[kernel]}"
        for kernel, new in counts.items()
        if kernel in baseline and new > ALLOWED * baseline[kernel]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="store these counts as the baseline")
    parser.add_argument("--build", type=Path, help="build here, and leave it for the next time")
    arguments = parser.parse_args()
    if missing := [name for name in ("valgrind", "cmake") if shutil.which(name) is None]:
        sys.exit(f"skipped: this machine has no {' and no '.join(missing)}")
    with tempfile.TemporaryDirectory() as scratch:
        program, compiler = built(arguments.build or Path(scratch))
        counts = {kernel: count(program, kernel) for kernel in KERNELS}
    stored = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"compiler": compiler, "instructions": {}}
    for kernel, new in counts.items():
        old = stored["instructions"].get(kernel)
        print(f"{kernel:20} {new:12d}" + (f"  {new / old - 1:+7.2%}" if old else ""))
    if arguments.update:
        BASELINE.write_text(json.dumps({"compiler": compiler, "instructions": counts}, indent=1) + "\n")
        return
    if stored["compiler"] != compiler:
        print(f"counted with {compiler}, the baseline with {stored['compiler']}")
    if more := grown(counts, stored["instructions"]):
        sys.exit("\n".join(more))


if __name__ == "__main__":
    main()
