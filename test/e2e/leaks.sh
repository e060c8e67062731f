#!/usr/bin/env bash
# Proves that deleting a cluster leaves nothing on the host:
#   leaks.sh --before FILE    writes what there is
#   leaks.sh --after FILE     says what there is now that was not there before; exit 1 if anything
# LEAKS_CLUSTER=NAME looks only at cgroups and processes of that cluster, where others run as well.
set -uo pipefail

# One line per thing that a node could leave behind.
inventory() {
  # Whatever runs in a cgroup of a node, were it outside the node's namespaces.
  local d
  for d in /proc/[0-9]*; do
    grep -qs "/keles/${LEAKS_CLUSTER:-}" "$d/cgroup" && echo "process $(tr '\0' ' ' <"$d/cmdline")"
  done
  awk '{print "mount " $5}' /proc/self/mountinfo
  ip -o link | awk -F': ' '{print "link " $2}'
  ip -o route show table all | awk '{print "route " $1, $2, $3}' | grep -v -e ' ff00' -e multicast
  ip netns list 2>/dev/null | awk '{print "netns " $1}'
  command -v nft >/dev/null && nft list tables 2>/dev/null | sed 's/^/nftables /'
  find /sys/fs/cgroup -type d -path "*/keles/${LEAKS_CLUSTER:-}*" 2>/dev/null | sed 's/^/cgroup /'
  find "${KELES_STATE_DIR:-/var/lib/keles}" /run/containerd /var/lib/containerd /var/lib/kubelet /etc/cni/net.d \
    /var/lib/cni -maxdepth 1 2>/dev/null | grep -v '^/var/lib/containerd$' | sed 's/^/file /'
  if [ -n "${KUBECONFIG:-}" ] && [ -e "$KUBECONFIG" ]; then grep -o 'kind-[a-z0-9-]*' "$KUBECONFIG" | sed 's/^/kubeconfig /'; fi
  true
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
    head -n 40 <<<"$left" >&2
    exit 1
    ;;
  *)
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
    ;;
esac
