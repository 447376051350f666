#!/usr/bin/env bash
# Builds the components of a real Kubernetes, and Helm, as Go modules: tools.sh OUT
# About twelve minutes on two cores the first time; afterwards a look at the stamps. Debian supplies runc and the CNI plugins.
set -euo pipefail
out=$(mkdir -p "${1:?usage: tools.sh OUT}" && cd "$1" && pwd)
kubernetes=1.37.2 etcd=3.7.3 containerd=2.4.2 helm4=4.3.1 helm3=3.22.0 helm_docs=1.14.2 prometheus_operator=0.92.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build NAME VERSION FUNCTION: once for each version.
build() {
  local stamp="$out/.$1"
  [ "$(cat "$stamp" 2>/dev/null)" = "$2" ] && return
  printf '\n== building %s %s\n' "$1" "$2"
  (mkdir "$work/$1" && cd "$work/$1" && "$3" "$2")
  echo "$2" > "$stamp"
}

# Every staging module is replaced by its published twin; without the version kubectl and helm choke on the server's.
build_kubernetes() {
  local gomod commands=(kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl)
  gomod=$(go mod download -json "k8s.io/kubernetes@v$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["GoMod"])')
  {
    printf 'module cluster.test\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$1"
    awk -v v="v0.${1#*.}" '/=> .\/staging/ {print "\t" $1 " => " $1 " " v}' "$gomod"
    printf ')\n'
  } > go.mod
  go get -tool "${commands[@]/#/k8s.io/kubernetes/cmd/}"
  go build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$1" \
    -o "$out/" "${commands[@]/#/k8s.io/kubernetes/cmd/}"
}

# Debian's etcd 3.4 starts, but its watch cache answers 504 to a current API server, and watches miss edits.
build_etcd() {
  go mod init etcd.test
  go get "go.etcd.io/etcd/server/v3@v$1"
  go build -trimpath -ldflags "-s -w" -o "$out/etcd" go.etcd.io/etcd/server/v3
}

build_containerd() {
  GOBIN=$out go install -trimpath -ldflags "-s -w" github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr}@v"$1"
}

# Both majors are in use, and they differ in how they treat resource definitions.
build_helm4() {
  GOBIN=$out go install -trimpath -ldflags "-s -w" "helm.sh/helm/v4/cmd/helm@v$1"
  mv "$out/helm" "$out/helm4"
}
build_helm3() {
  GOBIN=$out go install -trimpath -ldflags "-s -w" "helm.sh/helm/v3/cmd/helm@v$1"
  mv "$out/helm" "$out/helm3"
}

build_helm_docs() {
  GOBIN=$out go install -trimpath -ldflags "-s -w" "github.com/norwoodj/helm-docs/cmd/helm-docs@v$1"
}

# Not the operator: its definitions, by which the API server judges what the chart writes for it.
build_prometheus_operator() {
  local folder kind
  folder=$(go mod download -json "github.com/prometheus-operator/prometheus-operator@v$1" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
  mkdir -p "$out/prometheus-operator"
  for kind in podmonitors prometheusrules servicemonitors; do
    install -m 644 "$folder/example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml" "$out/prometheus-operator/"
  done
}

build kubernetes $kubernetes build_kubernetes
build etcd $etcd build_etcd
build containerd $containerd build_containerd
build helm4 $helm4 build_helm4
build helm3 $helm3 build_helm3
build helm-docs $helm_docs build_helm_docs
build prometheus-operator $prometheus_operator build_prometheus_operator
