#!/usr/bin/env bash
# Proves that deleting a cluster leaves nothing on the host:
#   leaks.sh --before FILE    writes what there is
#   leaks.sh --after FILE     says what there is now that was not there before, and whose it seems
#                             to be; exit 1 if anything
# LEAKS_CLUSTER=NAME looks only at cgroups and processes of that cluster, where others run as well.
set -uo pipefail

# One line per thing that a node could leave behind.
inventory() {
  # Whatever runs in a cgroup of a node, were it outside the node's namespaces.
  local d
  for d in /proc/[0-9]*; do
    grep -qs "/keles/${LEAKS_CLUSTER:-}" "$d/cgroup" && echo "process $(tr '\0' ' ' <"$d/cmdline") in $(grep -o -m1 '/keles/.*' "$d/cgroup")"
  done
  awk '{print "mount " $5}' /proc/self/mountinfo
  ip -o link | awk -F': ' '{print "link " $2}'
  ip -o route show table all | awk '{print "route " $1, $2, $3}' | grep -v -e ' ff00' -e multicast
  ip netns list 2>/dev/null | awk '{print "netns " $1}'
  command -v nft >/dev/null && nft list tables 2>/dev/null | sed 's/^/nftables /'
  for d in /sys/block/loop*/loop; do [ ! -e "$d" ] || echo "loop $d $(cat "$d/backing_file")"; done
  find /sys/fs/cgroup -type d -path "*/keles/${LEAKS_CLUSTER:-}*" 2>/dev/null | sed 's/^/cgroup /'
  find "${KELES_STATE_DIR:-/var/lib/keles}" /run/containerd /var/lib/containerd /var/lib/kubelet /etc/cni/net.d \
    /var/lib/cni -maxdepth 1 2>/dev/null | grep -v '^/var/lib/containerd$' | sed 's/^/file /'
  if [ -n "${KUBECONFIG:-}" ] && [ -e "$KUBECONFIG" ]; then grep -o 'kind-[a-z0-9-]*' "$KUBECONFIG" | sed 's/^/kubeconfig /'; fi
  true
}

# The processes that hold something at or below a path (a directory they are in, a file, a mount), or
# the path itself (a network namespace).
holders() {
  local p
  for p in /proc/[0-9]*; do
    if readlink "$p"/cwd "$p"/exe "$p"/root "$p"/fd/* "$p"/ns/net 2>/dev/null | grep -qxE "$1(/.*)?" ||
      cut -d' ' -f5 "$p/mountinfo" 2>/dev/null | grep -qxE "$1(/.*)?"; then
      echo "${p#/proc/} ($(tr '\0' ' ' <"$p/cmdline" 2>/dev/null | cut -c1-60))"
    fi
  done | head -n 3 | paste -sd, -
}

# Whose a line of the inventory is, as far as can be told.
whose() {
  local kind=$1 what=$2 cluster held= made=
  cluster=$(grep -oE '(/keles/|/kind/)[^/ ]+' <<<"$what" | head -n 1 | cut -d/ -f3)
  [ -z "$cluster" ] || made="cluster $cluster"
  case $kind in
    file | mount)
      held=$(holders "$what")
      [ -e "$what" ] && made+="${made:+, }made $(stat -c '%z by %U' "$what" | sed 's/\.[0-9]* [-+0-9]*//')"
      ;;
    netns) held=$(ip netns pids "$what" 2>/dev/null | head -n 3 | paste -sd, -) ;;
    link) made+=$(ip -o -d link show "${what%@*}" 2>/dev/null | grep -oE '(alias .*|link-netns[id]* [^ ]+|master [^ ]+)' | paste -sd' ' -) ;;
    cgroup) held=$(cat "$what/cgroup.procs" 2>/dev/null | head -n 3 | paste -sd, -) ;;
  esac
  echo "${made}${made:+${held:+; }}${held:+held by $held}"
}

# Each line with its owner behind it.
name_owners() {
  local kind what owner
  while read -r kind what; do
    owner=$(whose "$kind" "$what")
    echo "  $kind $what  [${owner:-whose it is cannot be told}]"
  done
}

case ${1:-} in
  --before) inventory | sort -u >"$2" ;;
  --after)
    # A killed process or a dropped namespace may take a moment to go.
    for _ in $(seq 50); do
      left=$(inventory | sort -u | comm -13 "$2" -)
      [ -n "$left" ] || exit 0
      sleep 0.1
    done
    echo "left behind:" >&2
    head -n 40 <<<"$left" | name_owners >&2
    exit 1
    ;;
  *)
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
    ;;
esac
