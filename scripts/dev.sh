#!/usr/bin/env bash
# The UI with hot reload, in front of a running server: the one that HOLDFAST_DEV_SERVER names, or
# else a `holdfast up` of its own with a data folder of its own, which ends with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -z "${HOLDFAST_DEV_SERVER:-}" ]; then
  export HOLDFAST_DATA_DIR=${HOLDFAST_DATA_DIR:-$PWD/bin/dev-data}
  # A port of its own, never the next free one: the UI must not act on another server by mistake.
  port=8100
  bin/holdfast up --addr "127.0.0.1:$port" &
  up=$!
  trap 'kill -TERM "$up" 2>/dev/null || true; wait "$up" || true' EXIT
  until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 "$up" 2>/dev/null || { echo "holdfast up has ended; its messages are above" >&2; exit 1; }
    sleep 0.2
  done
  export HOLDFAST_DEV_SERVER=http://127.0.0.1:$port
fi
cd web/ui
npm run dev
