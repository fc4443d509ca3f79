#!/usr/bin/env bash
# The UI with hot reload, in front of a running server: the one that HOLDFAST_DEV_SERVER names, or
# else a `holdfast up` of its own with a data folder of its own, which ends with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -z "${HOLDFAST_DEV_SERVER:-}" ]; then
  export HOLDFAST_DATA_DIR=${HOLDFAST_DATA_DIR:-$PWD/bin/dev-data}
  bin/holdfast up &
  up=$!
  trap 'kill -INT "$up" 2>/dev/null || true; wait "$up" || true' EXIT
  export HOLDFAST_DEV_SERVER=http://127.0.0.1:8000
fi
cd web/ui
npm run dev
