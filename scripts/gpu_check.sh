#!/usr/bin/env bash
# All that only a machine with a GPU can say, in one text file: builds, GPU tests, memory and race checks, benchmarks.
#
#     scripts/gpu_check.sh [--target DIR] [--no-build] [--quick] OUTPUT
#
# Needs a CUDA build of torch, nvcc, pip, pytest, pybind11, scikit-build-core, cmake and ninja, and no network. It builds
# for the architecture of this card and installs into the environment of `python3` (PYTHON names another one), or with
# --target into a directory of its own, for environments that may not be written to. --no-build takes the equiscope that
# is installed. No step stops another; the exit status is 1 if one failed.
#
# The functions that are steps run in a shell of their own, under `timeout`.
# shellcheck disable=SC2317,SC2329
set -u -o pipefail

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
}

target="" building=yes quick=() output=""
while [ $# -gt 0 ]; do
    case $1 in
        --target) [ $# -gt 1 ] || usage; target=$2; shift ;;
        --no-build) building=no ;;
        --quick) quick=(--quick) ;;
        -*) usage ;;
        *) [ -z "$output" ] || usage; output=$1 ;;
    esac
    shift
done
[ -n "$output" ] || usage

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
output=$(realpath -m "$output")
mkdir -p "$(dirname "$output")" || exit 2
: > "$output" || exit 2
python=${PYTHON:-python3}
export PATH=$PATH:/usr/local/cuda/bin  # where toolkits lie that nobody put there
scratch=$(mktemp -d)
cd "$root" || exit 2
# the installed package, not the source tree
unset PYTHONPATH EQUISCOPE_TEST_DEVICE
if [ -n "$target" ]; then
    target=$(realpath -m "$target")
    export PYTHONPATH=$target
fi
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

summary=() failed=0
say() { printf '%s\n' "$@" | tee -a "$output"; }

# also where this script is stopped before its end
finish() {
    say "" "==== summary" "${summary[@]}"
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# step NAME SECONDS COMMAND...
step() {
    local name=$1 limit=$2 began=$SECONDS code verdict
    shift 2
    say "" "==== $name"
    timeout --kill-after=10 "$limit" "$@" 2>&1 | tee -a "$output"
    code=${PIPESTATUS[0]}
    case $code in
        0) verdict=passed ;;
        124 | 137) verdict="FAILED: not done after $limit s" failed=1 ;;
        *) verdict="FAILED: exit status $code" failed=1 ;;
    esac
    summary+=("$(printf '%-24s %4d s  %s' "$name" $((SECONDS - began)) "$verdict")")
    say "---- $name: $verdict"
}

skip() {
    summary+=("$(printf '%-24s %4d s  FAILED: %s' "$1" 0 "$2")")
    failed=1
    say "" "==== $1" "---- $1: FAILED: $2"
}

versions() {
    date -u +%Y-%m-%dT%H:%M:%SZ
    git -C "$root" describe --always --dirty 2> /dev/null
    uname -srm
    nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap,clocks.sm,clocks.mem --format=csv
    nvidia-smi
    nvcc --version | tail -n 2
    cmake --version | head -n 1
    "$python" -c 'import sys, torch; print("python", sys.version); print("torch", torch.__version__, torch.version.cuda)
print("sees", torch.cuda.device_count(), "devices"); sys.exit(not torch.cuda.is_available())'
}

build() {
    local architecture options=(--no-build-isolation --no-deps --no-index --disable-pip-version-check)
    architecture=$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())') || return 1
    [ -z "$target" ] || options+=(--target "$target" --upgrade)
    CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) "$python" -m pip install "${options[@]}" \
        -C cmake.define.EQUISCOPE_CUDA=ON -C "cmake.define.CMAKE_CUDA_ARCHITECTURES=$architecture" \
        -C "build-dir=$scratch/build" "$root"
}

information() {
    "$python" -c 'import equiscope; print(equiscope.__file__)' &&
        "$python" -c 'import sys; sys.argv[1:] = ["info"]; from equiscope.cli import main; main()' &&
        "$python" -c 'import sys
from equiscope.ops import backend
print(backend()); sys.exit(not backend()["cuda"])'
}

# tests that are all skipped have shown nothing
gpu_tests() {
    set -o pipefail
    "$python" -m pytest tests/test_cuda.py -m gpu -q -rs -o addopts= -p no:cacheprovider --tb=short --durations=10 \
        -W ignore::pytest.PytestConfigWarning | tee "$scratch/tests.txt" && grep -q " passed" "$scratch/tests.txt"
}

# sanitize TOOL PROGRAM: only our kernels, all instances of one template; each tensor an allocation of its own
sanitize() {
    local options=(--tool "$1" --error-exitcode 1)
    [ "$1" != memcheck ] || options+=(--report-api-errors no)
    if "$2" --help 2>&1 | grep -q -e --kernel-name; then options+=(--kernel-name kns=run_on_device); fi
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$2" "${options[@]}" "$python" scripts/gpu_small.py --quick
}
export -f versions build information gpu_tests sanitize
export root python target scratch

step "machine and versions" 30 bash -c versions
if [ "$building" = yes ]; then
    step build 180 bash -c build
fi
step information 30 bash -c information
step "small sizes" 60 "$python" scripts/gpu_small.py
step "GPU tests" 200 bash -c gpu_tests
step benchmarks 180 "$python" benches/bench_cuda.py "${quick[@]}" --out "$scratch/bench.txt"
if [ -s "$scratch/bench.txt.json" ]; then
    say "" "==== benchmarks as JSON"
    cat "$scratch/bench.txt.json" >> "$output"
fi
sanitizer=$(command -v compute-sanitizer)
for tool in memcheck racecheck synccheck; do
    if [ -n "$sanitizer" ]; then
        step "$tool" 150 bash -c 'sanitize "$@"' sanitize "$tool" "$sanitizer"
    else
        skip "$tool" "no compute-sanitizer on this machine"
    fi
done

exit "$failed"
