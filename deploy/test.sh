#!/usr/bin/env bash
# Every check: format, lint, types, import contracts, and all tests, those with a real PACS included.
#   deploy/test.sh [pytest arguments]        the arguments narrow the tests only
# All checks run, even after one has failed; the exit status is that of the first that failed.
# Tests on real data find it in ../shared/data or in AINODE_TEST_DATA, and are reported as skipped without.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/setup.sh --dev
PATH=$PWD/.venv/bin:$PATH

status=0
verdicts=()

check() {
    local name=$1 code=0
    shift
    printf '\n== %s\n' "$name"
    "$@" || code=$?
    verdicts+=("$name: $([[ $code -eq 0 ]] && echo passed || echo "FAILED ($code)")")
    [[ $status -ne 0 ]] || status=$code
}

check format ruff format --check .
check lint ruff check .
check types mypy
check "import contracts" lint-imports
check tests pytest "$@"

printf '\n== summary\n'
printf '%s\n' "${verdicts[@]}"
exit "$status"
