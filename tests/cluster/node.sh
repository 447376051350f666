#!/usr/bin/env bash
# The inside of keeper.sh, first process of its namespaces: node.sh RUN api|node TOOLS [FLAG OF THE API SERVER...]
#
# Says `ready RUN` once it serves. Then takes an order a line and answers `done` or `failed: why`:
# start NAME, kill NAME, freeze NAME, thaw NAME. NAME is that of a component's program. Ends with stdin.
set -euo pipefail
run=$1 mode=$2 bin=$(realpath "$3") here=$(dirname "$(realpath "$0")")
shift 3
api_flags=("$@")
address=10.88.70.1 service_address=10.0.0.1 url=https://10.0.0.1
declare -A pids
cd "$run"
export KUBECONFIG=$run/kubeconfig

spawn() {
  local name=$1
  shift
  "$@" >> "$name.log" 2>&1 &
  pids[$name]=$!
}

# await NAME COMMAND...: until the command succeeds; fails when the component it waits for has ended.
await() {
  local name=$1 deadline=$((SECONDS + 120))
  shift
  until "$@" > /dev/null 2>&1; do
    if ! kill -0 "${pids[$name]}" 2> /dev/null || ((SECONDS > deadline)); then
      printf '%s does not come up; its last words:\n%s\n' "$name" "$(tail -n 20 "$name.log")" >&2
      return 1
    fi
    sleep 0.05
  done
}

# The address of the service `kubernetes` is one of the node's own, and the API server listens there: no kube-proxy.
network() {
  readlink /proc/self/ns/net > network
  ip link set lo up
  ip link add node0 type bridge
  ip address add $address/24 dev node0
  ip address add $service_address/32 dev node0
  ip link set node0 up
  ip route add default dev node0
}

# A certificate that agents verify, as in a real cluster; and a token for the one who tests.
credentials() {
  local request=(openssl req -x509 -days 2 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1)
  printf '[req]\ndistinguished_name = name\n[name]\n' > openssl.cnf
  "${request[@]}" -config openssl.cnf -subj /CN=cluster-ca -keyout ca.key -out ca.crt \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign 2> /dev/null
  "${request[@]}" -config openssl.cnf -subj /CN=kube-apiserver -keyout server.key -out server.crt -CA ca.crt -CAkey ca.key \
    -addext basicConstraints=CA:FALSE -addext extendedKeyUsage=serverAuth \
    -addext "subjectAltName=IP:$service_address,IP:$address,IP:127.0.0.1,DNS:kubernetes.default.svc" 2> /dev/null
  openssl ecparam -name prime256v1 -genkey -noout -out accounts.key
  openssl ec -in accounts.key -pubout -out accounts.pub 2> /dev/null
  (umask 077 && openssl rand -hex 16 > token && echo "$(< token),admin,admin,\"system:masters\"" > tokens.csv)
  cat > kubeconfig <<END
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "$url", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: admin, user: {token: $(< token)}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
END
  chmod 600 kubeconfig
}

start_etcd() {
  spawn etcd "$bin/etcd" --data-dir etcd --unsafe-no-fsync --log-level warn --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
}

start_kube-apiserver() {
  spawn kube-apiserver "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --secure-port 443 \
    --advertise-address $address --tls-cert-file server.crt --tls-private-key-file server.key \
    --token-auth-file tokens.csv --authorization-mode RBAC \
    --service-account-key-file accounts.pub --service-account-signing-key-file accounts.key \
    --service-account-issuer https://kubernetes.default.svc --service-cluster-ip-range 10.0.0.0/24 \
    --kubelet-preferred-address-types InternalIP --allow-privileged "${api_flags[@]}"
  await kube-apiserver "$bin/kubectl" get --raw /readyz
}

# When the API server was away for a test, the node was not: otherwise all pods would be unready for a minute afterwards.
start_kube-controller-manager() {
  spawn kube-controller-manager "$bin/kube-controller-manager" --kubeconfig kubeconfig --leader-elect=false \
    --node-monitor-grace-period 5m --service-account-private-key-file accounts.key --root-ca-file ca.crt --use-service-account-credentials
}

start_kube-scheduler() {
  spawn kube-scheduler "$bin/kube-scheduler" --kubeconfig kubeconfig --leader-elect=false
}

# Places that the components have outside their own folder, whatever they are told.
private_places() {
  local place
  for place in /run /var/lib /var/log; do mount -n -t tmpfs tmpfs $place; done
  mkdir node images
  mount -n -t tmpfs -o mode=0755 tmpfs node
}

start_containerd() {
  mkdir -p cni
  cat > cni/10-bridge.conflist <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "pods0", "isGateway": true,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.77.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
  # Without CAP_SYS_RESOURCE a negative oom_score_adj cannot be written, and no sandbox starts.
  cat > containerd.toml <<END
version = 3
root = "$run/node/containerd"
state = "$run/node/containerd-state"
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "$run/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "$bin/containerd-shim-runc-v2"
END
  spawn containerd "$bin/containerd" -c containerd.toml
  await containerd "$bin/ctr" -a "$run/containerd.sock" version
}

pause_image() {
  printf '#include <signal.h>\n#include <unistd.h>\nstatic void stop(int s) { _exit(0); }\nint main(void) { signal(SIGTERM, stop); signal(SIGINT, stop); for (;;) pause(); }\n' > pause.c
  gcc -static -Os -s -o pause pause.c
  python3 "$here/image.py" images/pause.tar localhost/pause:1 pause:/pause -- /pause
  "$bin/ctr" -a "$run/containerd.sock" -n k8s.io images import images/pause.tar > import.log 2>&1
}

start_kubelet() {
  # The groups that keeper.sh removes; on cgroup v1 one in every hierarchy.
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/${run##*/}"
  else
    for hierarchy in /sys/fs/cgroup/*/; do mkdir -p "$hierarchy${run##*/}"; done
  fi
  cat > kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /${run##*/}
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
containerRuntimeEndpoint: unix://$run/containerd.sock
podLogsDir: $run/node/pod-logs
volumePluginDir: $run/node/volume-plugins
syncFrequency: 5s
END
  spawn kubelet "$bin/kubelet" --config kubelet.yaml --kubeconfig kubeconfig --root-dir "$run/node/kubelet" \
    --node-ip $address --hostname-override node1 --cert-dir "$run/node/kubelet-certs"
  await kubelet "$bin/kubectl" wait --for condition=Ready node/node1 --timeout 10s
}

# stop SIGNAL NAME
stop() {
  kill "-$1" "${pids[$2]-}" || return
  wait "${pids[$2]}" 2> /dev/null || true
}

start_all() {
  network
  credentials
  start_etcd
  if [ "$mode" = node ]; then
    private_places
    start_containerd
    start_kube-apiserver
    start_kube-controller-manager
    start_kube-scheduler
    pause_image
    start_kubelet
    await kube-controller-manager "$bin/kubectl" wait --for create serviceaccount/default --timeout 10s
  else
    start_kube-apiserver
  fi
}

trap 'echo "failed: the cluster does not start"' EXIT
start_all
trap - EXIT
echo "ready $run"
while read -r order name; do
  case $order in
    start) "start_$name" && echo done || echo "failed: $name does not start" ;;
    kill) stop KILL "$name" && echo done || echo "failed: $name is not running" ;;
    freeze) kill -STOP "${pids[$name]-}" && echo done || echo "failed: $name is not running" ;;
    thaw) kill -CONT "${pids[$name]-}" && echo done || echo "failed: $name is not running" ;;
    *) echo "failed: no such order: $order" ;;
  esac
done
