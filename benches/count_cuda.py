"""What can be counted of the CUDA kernels without a card, against what was counted before.

    python benches/count_cuda.py [--update] [--only wavefronts,machine]

Wavefronts in shared memory come from a simulation on the host (benches/cpp/warps.hpp), which needs g++. Registers,
spills and instructions are those of the machine code for one architecture, which needs nvcc, and nvdisasm for the
instructions. Counts are no times: they say what was made of the source. benches/results/cuda_counts.json has those of
now, which --update replaces, and those before the kernels were worked over; exit status 1 where one grew.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parent.parent
STORED = Path(__file__).parent / "results" / "cuda_counts.json"
ARCHITECTURE = "sm_90"
ALLOWED = 1.05
"""Another version of a compiler moves a few instructions."""

CASES = (
    *("wigner_D 4", "wigner_D 8", "wigner_D 16", "wigner_D_torque 8", "spherical_harmonics 8"),
    *("rotate 3 64", "rotate 8 64", "character_power 8"),
)
"""Kernel and lmax; of `rotate` also the copies of each l."""

Counts = dict[str, dict[str, float]]


def run(*command: str | Path) -> str:
    """What a command prints; its output is the error where it fails."""
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return ran.stdout + ran.stderr


# ---- wavefronts ------------------------------------------------------------------------------------------------------


def simulator(directory: Path) -> Path:
    """The program of benches/cpp/wavefronts.cpp, whose bodies tell what they touch."""
    own, csrc = SOURCE / "benches" / "cpp", SOURCE / "csrc"
    # a vector of values would be touched at once
    options = ("-std=c++17", "-O2", "-fno-tree-vectorize", "-fno-tree-slp-vectorize", f"-I{csrc}", f"-I{csrc}/include")
    traced = directory / "wavefronts.o"
    sanitizers = ("-fsanitize=thread", "-fsanitize-coverage=trace-pc")
    run("g++", *options, *sanitizers, "-c", own / "wavefronts.cpp", "-o", traced)
    plain = [own / "warps.cpp", csrc / "cuda" / "projection_plan.cpp", csrc / "grid" / "ring_plan.cpp"]
    run("g++", *options, traced, *plain, "-o", directory / "wavefronts")
    return directory / "wavefronts"


def wavefronts(program: Path, case: str) -> dict[str, float]:
    """Per entry (rotation, point, channel): `counted`, and `least` if no two words met in a bank.

    And per block `steps`, the basic blocks that its slowest warp goes through between barriers, all phases together.
    """
    (entries,), *phases = (list(map(int, line.split())) for line in run(program, *case.split()).splitlines())
    loads, stores, least, steps = map(sum, zip(*phases, strict=True))
    return {"counted": round((loads + stores) / entries, 1), "least": round(least / entries, 1), "steps": steps}


# ---- machine code ----------------------------------------------------------------------------------------------------


def name_of(symbol: str) -> str:
    """``Evaluate<WignerFamily, float>`` of its mangled name."""
    body = symbol.split("run_on_device", 1)[1]
    words = {"f": "float", "d": "double", "Lb0": "false", "Lb1": "true"}
    half = {"6__half": "half", "13__nv_bfloat16": "bfloat16"}
    tokens = re.findall(r"\d+__half|\d+__nv_bfloat16|NS0_\d+[A-Za-z]+?(?=I[NfdL\d]|E)|L[bi]\d+E|[fd](?=[fdLEN])", body)
    names = []
    for token in tokens:
        if token.startswith("NS0_"):
            names.append(re.sub(r"NS0_\d+", "", token))
        elif token.startswith("L"):
            names.append(words.get(token[:-1], token[2:-1]))
        else:
            names.append(half.get(token) or words[token])
    return f"{names[0]}<{', '.join(names[1:])}>"


def registers(said: str) -> Counts:
    """Registers and bytes of spills of every kernel, from what ``-Xptxas -v`` says."""
    found = re.findall(
        r"entry function '(\S*run_on_device\S*)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) reg",
        said,
        re.DOTALL,
    )
    return {
        name_of(symbol): {"registers": int(used), "spilled bytes": int(stored) + int(loaded)}
        for symbol, stored, loaded, used in found
    }


class Line(NamedTuple):
    """An instruction: its name, and where it may go on."""

    name: str
    following: tuple[int, ...]


def instructions(listing: Iterable[str]) -> list[Line]:
    """Of one function, as ``nvdisasm -c`` lists it."""
    labels: dict[str, int] = {}
    texts: list[str] = []
    for text in listing:
        if label := re.match(r"(\.L_x_\d+):", text):
            labels[label[1]] = len(texts)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*);", text):
            texts.append(found[1].strip())
    lines = []
    for i, text in enumerate(texts):
        name = text.split(maxsplit=1)[1] if text.startswith("@") else text
        target = re.search(r"`\((\.L_x_\d+)\)", text) if name.startswith("BRA") else None
        falls = text.startswith("@") or not name.startswith(("BRA", "EXIT", "RET"))
        # a uniform predicate makes a branch that may fall through look like one that may not
        falls = falls or (target is not None and re.search(r"\bU?P\d", name) is not None)
        ways = ([i + 1] if falls and i + 1 < len(texts) else []) + ([labels[target[1]]] if target else [])
        lines.append(Line(name, tuple(ways)))
    return lines


class Loop(NamedTuple):
    values: int
    instructions: int


def loops(lines: list[Line], copies: bool = False) -> list[Loop]:
    """Those of the recursions, which read coefficients from device memory and compute in float64: the values that one
    turn writes to shared memory on the way that writes most of them, and the instructions of the shortest such way.

    Or those that copy from shared to device memory, without arithmetic in float64.
    """
    reads, writes, other = ("LDS", "STG", "STS") if copies else ("LDG", "STS", "STG")
    before: list[list[int]] = [[] for _ in lines]
    for i, line in enumerate(lines):
        for way in line.following:
            before[way].append(i)
    bodies: dict[int, set[int]] = {}
    for end, line in enumerate(lines):
        for start in line.following:
            if start <= end:
                body, left = bodies.setdefault(start, {start}), [end]
                while left:
                    at = left.pop()
                    if at not in body:
                        body.add(at)
                        left.extend(before[at])
    innermost = [b for start, b in bodies.items() if not any(s in b for s in bodies if s != start)]
    found = []
    for body in innermost:
        names = {lines[i].name[:3] for i in body}
        # what prepares an entry divides, which no recursion does
        if reads not in names or "MUF" in names or copies != names.isdisjoint({"DFM", "DMU"}):
            continue
        start = min(body)
        best: dict[int, tuple[int, int]] = {start: (0, 0)}  # values, minus the instructions before
        ends = []
        for i in sorted(body):
            if i not in best or lines[i].name.startswith(other):
                continue
            values, cost = best[i][0] + lines[i].name.startswith(writes), best[i][1] - 1
            for way in lines[i].following:
                if way == start:
                    ends.append((values, cost))
                elif way in body and way > i:
                    best[way] = max(best.get(way, (0, -(1 << 30))), (values, cost))
        if ends and max(ends)[0] > (not copies):
            found.append(Loop(max(ends)[0], -max(ends)[1]))
    return sorted(found, reverse=True)


def functions(disassembly: str) -> dict[str, list[str]]:
    parts = re.split(r"^\.text\.(\S+):$", disassembly, flags=re.MULTILINE)
    return {name_of(n): code.splitlines() for n, code in zip(parts[1::2], parts[2::2], strict=True) if "run_on" in n}


def machine(directory: Path) -> tuple[Counts, Counts]:
    """Registers of all kernels; instructions per 8 values in the loops of recursions, where nvdisasm is there."""
    used: Counts = {}
    loops_of: Counts = {}
    for name in ("kernels", "projection"):
        binary = directory / f"{name}.cubin"
        csrc = SOURCE / "csrc"
        options = ("-std=c++17", "-O3", f"-arch={ARCHITECTURE}", "-cubin", "-Xptxas", "-v", f"-I{csrc}")
        used |= registers(run("nvcc", *options, f"-I{csrc}/include", csrc / "cuda" / f"{name}.cu", "-o", binary))
        if name == "kernels" and shutil.which("nvdisasm"):
            for kernel, listing in functions(run("nvdisasm", "-c", binary)).items():
                lines = instructions(listing)
                loops_of[kernel] = {
                    f"{what} {i + 1}": 8 * loop.instructions / loop.values
                    for what, copies in (("loop", False), ("copy", True))
                    for i, loop in enumerate(loops(lines, copies))
                }
    return used, loops_of


# ---- all of it -------------------------------------------------------------------------------------------------------


def grown(counts: Mapping[str, Counts], stored: Mapping[str, Counts]) -> list[str]:
    """What became more than is stored, in words."""
    return [
        f"{kind}, {what}, {name}: {new:g}, stored {old:g}"
        for kind, own in counts.items()
        for what, numbers in own.items()
        for name, new in numbers.items()
        if (old := stored.get(kind, {}).get(what, {}).get(name)) is not None and new > ALLOWED * old and name != "least"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="store these counts")
    parser.add_argument("--only", default="wavefronts,machine")
    arguments = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    counts: dict[str, Counts] = {}
    compilers: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        if "wavefronts" in arguments.only:
            program = simulator(Path(scratch))
            counts["wavefronts"] = {case: wavefronts(program, case) for case in CASES}
            compilers["wavefronts"] = run("g++", "--version").splitlines()[0]
        if "machine" in arguments.only and shutil.which("nvcc"):
            counts["registers"], counts["instructions per 8 values"] = machine(Path(scratch))
            compilers["machine"] = run("nvcc", "--version").splitlines()[-1] + f", {ARCHITECTURE}"
    for kind, own in counts.items():
        for what, numbers in own.items():
            print(f"{kind:26} {what:44} " + ", ".join(f"{name} {number:g}" for name, number in numbers.items()))
    if arguments.update:
        stored["now"] = {**stored.get("now", {}), **counts}
        stored["compilers"] = {**stored.get("compilers", {}), **compilers}
        STORED.write_text(json.dumps(stored, indent=1) + "\n")
    elif more := grown(counts, stored.get("now", {})):
        sys.exit("\n".join(more))


if __name__ == "__main__":
    main()
