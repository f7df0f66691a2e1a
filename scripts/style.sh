#!/usr/bin/env bash
# Style, types and spelling, as .ci/run, the hooks of pre-commit and a contributor check them.
#
#     scripts/style.sh [--fix] [python|cpp|types|words]...
#
# Without a name, all four. No check stops another; the exit status is 1 if one failed. --fix writes what can be
# mended by machine. The tools, with their exact versions, come with `pip install ".[style]"`.
set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

fix="" parts=()
for argument in "$@"; do
    case $argument in
        --fix) fix=yes ;;
        python | cpp | types | words) parts+=("$argument") ;;
        *) sed -n '2,7s/^# \{0,1\}//p' "$0" && exit 2 ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=(python cpp types words)

check_python() {
    ruff check ${fix:+--fix}
    local checked=$?
    if [ -n "$fix" ]; then ruff format; else ruff format --check; fi && return $checked
}

check_cpp() {
    local options=(--dry-run -Werror)
    [ -z "$fix" ] || options=(-i)
    find csrc tests/cpp benches/cpp -name '*.[ch]pp' -print0 -o -name '*.cu' -print0 -o -name '*.cuh' -print0 |
        xargs -0 clang-format "${options[@]}"
}

check_types() { mypy; }

check_words() { codespell ${fix:+-w} ./*.md benches csrc docs examples gallery python scripts studies tests; }

failed=0
for part in "${parts[@]}"; do
    if "check_$part"; then echo "style: $part: clean"; else echo "style: $part: FAILED" && failed=1; fi
done
exit $failed
