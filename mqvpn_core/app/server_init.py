"""Writes what a new server needs: configuration, certificate and an empty file of users.

What the operator does not say is looked up on this machine: where clients find it, and networks
for the tunnel that it does not use already.
"""

import datetime as dt
import os
import pwd
import secrets
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

from mqvpn_core.app.certificates import (
    CertificateFiles,
    make_self_signed,
    write_certificate,
)
from mqvpn_core.app.new_files import write_new_file
from mqvpn_core.errors import ConfigError, HostError

DEFAULT_DIRECTORY = Path("/etc/mqvpn")
"""Where the configuration of an installed server is."""
SERVER_USER = "mqvpn-server"
"""System user that an installed server runs as."""
CERTIFICATE_DAYS = 3650
"""How long a self-signed certificate is valid: clients pin it, so nobody renews it."""

_ROUTES = Path("/proc/net/route")
_CANDIDATES = tuple(IPv4Network(f"10.{number}.0.0/24") for number in (86, 99, 117, 143, 201))
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # nothing is sent
_GROUP_MAY_READ = 0o640
_OWNER_MAY_READ = 0o600
_RUN = "/run/mqvpn-server"
_STATE = "/var/lib/mqvpn-server"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewServer:
    """What the operator wants."""

    host: str
    """Where clients find it: a name or an address."""
    port: int
    """UDP port to listen on."""
    subnet: IPv4Network
    """Pool of IPv4 addresses."""
    subnet6: IPv6Network | None
    """Pool of IPv6 addresses."""
    directory: Path = DEFAULT_DIRECTORY
    """Where to write."""
    certificate: tuple[Path, Path] | None = None
    """Certificate and key that are there, such as ACME's; None makes a self-signed one."""
    overwrite: bool = False
    """Replace a configuration and a certificate that are there; users stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """Where packets of clients leave this machine."""

    interface: str
    """Name of the network interface."""
    address: str
    """Address that it sends from."""

    @property
    def is_public(self) -> bool:
        """Whether clients elsewhere can reach that address."""
        return ip_address(self.address).is_global


def find_way_out(routes: Path = _ROUTES) -> WayOut | None:
    """Return where the default route leads; None when there is none.

    Args:
        routes: the kernel's table of IPv4 routes.
    """
    rows = _rows(routes)
    defaults = [row for row in rows if row[1] == "00000000" and row[7] == "00000000"]
    for family in (socket.AF_INET, socket.AF_INET6):
        address = _source_address(family)
        if address is not None:
            interface = min(defaults, key=lambda row: int(row[6]))[0] if defaults else ""
            return WayOut(interface=interface, address=address)
    return None


def free_subnet(routes: Path = _ROUTES) -> IPv4Network:
    """Return a network for clients that this machine does not use already."""
    used = [_network(row) for row in _rows(routes)]
    for candidate in _CANDIDATES:
        if not any(each.prefixlen and each.overlaps(candidate) for each in used):
            return candidate
    raise ConfigError("this machine uses all networks that were tried: choose one with --subnet")


def new_subnet6() -> IPv6Network:
    """Return a network of RFC 4193, with a random identifier as section 3.2 wants it."""
    return IPv6Network((b"\xfd" + secrets.token_bytes(5) + bytes(10), 64))


def configuration_text(server: NewServer) -> str:
    """Return the content of ``server.toml``."""
    cert, key = server.certificate or (Path("server.crt"), Path("server.key"))
    lines = [
        "# A server of mqvpn, made by 'mqvpn-core server init'. After a change:",
        "# systemctl reload mqvpn-server",
        'mode = "server"',
        f'listen = ["[::]:{server.port}"]',
        f"cert_file = {_quoted(cert)}",
        f"key_file = {_quoted(key)}",
        'users_file = "users"        # mqvpn-core user add NAME',
        f'subnet = "{server.subnet}"',
    ]
    if server.subnet6 is not None:
        lines.append(f'subnet6 = "{server.subnet6}"')
    if server.directory == DEFAULT_DIRECTORY:
        lines += [
            f'control_socket = "{_RUN}/control.sock"',
            f'lease_file = "{_STATE}/leases.json"',
        ]
    return "\n".join(lines) + "\n"


def write_server(server: NewServer, now: dt.datetime) -> tuple[Path, ...]:
    """Write all files; return them, the configuration first.

    Raises:
        ConfigError: there is a server already.
        HostError: the system refuses.
    """
    directory = server.directory
    config, users = directory / "server.toml", directory / "users"
    if config.exists() and not server.overwrite:
        raise ConfigError(f"{config} exists already; --force makes a new one, users stay")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"{directory}: {error.strerror}") from None
    written = [config]
    if server.certificate is None:
        files = CertificateFiles(
            cert_file=directory / "server.crt",
            key_file=directory / "server.key",
            overwrite=server.overwrite,
        )
        write_certificate(make_self_signed([server.host], CERTIFICATE_DAYS, now), files)
        written += [files.cert_file, files.key_file]
    if not users.exists():
        write_new_file(users, b"", mode=_GROUP_MAY_READ, overwrite=False)
        written.append(users)
    text = configuration_text(server).encode()
    write_new_file(config, text, mode=_GROUP_MAY_READ, overwrite=server.overwrite)
    _give_to_server(written)
    return tuple(written)


def _give_to_server(files: Iterable[Path]) -> None:
    """Let the system user of the server read all, and nobody else the private key."""
    try:
        server = pwd.getpwnam(SERVER_USER)
    except KeyError:
        return  # not installed as a package: whoever runs this runs the server
    if os.geteuid() != 0:
        return
    for file in files:
        is_key = file.suffix == ".key"
        os.chown(file, server.pw_uid if is_key else 0, server.pw_gid)
        file.chmod(_OWNER_MAY_READ if is_key else _GROUP_MAY_READ)


def _rows(routes: Path) -> list[list[str]]:
    try:
        lines = routes.read_text("ascii", "replace").splitlines()[1:]
    except OSError:
        return []
    return [line.split() for line in lines if len(line.split()) >= 8]  # noqa: PLR2004 - up to the mask


def _network(row: list[str]) -> IPv4Network:
    # Both are numbers in the byte order of the machine, in hexadecimal digits.
    address, mask = (
        int.from_bytes(int(row[place], 16).to_bytes(4, sys.byteorder)) for place in (1, 7)
    )
    return IPv4Network((address & mask, mask.bit_count()))


def _source_address(family: socket.AddressFamily) -> str | None:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE[family], 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
