#!/usr/bin/env bash
# The figures of docs/performance.md that need running programs: start-up times, memory, idle CPU,
# a pod's way to Ready. Called by `./dev bench`; run alone with BUILD=build/release. Uses a cluster of
# its own, and removes it.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
build=$(readlink -f "${BUILD:-$root/build/release}")
work=$(mktemp -d /tmp/keles-bench-XXXXXX)
cluster=bench
export KELES_STATE_DIR=$work/state KUBECONFIG=$work/kubeconfig
keles=$build/keles
server=

cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  "$keles" kind delete cluster --name $cluster -q || true
  rm -rf "$work"
}
trap cleanup EXIT

figure() { printf '%-58s %s\n' "$1" "$2"; }
now_ms() { date +%s%3N; }

# Milliseconds until the command succeeds.
until_ok() {
  local start
  start=$(now_ms)
  until "$@" >/dev/null 2>&1; do [ $(($(now_ms) - start)) -lt 60000 ] || return 1; done
  echo $(($(now_ms) - start))
}

# User and system time of a process, in clock ticks (100 a second).
cpu_ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'; }
memory_mb() { awk '/^Pss:/ {print int(($2 + 512) / 1024)}' "/proc/$1/smaps_rollup"; }
# The host's pid of a node's service.
service_pid() {
  local init
  init=$(cut -d' ' -f1 "$KELES_STATE_DIR/kind/$cluster/$1/pid")
  pgrep -P "$init" -f "keles $2 " | head -n 1
}

echo "machine: $(nproc) cores, $(awk '/MemTotal/ {print int($2 / 1048576)}' /proc/meminfo) GB, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)"
cp "$keles" "$work/keles" && strip "$work/keles" 2>/dev/null || true
figure "binary, stripped" "$(($(stat -c %s "$work/keles") / 1024)) KB"

start=$(now_ms)
"$keles" server --data-dir="$work/server" --advertise-address=127.0.0.1 --secure-port=16443 >"$work/server.log" 2>&1 &
server=$!
until_ok curl -skf https://127.0.0.1:16443/readyz >/dev/null
figure "exec of the server to /readyz" "$(($(now_ms) - start)) ms"
kill $server
wait $server 2>/dev/null || true
server=

start=$(now_ms)
"$keles" kind create cluster --name $cluster --config "$root/test/e2e/cluster.yaml" --wait 120s -q
figure "three-node cluster, nothing to all nodes Ready" "$(($(now_ms) - start)) ms"

"$keles" kind load image-archive "$build/images/hello.tar" --name $cluster 2>/dev/null
sleep 5
plane=$(service_pid $cluster-control-plane server)
agent=$(service_pid $cluster-worker kubelet)
figure "control plane, memory (PSS) idle" "$(memory_mb "$plane") MB"
figure "node agent with proxy, memory (PSS) idle" "$(memory_mb "$agent") MB"
seconds=${BENCH_IDLE_SECONDS:-60}
ticks=$(cpu_ticks "$plane") agent_ticks=$(cpu_ticks "$agent")
sleep "$seconds"
figure "control plane, idle CPU over $seconds s" "$(awk -v t=$(($(cpu_ticks "$plane") - ticks)) -v s="$seconds" 'BEGIN {printf "%.2f %% of a core", t / s}')"
figure "node agent, idle CPU over $seconds s" "$(awk -v t=$(($(cpu_ticks "$agent") - agent_ticks)) -v s="$seconds" 'BEGIN {printf "%.2f %% of a core", t / s}')"

run_pod() {
  sed "s/NAME/$1/" >"$work/pod.yaml" <<'POD'
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  containers:
  - {name: hello, image: "keles.dev/hello:1"}
POD
  "$keles" kubectl apply -f "$work/pod.yaml" >/dev/null
  "$keles" kubectl wait --for=condition=Ready "pod/$1" --timeout=60s >/dev/null
}
for i in 1 2 3; do
  start=$(now_ms)
  run_pod "bench-$i"
  figure "a pod applied to Ready ($i)" "$(($(now_ms) - start)) ms"
done

start=$(now_ms)
"$keles" kind stop cluster --name $cluster -q
"$keles" kind start cluster --name $cluster -q
until_ok "$keles" kubectl get nodes >/dev/null
figure "cluster stopped and started, API answers" "$(($(now_ms) - start)) ms"
start=$(now_ms)
"$keles" kind delete cluster --name $cluster -q
figure "cluster deleted" "$(($(now_ms) - start)) ms"
