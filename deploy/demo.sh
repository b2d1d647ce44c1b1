#!/usr/bin/env bash
# The whole line, shown: a study goes to the test PACS, from there to the node, and the results come back.
#   deploy/demo.sh [--keep] [FOLDER]
# FOLDER holds DICOM files; without it, a synthetic chest CT and a synthetic head CT with a bleed are made.
# --keep: all stays up until Ctrl-C.
# Settings, with their defaults: AINODE_HTTP_PORT=8080 AINODE_DICOM_PORT=11112 ORTHANC_HTTP_PORT=8142
# ORTHANC_DICOM_PORT=4342 AINODE_STATE=./state (in it, the folder demo
# is made anew each time).
set -euo pipefail

refuse() {
    echo "demo: $1" >&2
    echo "usage: deploy/demo.sh [--keep] [FOLDER]" >&2
    exit 2
}

keep=() folder=()
for argument in "$@"; do
    case "$argument" in
        --keep) keep=(--keep) ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
            exit
            ;;
        -*) refuse "there is no option $argument" ;;
        *)
            [[ ${#folder[@]} -eq 0 ]] || refuse "one folder at a time, please: $argument is the second"
            [[ -d $argument ]] || refuse "there is no folder $argument"
            folder=("$argument")
            ;;
    esac
done

here=$(dirname "$(realpath "$0")")
"$here/setup.sh"
exec "$here/../.venv/bin/python" "$here/demo" "${keep[@]}" -- "${folder[@]}"
