"""Who answers names on this machine, and how he is told of the tunnel's name servers.

The methods are tried in this order, each only where it is in force: systemd-resolved, resolvconf,
NetworkManager, and /etc/resolv.conf itself, which always is.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from itertools import islice
from pathlib import Path

from mqvpn_helper.host.dns_file import ResolvConf
from mqvpn_helper.host.dns_programs import NetworkManager, Resolvconf
from mqvpn_helper.host.dns_resolved import Resolved
from mqvpn_helper.host.tun import OpenedTun
from mqvpn_helper.interface.host_plan import DnsMethod, IPAddress

_LOGGER = logging.getLogger(__name__)
_MAX_NAME_SERVERS = 8
_STUBS = ("127.0.0.53", "127.0.0.54")


class NameService:
    """The resolver of one machine.

    A: ``methods``, ``present_servers``. C: ``silence``, ``set_servers``, ``restore``,
    ``restore_forgotten``.
    """

    def __init__(
        self, etc: Path = Path("/etc"), run: Path = Path("/run"), *, search_path: str | None = None
    ) -> None:
        """Name the places; nothing is touched yet.

        Args:
            etc: where resolv.conf is.
            run: where programs keep what a reboot forgets.
            search_path: where to look for resolvconf; the system's directories by default.
        """
        self._file = ResolvConf(etc)
        self._behind_stub = run / "systemd/resolve/resolv.conf"
        self._resolved = Resolved()
        self._resolvconf = Resolvconf() if search_path is None else Resolvconf(search_path)
        self._network_manager = NetworkManager(run)

    def methods(self) -> Iterator[DnsMethod]:
        """Yield the methods that are in force here, the best first."""
        leads_to = os.path.realpath(self._file.path)
        text = self._file.text
        if "/systemd/resolve/" in leads_to or _names_stub(text):
            if self._resolved.is_running():
                yield DnsMethod.RESOLVED
        elif "resolvconf" in leads_to or "resolvconf" in text:
            if self._resolvconf.is_installed:
                yield DnsMethod.RESOLVCONF
        elif (
            "/NetworkManager/" in leads_to or "NetworkManager" in text
        ) and self._network_manager.is_running():
            yield DnsMethod.NETWORK_MANAGER
        yield DnsMethod.FILE

    def present_servers(self) -> tuple[IPAddress, ...]:
        """Return the name servers that this machine asks now, whoever answers for it here."""
        texts = [self._file.text]
        with suppress(OSError, UnicodeError):
            texts.append(self._behind_stub.read_text("utf-8"))
        found: dict[IPAddress, None] = {}
        for line in "\n".join(texts).splitlines():
            match line.split():
                case ["nameserver", address, *_] if "%" not in address:
                    with suppress(ValueError):
                        found[ip_address(address)] = None
        others = (server for server in found if not server.is_loopback)
        return tuple(islice(others, _MAX_NAME_SERVERS))

    def silence(self, tun: OpenedTun) -> None:
        """Keep the resolver from speaking in the tunnel by itself, before the device is up.

        Args:
            tun: the device, still switched off.

        Raises:
            HostChangeError: the resolver refuses.
        """
        if next(self.methods()) is DnsMethod.RESOLVED:
            _LOGGER.debug("let systemd-resolved be silent on %s", tun.name)
            self._resolved.silence(tun)

    def set_servers(
        self, method: DnsMethod, tun: OpenedTun, servers: tuple[IPAddress, ...]
    ) -> None:
        """Tell the resolver of the tunnel's name servers; again when it has forgotten them.

        Args:
            method: one of `methods`, or the one that is in use.
            tun: the device.
            servers: name servers.

        Raises:
            HostChangeError: it could not be told.
        """
        _LOGGER.debug("name servers of %s by %s", tun.name, method.value)
        match method:
            case DnsMethod.RESOLVED:
                self._resolved.set_servers(tun, servers)
            case DnsMethod.RESOLVCONF:
                self._resolvconf.add(tun.name, servers)
            case DnsMethod.NETWORK_MANAGER:
                self._network_manager.write(tun.name, servers)
            case DnsMethod.FILE:
                self._file.write(servers)
            case DnsMethod.NONE:
                pass

    def restore(
        self, method: DnsMethod, tun_name: str, index_of: Callable[[str], int | None]
    ) -> None:
        """Take back what the resolver was told for a TUN device, whether that still exists or not.

        Args:
            method: how it was told.
            tun_name: the device.
            index_of: returns the index of a link; None when there is none of that name.

        Raises:
            HostChangeError: it could not be taken back.
        """
        if method is not DnsMethod.NONE:
            _LOGGER.debug("forget the name servers of %s by %s", tun_name, method.value)
        match method:
            case DnsMethod.RESOLVED:
                ifindex = index_of(tun_name)
                if ifindex is not None and self._resolved.is_running():
                    self._resolved.revert(ifindex)
            case DnsMethod.RESOLVCONF:
                if self._resolvconf.is_installed:
                    self._resolvconf.remove(tun_name)
            case DnsMethod.NETWORK_MANAGER:
                self._network_manager.remove(tun_name)
            case DnsMethod.FILE:
                self._file.restore()
            case DnsMethod.NONE:
                pass

    def restore_forgotten(self, in_use: Iterable[DnsMethod]) -> tuple[str, ...]:
        """Restore the file when nobody's journal speaks of it, as after a reboot.

        Args:
            in_use: methods of living instances.

        Returns:
            What was found.
        """
        if DnsMethod.FILE in set(in_use) or not self._file.has_traces:
            return ()
        _LOGGER.debug("restore %s", self._file.path)
        self._file.restore()
        return (f"restored {self._file.path}",)


def _names_stub(text: str) -> bool:
    return any(
        line.split()[:2] in (["nameserver", stub] for stub in _STUBS) for line in text.splitlines()
    )
