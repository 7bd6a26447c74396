"""Fixtures of the runtime's tests."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from mqvpn_core.dataplane import kernel
from mqvpn_core.ids import SocketAddress
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from tests.helper.namespaces import add_uplink, fresh_namespace
from tests.runtime.udp_scene import Opener

_READERS = ["one by one"] if kernel.make_datagram_reader is None else ["one by one", "together"]


@pytest.fixture(params=_READERS)
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    if request.param == "one by one":
        monkeypatch.setattr(kernel, "make_datagram_reader", None)
    with ExitStack() as stack:

        def open_socket(
            host: str,
            port: int = 0,
            *,
            interface: str | None = None,
            buffer_bytes: int | None = None,
            segmentation: bool = True,
        ) -> UdpSocket:
            options = UdpOptions(interface=interface, segmentation=segmentation)
            if buffer_bytes is not None:
                options = replace(
                    options, receive_buffer_bytes=buffer_bytes, send_buffer_bytes=buffer_bytes
                )
            made = UdpSocket(SocketAddress(host, port), options)
            stack.callback(made.close)
            return made

        yield open_socket


@pytest.fixture
def namespace() -> Iterator[None]:
    with fresh_namespace():
        add_uplink()
        yield
