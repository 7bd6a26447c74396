"""A real tunnel over two emulated links, and what its status says about them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mqvpn_core.demo.programs import (
    Credentials,
    Program,
    make_credentials,
    start_client,
    start_server,
    start_web_host,
)
from mqvpn_core.demo.story import is_connected
from mqvpn_core.demo.topology import SERVER_IPV4
from mqvpn_core.runtime.status_values import PathStatus, Status
from tests.linkem.impairments import Impairments
from tests.linkem.two_links import LTE_LIKE, WIFI_LIKE, TwoLinks, build_two_links

_UP_PATIENCE = 20.0
_PATHS_PATIENCE = 5.0


class TwoLinkTunnel:
    """Server, web host and client; the client may be started anew with other links."""

    def __init__(self, links: TwoLinks, folder: Path, options: Sequence[str] = ()) -> None:
        """Start the server and the web host.

        Args:
            links: the world.
            folder: for keys, logs and sockets.
            options: more of the command lines of client and server.
        """
        self.links = links
        self._options = tuple(options)
        self._credentials: Credentials = make_credentials(folder)
        self.server: Program = start_server(links.world.server, self._credentials, self._options)
        self.server.wait_for(lambda _status: True, _UP_PATIENCE, "listening socket")
        start_web_host(links.world.web, folder / "web.log")
        self._client: Program | None = None

    @property
    def client(self) -> Program:
        """The client that runs now."""
        assert self._client is not None, "no client was started"
        return self._client

    def connect(self, *interfaces: str) -> Status:
        """Start a client that uses these links, in place of the one before.

        Raises:
            ProgramError: its tunnel does not come up.
        """
        if self._client is not None:
            self._client.stop()
        paths = [word for name in interfaces for word in ("--path", name)]
        self._client = start_client(
            self.links.world.client, self._credentials, SERVER_IPV4, [*paths, *self._options]
        )
        return self._client.wait_for(is_connected, _UP_PATIENCE, "tunnel")

    def paths(self) -> tuple[PathStatus, ...]:
        """The client's paths now; none while it serves no status."""
        status = self.client.status()
        return status.paths if status is not None else ()

    def usable_links(self) -> set[str]:
        """The links that have a path which may carry packets."""
        return {path.interface for path in self.paths() if path.state == "active"}

    def wait_for_paths(self, *interfaces: str, patience: float = _PATHS_PATIENCE) -> bool:
        """Wait until each of these links has a usable path; False when the time is up."""
        deadline = time.perf_counter() + patience
        while not set(interfaces) <= self.usable_links():
            if time.perf_counter() > deadline:
                return False
            time.sleep(0.02)
        return True


@contextmanager
def two_link_tunnel(
    folder: Path,
    options: Sequence[str] = (),
    wlan: Impairments = WIFI_LIKE,
    lte: Impairments = LTE_LIKE,
) -> Iterator[TwoLinkTunnel]:
    """Hold a world with a server, and no client yet, for the length of a block."""
    with build_two_links(folder, wlan, lte) as links:
        yield TwoLinkTunnel(links, folder, options)
