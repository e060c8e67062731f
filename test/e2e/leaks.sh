#!/usr/bin/env bash
# Proves that deleting a cluster leaves nothing on the host:
#   leaks.sh --before FILE    writes what there is
#   leaks.sh --after FILE     says what there is now that was not there before; exit 1 if anything
set -uo pipefail

# One line per thing that a node could leave behind.
inventory() {
  # Processes of nodes: those outside our pid namespace's own, and node programs.
  local own d
  own=$(readlink /proc/self/ns/pid)
  for d in /proc/[0-9]*; do
    [ "$(readlink "$d/ns/pid" 2>/dev/null)" = "$own" ] || [ ! -e "$d/ns/pid" ] ||
      [ -z "$(readlink "$d/ns/pid" 2>/dev/null)" ] || echo "process $(tr '\0' ' ' <"$d/cmdline")"
  done
  awk '{print "mount " $5}' /proc/self/mountinfo
  ip -o link | awk -F': ' '{print "link " $2}'
  ip -o route show table all | awk '{print "route " $1, $2, $3}' | grep -v -e ' ff00' -e multicast
  ip netns list 2>/dev/null | awk '{print "netns " $1}'
  command -v nft >/dev/null && nft list tables 2>/dev/null | sed 's/^/nftables /'
  find /sys/fs/cgroup -type d \( -name keles -o -path '*/keles/*' -o -name 'kubepods*' \) 2>/dev/null | sed 's/^/cgroup /'
  find "${KELES_STATE_DIR:-/var/lib/keles}" /run/containerd /var/lib/containerd /var/lib/kubelet /etc/cni/net.d \
    /var/lib/cni -maxdepth 1 2>/dev/null | grep -v '^/var/lib/containerd$' | sed 's/^/file /'
  if [ -n "${KUBECONFIG:-}" ] && [ -e "$KUBECONFIG" ]; then grep -o 'kind-[a-z0-9-]*' "$KUBECONFIG" | sed 's/^/kubeconfig /'; fi
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
    echo "$left" >&2
    exit 1
    ;;
  *)
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
    ;;
esac
