#!/usr/bin/env bash
# `./dev` in a clone that was never built, and on systems that it does not know. Installs nothing.
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$root/dev" "$work/dev"
export KELES_STATE_DIR=$work/state
passed=0 failed=0

# expect NAME EXIT TEXT COMMAND...: the command ends so, and says so.
expect() {
  local name=$1 exit=$2 text=$3 code=0 out
  shift 3
  out=$("$@" 2>&1) || code=$?
  if [ "$code" = "$exit" ] && [[ $out == *"$text"* ]]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED %s: exit %s, wanted %s and "%s"; it said:\n%s\n' "$name" "$code" "$exit" "$text" "$out"
  fi
}

system() { printf 'ID=%s\nVERSION_ID="%s"\n' "$1" "$2" >"$work/os-release"; }
export KELES_OS_RELEASE=$work/os-release

expect 'alone, it explains itself' 0 './dev up' "$work/dev"
expect 'an unknown command' 1 'unknown command: frobnicate' "$work/dev" frobnicate
expect 'down without a build' 0 'nothing to remove' "$work/dev" down
mkdir -p "$work/build"
expect 'down with an empty build folder' 0 'nothing to remove' "$work/dev" down
mkdir -p "$work/state/kind/my-cluster"
expect 'down with a cluster but no build' 1 './dev build' "$work/dev" down
rm -rf "$work/state"

system slackware 15.0
expect 'a system without a list' 1 'no package list for slackware-15.0' "$work/dev" fmt
expect 'names what to install' 1 'clang-format' "$work/dev" fmt

# Every list of every system names packages for every purpose.
eval "$(sed -n '/^packages() {/,/^}/p' "$root/dev")"
for name in debian-12 debian-13 ubuntu-24.04 fedora; do
  for purpose in build run test bench fuzz fmt tidy; do
    expect "$name has a list to $purpose" 0 - bash -c 'echo -; [ -n "$1" ]' _ "$(packages $name $purpose)"
  done
done

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
