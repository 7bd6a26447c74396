"""Name servers through resolvconf (Debian's or openresolv) and through NetworkManager.

Both keep what they are told below /run: a reboot forgets it.
"""

import shutil
from pathlib import Path

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.programs import SEARCH_PATH, run_program
from mqvpn_helper.host.system_bus import SystemBus
from mqvpn_helper.interface.host_plan import IPAddress

# Not $PATH: this runs as root.
_DEADLINE = 20.0
# Begins with "tun": Debian's order puts such names before those of Ethernet and Wi-Fi.
_RECORD_PREFIX = "tun.mqvpn."
_RELOAD_CONFIGURATION = 1
_NETWORK_MANAGER = (
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
)
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


class Resolvconf:
    """The command ``resolvconf``."""

    def __init__(self, search_path: str = SEARCH_PATH) -> None:
        """Say where to look.

        Args:
            search_path: directories that may hold the command, separated by colons.
        """
        self._search_path = search_path

    @property
    def is_installed(self) -> bool:
        """Whether it exists, and is not systemd's resolvectl under another name."""
        command = shutil.which("resolvconf", path=self._search_path)
        return command is not None and Path(command).resolve().name != "resolvectl"

    def add(self, tun_name: str, servers: tuple[IPAddress, ...]) -> None:
        """Name the servers of a TUN device, and nobody else's where that is possible.

        Args:
            tun_name: the device.
            servers: its name servers.

        Raises:
            HostChangeError: the command failed.
        """
        text = "".join(f"nameserver {server}\n" for server in servers)
        # -m 0 -x make it the only one for openresolv; Debian's program does not look at them.
        self._run(["-a", f"{_RECORD_PREFIX}{tun_name}", "-m", "0", "-x"], text)

    def remove(self, tun_name: str) -> None:
        """Forget the servers of a TUN device; one it does not know is no error.

        Args:
            tun_name: the device.

        Raises:
            HostChangeError: the command failed.
        """
        self._run(["-f", "-d", f"{_RECORD_PREFIX}{tun_name}"], "")

    def _run(self, arguments: list[str], text: str) -> None:
        command = shutil.which("resolvconf", path=self._search_path)
        if command is None:
            raise HostChangeError("the resolvconf command is gone")
        if arguments[0] == "-f" and not _is_openresolv(command):
            arguments = arguments[1:]
        run_program(
            [command, *arguments],
            text,
            search_path=self._search_path,
            seconds=_DEADLINE,
            complaint="resolvconf failed",
        )


class NetworkManager:
    """NetworkManager, told by a file that overrides the servers of every connection."""

    def __init__(self, run: Path = Path("/run")) -> None:
        """Name the directory.

        Args:
            run: where its volatile configuration is.
        """
        self._directory = run / "NetworkManager/conf.d"

    def is_running(self) -> bool:
        """Whether it is there to be told."""
        try:
            with SystemBus() as bus:
                answer = bus.call(_BUS, "NameHasOwner", "s", (_NETWORK_MANAGER[0],))
        except HostChangeError:
            return False
        return answer == (True,)

    def write(self, tun_name: str, servers: tuple[IPAddress, ...]) -> None:
        """Name the servers of a TUN device.

        Args:
            tun_name: the device.
            servers: its name servers.

        Raises:
            HostChangeError: the file cannot be written, or NetworkManager does not take it.
        """
        listed = ",".join(str(server) for server in servers)
        text = f"# Written by mqvpn\n[global-dns-domain-*]\nservers={listed}\n"
        path = self._path(tun_name)
        try:
            if path.is_file() and path.read_text("ascii") == text:
                return
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.write_text(text, "ascii")
        except (OSError, UnicodeError) as error:
            raise HostChangeError(f"cannot write {path}: {error}") from error
        self._reload()

    def remove(self, tun_name: str) -> None:
        """Forget the servers of a TUN device; harmless when there are none.

        Args:
            tun_name: the device.

        Raises:
            HostChangeError: NetworkManager does not take it back.
        """
        try:
            self._path(tun_name).unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise HostChangeError(f"cannot remove {self._path(tun_name)}: {error}") from error
        if self.is_running():
            self._reload()

    def _reload(self) -> None:
        with SystemBus() as bus:
            bus.call(_NETWORK_MANAGER, "Reload", "u", (_RELOAD_CONFIGURATION,))

    def _path(self, tun_name: str) -> Path:
        return self._directory / f"90-mqvpn-{tun_name}.conf"


def _is_openresolv(command: str) -> bool:
    """Tell the two programs apart: only openresolv knows ``-f``: what is not there is no error."""
    try:
        return b"openresolv" in Path(command).read_bytes()[: 1 << 16]
    except OSError:
        return False
