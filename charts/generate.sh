#!/usr/bin/env bash
# Brings what is generated in charts/ up to date: the copies under files/ (a chart cannot read what lies outside it), and the README.
# helm-docs is looked for in OXIDE_CLUSTER_TOOLS, else in ~/.cache/oxide-operator/cluster.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=${OXIDE_CLUSTER_TOOLS:-$HOME/.cache/oxide-operator/cluster}
chart=charts/oxide-operator

rm -f "$chart"/files/crds/*.yaml
mkdir -p "$chart/files/crds"
for crd in crds/*.yaml; do
  [ -e "$crd" ] || { echo "there is no crds/*.yaml yet: make the definitions first" >&2; break; }
  cp "$crd" "$chart/files/crds/"
done
cp config/prometheus/oxide-operator.rules.yaml "$chart/files/"
"$tools/helm-docs" --chart-search-root="$chart" --log-level=warning
