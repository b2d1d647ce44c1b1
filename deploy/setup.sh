#!/usr/bin/env bash
# Installs what is missing, and does nothing where nothing is.
#   deploy/setup.sh          what the node and the test PACS need
#   deploy/setup.sh --dev    and what the tests need
# Only Debian packages need root. Python packages go into .venv, as deploy/requirements*.lock pin them,
# from wherever pip is configured to look. AINODE_TORCH chooses another build of torch than the one pip
# finds for the pinned version, such as AINODE_TORCH=torch==2.13.0+cu130.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

debian=(orthanc orthanc-dicomweb dcmtk libgl1 libglib2.0-0)  # the last two for OpenCV
locks=(deploy/requirements.lock)
done=.venv/installed.sha256
case "${1:-}" in
    '') ;;
    --dev)
        debian+=(redis-server postgresql plastimatch chromium)
        locks+=(deploy/requirements-dev.lock)
        done=.venv/installed-dev.sha256
        ;;
    *)
        echo "usage: deploy/setup.sh [--dev]" >&2
        exit 2
        ;;
esac

is_installed() {
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

install_debian_packages() {
    command -v dpkg-query >/dev/null ||
        fail "this machine is not Debian or Ubuntu; install Python 3.11, Orthanc with DICOMweb and DCMTK by hand"
    python3 -c 'import ensurepip' 2>/dev/null || debian+=(python3-venv)
    local package missing=()
    for package in "${debian[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    [[ ${#missing[@]} -eq 0 ]] && return
    echo "Debian packages: ${missing[*]}"
    local said sudo=()
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null ||
            fail "installing them needs root; as root, run: apt-get update && apt-get install ${missing[*]}"
        sudo=(sudo)
    fi
    said=$("${sudo[@]}" apt-get update --quiet=2 2>&1) || fail "apt-get update failed: $said"
    said=$("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes "${missing[@]}" 2>&1) ||
        fail "apt-get could not install ${missing[*]}: $said"
}

install_python_packages() {
    local torch wanted
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "python3 is $(python3 --version 2>&1), and the node needs Python 3.11 or later"
    torch=${AINODE_TORCH:-$(grep '^torch==' deploy/requirements.lock)}
    wanted=$(cat pyproject.toml "${locks[@]}" - <<<"$torch" | sha256sum)
    [[ -x .venv/bin/ainode && $(cat "$done" 2>/dev/null) == "$wanted" ]] && return
    echo "Python packages: into .venv (some minutes the first time)"
    .venv/bin/python -c '' 2>/dev/null || python3 -m venv --clear .venv
    # One call for all, so that pip resolves torch's own requirements within the pins.
    cat "${locks[@]}" | grep -v '^torch==' |
        .venv/bin/python -m pip install -qq --requirement /dev/stdin "$torch" ||
        fail "pip could not install the packages of ${locks[*]}"
    .venv/bin/python -m pip install -qq --no-deps --editable . || fail "pip could not install the node itself"
    echo "$wanted" >"$done"
}

install_browser_packages() {
    local folder=.venv/share/ainode/browser wanted
    wanted=$(cat deploy/browser/package.json deploy/browser/package-lock.json | sha256sum)
    [[ $(cat "$folder/installed.sha256" 2>/dev/null) == "$wanted" ]] && return
    command -v npm >/dev/null || fail "npm is missing, and the pages and the viewer come by it; install Node.js"
    echo "Browser packages: into $folder"
    mkdir -p "$folder"
    cp deploy/browser/package.json deploy/browser/package-lock.json "$folder"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent ||
        fail "npm could not install the packages of deploy/browser/package-lock.json"
    echo "$wanted" >"$folder/installed.sha256"
}

install_debian_packages
install_python_packages
install_browser_packages
