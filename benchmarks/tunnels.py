"""Ways between two machines whose throughput is compared: the bare link, and tunnels over it."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Pair
from benchmarks.other_tunnels import STARTERS
from mqvpn_core.dataplane.choice import VARIABLE
from mqvpn_core.demo.namespaces import NetworkNamespace, join, namespaces
from mqvpn_core.demo.programs import Program, make_credentials, start_client, start_server
from mqvpn_core.demo.story import is_connected

INNER_SERVER = "10.0.0.1"

_UP_PATIENCE = 20.0
_NETWORKS = ("192.0.2", "192.0.3")
_LINKS = (("wlan0", "eth0"), ("lte0", "eth1"))
# What a link without segmentation hardware does not do.
_OFFLOADS = ("tso", "gso", "gro", "tx-udp-segmentation")
_TOOL_PATIENCE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What to set up."""

    variant: str
    """``raw``, ``tunnel`` or the name of another program."""
    kernel: str | None = None
    """Data plane of a tunnel."""
    paths: int = 1
    """Links between the machines, and paths of the tunnel over them."""
    offloads: bool = True
    """The links take and give segments of 64 KB, as veth does by itself."""

    @property
    def name(self) -> str:
        """On the command line and in tables."""
        name = self.variant if self.kernel is None else self.kernel
        name += f"-x{self.paths}" if self.paths > 1 else ""
        return name if self.offloads else f"{name}-plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A way that is up."""

    way: Way
    """What it is."""
    pair: Pair
    """The machines and the address to measure towards."""
    programs: tuple[Program, Program] | None
    """Client and server of the tunnel."""


@contextmanager
def settings(ways: list[Way], scratch: Path) -> Iterator[list[Setting]]:
    """Hold several ways at once, each between machines of its own, for the length of a block."""
    with ExitStack() as held:
        made = []
        for number, way in enumerate(ways):
            folder = scratch / str(number)
            folder.mkdir()
            made.append(held.enter_context(_setting(way, folder)))
        yield made


@contextmanager
def _setting(way: Way, folder: Path) -> Iterator[Setting]:
    with namespaces("client", "server") as (client, server):
        for index in range(way.paths):
            _link(client, server, index, folder, offloads=way.offloads)
        address = f"{_NETWORKS[0]}.1"
        programs = None
        if way.kernel is not None:
            programs = _tunnel(client, server, way, folder)
            address = INNER_SERVER
        elif way.variant in STARTERS:
            programs = STARTERS[way.variant](client, server, address, folder)
            address = INNER_SERVER
        pair = Pair(client=client, server=server, address=address, scratch=folder)
        yield Setting(way=way, pair=pair, programs=programs)


def _link(
    client: NetworkNamespace,
    server: NetworkNamespace,
    index: int,
    folder: Path,
    *,
    offloads: bool,
) -> None:
    network, (near, far) = _NETWORKS[index], _LINKS[index]
    join(client, near, server, far)
    client.add_address(near, f"{network}.2/24")
    server.add_address(far, f"{network}.1/24")
    client.add_route("0.0.0.0/0", f"{network}.1", metric=100 + index)
    if not offloads:
        for namespace, link in ((client, near), (server, far)):
            words = [word for name in _OFFLOADS for word in (name, "off")]
            process = namespace.start(["ethtool", "-K", link, *words], folder / "ethtool.log")
            process.wait(_TOOL_PATIENCE)


def _tunnel(
    client: NetworkNamespace, server: NetworkNamespace, way: Way, folder: Path
) -> tuple[Program, Program]:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = way.kernel or ""
    try:
        credentials = make_credentials(folder)
        serving = start_server(server, credentials)
        serving.wait_for(lambda _status: True, _UP_PATIENCE, "listening socket")
        options = [word for near, _ in _LINKS[: way.paths] for word in ("--path", near)]
        if way.paths == 1:
            options = []
        connecting = start_client(client, credentials, f"{_NETWORKS[0]}.1", options)
        connecting.wait_for(is_connected, _UP_PATIENCE, "tunnel")
        connecting.wait_for(
            lambda status: sum(path.state == "active" for path in status.paths) >= way.paths,
            _UP_PATIENCE,
            "path for each link",
        )
        # Path MTU discovery and whatever else is done once.
        time.sleep(1)
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
    return connecting, serving
