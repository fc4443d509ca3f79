#!/usr/bin/env bash
# Says what this machine lacks for `make run`, `make test` and steps in a sandbox. It changes nothing.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=0
ok() { printf '  ok       %s\n' "$*"; }
note() { printf '  note     %s\n' "$*"; }
lacks() { printf '  missing  %s\n' "$*"; missing=1; }

# at_least HAVE WANT: whether a version such as 1.26.8 is that or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

echo "to build and run:"
want=$(sed -n 's/^go //p' go.mod)
if have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null); then
  if at_least "${have#go}" "$want"; then ok "Go ${have#go}"; else note "Go ${have#go}; go.mod wants $want, which go downloads by itself where it may"; fi
else
  lacks "Go $want or later: https://go.dev/doc/install"
fi
want=$(sed -n 's/.*"node": ">=\([0-9.]*\)".*/\1/p' web/ui/package.json)
if have=$(node --version 2>/dev/null); then
  if at_least "${have#v}" "$want"; then ok "Node ${have#v}"; else lacks "Node $want or later; this is ${have#v}"; fi
else
  lacks "Node $want or later, with npm: https://nodejs.org"
fi
command -v npm >/dev/null && ok "npm $(npm --version)" || lacks "npm, which comes with Node"
free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1048576)}')
if [ "$free" -ge 8 ]; then ok "$free GiB free here"
elif [ -x bin/holdfast ]; then note "$free GiB are free here; a first build wants 8, and was made"
else lacks "room: $free GiB are free here, and a first build wants 8"; fi

echo "to test:"
if command -v chromium >/dev/null; then ok "Chromium"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then note "no Chromium; make test installs it"
else lacks "Chromium, for the browser's tests: install your system's package of it"; fi
{ command -v gcc || command -v clang; } >/dev/null && ok "a C compiler, for the race detector" || lacks "gcc or clang, for Go's race detector"
command -v python3 >/dev/null && ok "python3, for the examples" || lacks "python3, for the examples"

echo "to keep steps apart:"
if [ -x bin/holdfast ]; then
  bin/holdfast config 2>/dev/null | sed -n '/^ISOLATION/,$p' | sed 's/^/  /'
elif [ "$(uname)" = Linux ] && unshare --user --map-root-user true 2>/dev/null; then
  ok "user namespaces; after a build, holdfast config says which layers there are"
elif [ "$(uname)" = Linux ]; then
  note "no user namespaces: steps would be refused. docs/sandbox.md says how to give them"
else
  note "not Linux: steps run without a sandbox"
fi

exit "$missing"
