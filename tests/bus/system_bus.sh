#!/bin/bash
# A system bus of its own, with the machine's polkitd, until it is killed.
#
# Run by tests/bus/system_bus.py in new mount and PID namespaces: the stock dbus-daemon and polkitd
# with this checkout's resources, over overlays of /etc, /usr/share/dbus-1 and /usr/share/polkit-1.
# Nothing of it is visible outside; everything ends with the PID namespace.
#
# polkitd decides by login sessions and asks libsystemd, which reads files below /run/systemd and
# the cgroup path of the caller: both are made here for the users of BUS_SESSIONS.
set -eu

overlay() {
    upper=/run/dbus/overlays/$(echo "$1" | tr / _)
    mkdir -p "$upper/data" "$upper/work"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$upper/data,workdir=$upper/work" "$1"
}

# The interpreter may be below a directory that only root may enter; other users start it here.
open_way() {
    closed=
    for needed in "$@"; do
        parent=$needed
        while [ "$parent" != / ]; do
            parent=$(dirname "$parent")
            case $(stat -c %A "$parent") in
            *[xt]) ;;
            *) closed=$parent ;;
            esac
        done
    done
    [ -n "$closed" ] || return 0
    number=0
    for needed in "$@"; do
        case $needed/ in
        "$closed"/*)
            number=$((number + 1))
            mkdir -p "/run/dbus/way/$number"
            mount --bind "$needed" "/run/dbus/way/$number"
            ;;
        esac
    done
    mount -t tmpfs -o mode=755 tmpfs "$closed"
    number=0
    for needed in "$@"; do
        case $needed/ in
        "$closed"/*)
            number=$((number + 1))
            mkdir -p "$needed"
            mount --move "/run/dbus/way/$number" "$needed"
            ;;
        esac
    done
    open_way "$@"
}

make_session() { # make_session USER UID SEAT ID
    scope=user.slice/user-$2.slice/session-$4.scope
    mkdir -p "/sys/fs/cgroup/$scope"
    printf '%s\n' "UID=$2" "USER=$1" ACTIVE=1 IS_DISPLAY=1 STATE=active REMOTE=0 TYPE=x11 \
        CLASS=user "SCOPE=session-$4.scope" "SEAT=$3" >"/run/systemd/sessions/$4"
    printf '%s\n' "NAME=$1" STATE=active "DISPLAY=$4" "SESSIONS=$4" "ACTIVE_SESSIONS=$4" \
        "ONLINE_SESSIONS=$4" "SEATS=$3" "ACTIVE_SEATS=$3" >"/run/systemd/users/$2"
    printf '%s\n' "ACTIVE=$4" "ACTIVE_UID=$2" "SESSIONS=$4" "UIDS=$2" >"/run/systemd/seats/$3"
}

for directory in dbus systemd mqvpn; do
    mkdir -p "/run/$directory"
    mount -t tmpfs -o mode=755 tmpfs "/run/$directory"
done
mkdir -p /run/systemd/sessions /run/systemd/users /run/systemd/seats /run/systemd/machines
for directory in /etc /usr/share/dbus-1 /usr/share/polkit-1; do
    overlay "$directory"
done
# shellcheck disable=SC2086  # a list of paths without blanks
open_way $BUS_NEEDED_PATHS

while read -r name uid; do
    [ -n "$name" ] || continue
    getent passwd "$name" >/dev/null || {
        echo "$name:x:$uid:$uid::/nonexistent:/bin/bash" >>/etc/passwd
        echo "$name:x:$uid:" >>/etc/group
        echo "$name:!:19000:0:99999:7:::" >>/etc/shadow
    }
done <<TEXT
$BUS_USERS
TEXT

mkdir -p /usr/share/dbus-1/system.d /usr/share/dbus-1/system-services
mkdir -p /usr/share/polkit-1/actions /etc/polkit-1/rules.d
install -m 644 "$BUS_RESOURCES"/org.*.conf /usr/share/dbus-1/system.d/
install -m 644 "$BUS_RESOURCES"/*.policy /usr/share/polkit-1/actions/
sed -e "s|^Exec=.*|Exec=$BUS_HELPER|" -e /^SystemdService=/d \
    "$BUS_RESOURCES/org.mqvpn.Helper1.service" \
    >/usr/share/dbus-1/system-services/org.mqvpn.Helper1.service
[ -z "$BUS_RULES" ] || printf '%s\n' "$BUS_RULES" >/etc/polkit-1/rules.d/10-test.rules

# Whoever plays logind is root.
cat >/usr/share/dbus-1/system.d/logind.conf <<'TEXT'
<busconfig>
  <policy user="root"><allow own="org.freedesktop.login1"/></policy>
  <policy context="default"><allow send_destination="org.freedesktop.login1"/></policy>
</busconfig>
TEXT

mount -t cgroup2 cgroup2 /sys/fs/cgroup
seat=0
for user in $BUS_SESSIONS; do
    uid=$(id -u "$user")
    make_session "$user" "$uid" "seat$seat" "$user$BUS_TAG"
    seat=$((seat + 1))
done

dbus-daemon --system --nofork --nopidfile >"$BUS_LOGS/dbus.log" 2>&1 &
tries=0
until [ -S /run/dbus/system_bus_socket ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || exit 1
    sleep 0.05
done
"$BUS_POLKITD" --no-debug >"$BUS_LOGS/polkitd.log" 2>&1 &
until gdbus call --system -d org.freedesktop.DBus -o /org/freedesktop/DBus \
    -m org.freedesktop.DBus.NameHasOwner org.freedesktop.PolicyKit1 2>/dev/null | grep -q true; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || exit 1
    sleep 0.05
done
echo ready
exec sleep infinity
