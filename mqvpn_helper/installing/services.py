"""Users, units and bus of this machine around an installation; all of it by the system's tools."""

import pwd
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

USERS = ("mqvpn", "mqvpn-server")
"""System users that own nothing, and what runs as them."""

_SYSTEMD = Path("/run/systemd/system")
_KILL_SWITCH = "mqvpn-killswitch.service"
_UNITS = ("mqvpn-helper.service", "mqvpn-server.service", "mqvpn-client@*.service")


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)  # noqa: S603 - fixed words


class Services:
    """What an installation tells the system. C: `begin`, `end`, `forget`."""

    def __init__(
        self,
        run: Callable[[Sequence[str]], None] = _run,
        *,
        has_systemd: Callable[[], bool] = _SYSTEMD.is_dir,
        has_user: Callable[[str], bool] | None = None,
    ) -> None:
        """Use the tools of this machine.

        Args:
            run: runs a command.
            has_systemd: whether units can be started and stopped.
            has_user: whether there is a user of that name.
        """
        self._run = run
        self._has_systemd = has_systemd
        self._has_user = _has_user if has_user is None else has_user

    def begin(self) -> None:
        """Make users, tell the bus and systemd of new files, have the kill switch from boot on."""
        for user in USERS:
            if not self._has_user(user):
                self._run(
                    [
                        *("useradd", "--system", "--user-group", "--home-dir", "/nonexistent"),
                        *("--no-create-home", "--shell", "/usr/sbin/nologin", user),
                    ]
                )
        if shutil.which("systemctl") is not None:
            self._run(["systemctl", "enable", "--quiet", _KILL_SWITCH])
        if self._has_systemd():
            self._run(["systemctl", "daemon-reload"])
            self._run(["systemctl", "try-restart", "mqvpn-helper.service"])
        self._tell_bus()

    def end(self) -> None:
        """Stop everything, and take back what it did to the machine."""
        if self._has_systemd():
            self._run(["systemctl", "stop", *_UNITS])
        self._run(["/usr/bin/mqvpn-core", "recover", "--stop"])
        if shutil.which("systemctl") is not None:
            self._run(["systemctl", "disable", "--quiet", _KILL_SWITCH, "mqvpn-server.service"])
        for link in Path("/etc/systemd/system").glob("*.wants/mqvpn-client@*.service"):
            link.unlink()
        if self._has_systemd():
            self._run(["systemctl", "stop", _KILL_SWITCH])

    def forget(self, *, purge: bool) -> None:
        """Tell the bus and systemd that files are gone.

        Args:
            purge: remove the users as well, whose files are about to go.
        """
        for user in USERS if purge else ():
            if self._has_user(user):
                self._run(["userdel", user])
        if self._has_systemd():
            self._run(["systemctl", "daemon-reload"])
        self._tell_bus()

    def _tell_bus(self) -> None:
        if Path("/run/dbus/system_bus_socket").exists():
            self._run(
                [
                    *("dbus-send", "--system", "--type=method_call", "--dest=org.freedesktop.DBus"),
                    *("/org/freedesktop/DBus", "org.freedesktop.DBus.ReloadConfig"),
                ]
            )


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
