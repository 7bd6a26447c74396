"""What goes wrong with one client stays with that client; names are resolved beside the packets."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.masque.server_session import ServerSession
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams
from tests.runtime.test_client_and_server import crosses, is_up, tell
from tests.runtime.visitor import visit
from tests.runtime.world import KEYS, OUTSIDE, World, eventually, ip_packet

pytestmark = pytest.mark.slow

POISON = b"poison"


def test_a_fault_in_one_session_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sound = ServerSession.send_ip_packets

    def faulty(self: ServerSession, packets: Sequence[bytes], now: Instant) -> None:
        if any(packet.endswith(POISON) for packet in packets):
            raise RuntimeError("planted")
        sound(self, packets, now)

    monkeypatch.setattr(ServerSession, "send_ip_packets", faulty)

    async def story(scene: World) -> None:
        server = await scene.serve()
        alice = scene.connect(replace(scene.client_config(server), reconnect_interval=0.2))
        bob = scene.connect(replace(scene.client_config(server, "bob"), reconnect=False))
        await is_up(alice)
        await is_up(bob)
        server.host.send_into_tun([ip_packet(OUTSIDE, alice.address, POISON)])
        await eventually(lambda: "planted" in caplog.text)
        await crosses(bob, server, b"undisturbed")
        await crosses(alice, server, b"back again")
        assert not bob.over.is_set()
        assert len(alice.host.plans) == len(bob.host.plans)

    tell(tmp_path, story)


def test_a_fault_in_one_connection_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sound = MultipathConnection.receive_datagrams
    accepted: list[MultipathConnection] = []
    victims: list[MultipathConnection] = []

    def faulty(self: MultipathConnection, batch: ReceivedDatagrams, now: Instant) -> None:
        if self in victims:
            raise RuntimeError("planted")
        if not self.is_client and self not in accepted:
            accepted.append(self)
        sound(self, batch, now)

    monkeypatch.setattr(MultipathConnection, "receive_datagrams", faulty)

    async def story(scene: World) -> None:
        server = await scene.serve()
        bob = scene.connect(replace(scene.client_config(server, "bob"), reconnect=False))
        await is_up(bob)
        alice = scene.connect(replace(scene.client_config(server), reconnect_interval=0.2))
        await is_up(alice)
        victims.append(accepted[1])
        # The server forgets her connection; a stateless reset tells her so.
        await crosses(alice, server, b"in the end", attempts=50)
        assert "planted" in caplog.text
        assert len(accepted) == 3
        await crosses(bob, server, b"undisturbed")

    tell(tmp_path, story)


def test_a_tunnel_to_a_name_waits_for_its_address_only(tmp_path: Path) -> None:
    async def story(scene: World) -> None:
        server = await scene.serve()
        scene.names["web.test"] = ["203.0.113.9"]
        async with visit(server.port) as visitor:
            path = b"/.well-known/masque/ip/%s/17/"
            known = await visitor.open_tunnel(path % b"web.test", KEYS["bob"])
            assert known.status == 200
            unknown = await visitor.open_tunnel(path % b"nowhere.test", KEYS["bob"])
            assert unknown.status >= 400
            assert b"dns" in unknown.headers[b"proxy-status"]

    tell(tmp_path, story)
