#!/usr/bin/env bash
# The test PACS in the foreground, until SIGTERM or Ctrl-C:  orthanc/start.sh [STORAGE]
# Ports come from the environment: ORTHANC_HTTP_PORT, ORTHANC_DICOM_PORT, and AINODE_DICOM_PORT of the node.
set -euo pipefail

storage=${1:-${AINODE_STATE:-state}/pacs}
mkdir -p "$storage"
ORTHANC_STORAGE=$(realpath "$storage")
# Debian keeps Orthanc where only root looks for programs.
export ORTHANC_STORAGE ORTHANC_HTTP_PORT="${ORTHANC_HTTP_PORT:-8142}" TCP_NODELAY=1 PATH="$PATH:/usr/sbin"

Orthanc "$(dirname "$(realpath "$0")")/orthanc.json" &
orthanc=$!
pause=
trap 'trap "" TERM INT; kill $orthanc $pause 2>/dev/null; wait $orthanc; exit' TERM INT

# One request every two seconds is the heart beat that Orthanc 1.10 lacks (see route.lua).
beat() {
    exec 3<>"/dev/tcp/127.0.0.1/$ORTHANC_HTTP_PORT"
    printf 'GET /system HTTP/1.0\r\n\r\n' >&3
    cat <&3
}
while kill -0 $orthanc 2>/dev/null; do
    sleep 2 & pause=$!
    wait $pause
    (beat) >/dev/null 2>&1 || true
done
wait $orthanc
