#!/bin/bash
# A systemd of its own that runs a service through a crash, a restart, and a stop.
#
# Run by tests/bus/test_systemd_store.py in new mount, PID, cgroup and network namespaces.
# systemd_user.sh DIRECTORY: the unit keeper.service is there, and the service writes to log there.
set -eu

directory=$1
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$2"
echo $$ >"/sys/fs/cgroup/$2/cgroup.procs"
export XDG_RUNTIME_DIR=/run/user/0 HOME=/run/user/0
export SYSTEMD_UNIT_PATH=$directory:/usr/lib/systemd/user
/lib/systemd/systemd --user --unit=basic.target >"$directory/systemd.log" 2>&1 &

wait_for() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || { echo "no $*" && exit 1; }
        sleep 0.05
    done
}
lines() { [ "$(wc -l <"$directory/log")" = "$1" ]; }
keeps() { [ "$(systemctl --user show -p NFileDescriptorStore --value keeper)" = 1 ]; }

wait_for systemctl --user start keeper
wait_for lines 1
wait_for keeps
systemctl --user kill --signal=KILL keeper
wait_for lines 2
wait_for keeps
systemctl --user restart keeper
wait_for lines 3
wait_for keeps
systemctl --user stop keeper
systemctl --user start keeper
wait_for lines 4
systemctl --user stop keeper
