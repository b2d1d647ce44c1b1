#!/usr/bin/env bash
# Writes the lock files from pyproject.toml: every package with its exact version.
#   deploy/lock.sh              adds and removes what pyproject.toml did; other versions stay
#   deploy/lock.sh --upgrade    takes the newest versions that pyproject.toml allows
# The pins hold for every build of torch: its version has no local part, and what only a CUDA build
# needs is left out; pip brings that along with the build that is installed (see deploy/setup.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$work/pins"
if [[ ${1:-} != --upgrade ]]; then
    cat deploy/requirements.lock deploy/requirements-dev.lock >>"$work/pins" 2>/dev/null || true
fi

resolve() {
    .venv/bin/python -m pip install -qq --dry-run --ignore-installed \
        --constraint "$work/pins" --report "$work/report.json" "$1"
    .venv/bin/python - "$work/report.json" <<'PYTHON'
import json
import re
import sys

with open(sys.argv[1]) as report:
    packages = [p["metadata"] for p in json.load(report)["install"]]
pins = {re.sub(r"[-_.]+", "-", p["name"]).lower(): p["version"].split("+")[0] for p in packages}
for name, version in sorted(pins.items()):
    if name != "ainode" and not re.match(r"nvidia-|cuda-|triton$", name):
        print(f"{name}=={version}")
PYTHON
}

resolve . >"$work/run"
cat "$work/run" >>"$work/pins"
resolve '.[dev]' >"$work/all"
head='# Made by deploy/lock.sh from pyproject.toml; do not edit.'
{ echo "$head"; cat "$work/run"; } >deploy/requirements.lock
{ echo "$head"; grep -vxFf "$work/run" "$work/all"; } >deploy/requirements-dev.lock
