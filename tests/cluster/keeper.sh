#!/usr/bin/env bash
# Keeps a real Kubernetes for as long as its stdin is open: keeper.sh api|node TOOLS [FLAG OF THE API SERVER...]
#
# `api` is etcd and the API server; `node` is a whole cluster of one node. It lives in network, mount and process namespaces
# of its own and in one folder: it cannot reach anything outside nor be reached from there, and several run side by side.
# The kernel ends every process of a process namespace with its first one, and that one ends with stdin. So nothing
# outlives the test that holds the other end, however that test ended.
#
# What it says and obeys: see node.sh.
set -uo pipefail
here=$(dirname "$(realpath "$0")")
run=$(mktemp -d -t oxide-cluster.XXXXXXXX)
# Whoever means to stop it closes stdin; a signal for a whole terminal must not keep it from tidying up.
trap : HUP INT TERM

unshare --net --mount --pid --fork --kill-child --mount-proc "$here/node.sh" "$run" "$@" <&0 &
inside=$!
# By this process, which is in the network and mount namespaces, others find the way in.
echo $inside > "$run/inside"
while kill -0 $inside 2> /dev/null; do wait $inside; done
wait $inside
status=$?

# What its process namespace does not hold: what a killed test had started in the network, but not that test's own threads;
# and the control groups, which are named after the folder.
network=$(cat "$run/network" 2> /dev/null)
for link in $(find /proc/[0-9]*/ns/net -maxdepth 0 -lname "${network/[/\\[}" 2> /dev/null); do
  process=${link#/proc/} process=${process%%/*}
  [ "$process" = $PPID ] || kill -KILL "$process" 2> /dev/null
done
for _ in $(seq 20); do
  find /sys/fs/cgroup -depth -type d \( -name "${run##*/}" -o -path "*/${run##*/}/*" \) -exec rmdir {} + 2> /dev/null && break
  sleep 0.1
done
rm -rf --one-file-system "$run"
exit $status
