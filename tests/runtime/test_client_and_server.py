"""Client and server as they run, over real sockets; only the machines are in memory."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address
from pathlib import Path
from types import MappingProxyType

import pytest
import trio

from mqvpn_core.testing.fake_host import FakeHost
from mqvpn_core.tunnel.lifecycle import FailureKind
from mqvpn_helper.interface.network_rules import MachineNetworks
from tests.runtime.world import (
    OUTSIDE,
    RunningClient,
    RunningServer,
    World,
    eventually,
    hash_of,
    ip_packet,
    open_descriptors,
    world,
)

pytestmark = pytest.mark.slow

Story = Callable[[World], Awaitable[None]]


def tell(folder: Path, story: Story) -> None:
    """Run a story, and see that it leaves no descriptor open."""
    before = open_descriptors()

    async def main() -> None:
        async with world(folder) as scene:
            await story(scene)

    trio.run(main)
    assert open_descriptors() == before


async def is_up(client: RunningClient) -> None:
    await eventually(lambda: client.host.plan is not None or client.over.is_set())
    assert client.host.plan is not None


async def crosses(
    client: RunningClient, server: RunningServer, content: bytes, *, attempts: int = 1
) -> None:
    """Send a packet each way and wait for it on the other side.

    Args:
        client: one end.
        server: the other.
        content: what tells these packets from others.
        attempts: how often to send when it may get lost.
    """
    up = ip_packet(client.address, OUTSIDE, content)
    down = ip_packet(OUTSIDE, client.address, content[::-1])
    await _delivers(client.host, server.host, up, attempts)
    await _delivers(server.host, client.host, down, attempts)


async def _delivers(source: FakeHost, target: FakeHost, packet: bytes, attempts: int) -> None:
    for _ in range(attempts - 1):
        source.send_into_tun([packet])
        with trio.move_on_after(0.2):
            await eventually(lambda: packet in target.packets_from_tun())
            return
    source.send_into_tun([packet])
    await eventually(lambda: packet in target.packets_from_tun())


def test_packets_cross_and_a_clean_end_restores_both_machines(tmp_path: Path) -> None:
    async def story(scene: World) -> None:
        server = await scene.serve()
        client = scene.connect(scene.client_config(server))
        await is_up(client)
        plan = client.host.plan
        assert plan is not None
        assert client.address in IPv4Network("10.0.0.0/24")
        assert any(isinstance(each.ip, IPv6Address) for each in plan.addresses)
        assert IPv4Network("0.0.0.0/1") in plan.routes
        await crosses(client, server, b"first")
        client.stop.set()
        await client.over.wait()
        assert client.result is None
        assert client.host.plan is None
        server.stop.set()
        await server.over.wait()
        assert server.host.plan is None
        leases = json.loads((scene.folder / "leases.json").read_text())["leases"]
        assert {lease["user"] for lease in leases} == {"alice"}

    tell(tmp_path, story)


def test_two_clients_have_their_own_addresses_and_packets(tmp_path: Path) -> None:
    async def story(scene: World) -> None:
        server = await scene.serve()
        alice = scene.connect(scene.client_config(server))
        bob = scene.connect(scene.client_config(server, "bob"))
        await is_up(alice)
        await is_up(bob)
        assert alice.address != bob.address
        await crosses(alice, server, b"of alice")
        assert bob.host.packets_from_tun() == []
        # Neither a stolen source address nor the other client is let through.
        stolen = ip_packet(bob.address, OUTSIDE, b"stolen")
        direct = ip_packet(alice.address, bob.address, b"direct")
        alice.host.send_into_tun([stolen, direct])
        await crosses(alice, server, b"afterwards")
        assert stolen not in server.host.packets_from_tun()
        assert bob.host.packets_from_tun() == []

    tell(tmp_path, story)


def test_a_wrong_key_is_refused_with_its_reason(tmp_path: Path) -> None:
    async def story(scene: World) -> None:
        server = await scene.serve(replace(scene.server_config(), users=MappingProxyType({})))
        client = scene.connect(scene.client_config(server))
        await client.over.wait()
        assert client.result is not None
        assert client.result.kind is FailureKind.CREDENTIALS
        assert client.host.plans == []

    tell(tmp_path, story)


def test_an_untrusted_certificate_is_refused(tmp_path: Path) -> None:
    async def story(scene: World) -> None:
        server = await scene.serve()
        client = scene.connect(replace(scene.client_config(server), pins=(), reconnect=False))
        await client.over.wait()
        assert client.result is not None
        assert client.result.kind is FailureKind.CERTIFICATE
        assert "--pin" in client.result.message

    tell(tmp_path, story)


def test_an_address_that_no_machine_can_have_is_refused(tmp_path: Path) -> None:
    async def story(scene: World) -> None:
        config = replace(scene.server_config(), subnet=IPv4Network("127.7.0.0/24"))
        server = await scene.serve(config)
        client = scene.connect(replace(scene.client_config(server), reconnect=False))
        await client.over.wait()
        assert client.result is not None
        assert client.result.kind is FailureKind.REFUSED
        assert "the server assigned what this machine cannot have: 127.7.0." in (
            client.result.message
        )
        assert client.host.plans == []

    tell(tmp_path, story)


def test_a_refused_address_is_asked_for_again_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(scene: World) -> None:
        server = await scene.serve()
        client = scene.connect(replace(scene.client_config(server), reconnect_interval=0.2))
        client.host.here = MachineNetworks(addresses=tuple(IPv4Network("10.0.0.0/24")))
        await eventually(lambda: "is an address that this machine has already" in caplog.text)
        assert client.host.plans == []
        client.host.here = MachineNetworks()
        await is_up(client)
        await crosses(client, server, b"elsewhere")

    tell(tmp_path, story)


def test_a_restarted_server_finds_its_client_again(tmp_path: Path) -> None:
    async def story(scene: World) -> None:
        first = await scene.serve()
        client = scene.connect(replace(scene.client_config(first), reconnect_interval=0.2))
        await is_up(client)
        await crosses(client, first, b"before")
        plans = list(client.host.plans)
        first.stop.set()
        await first.over.wait()
        second = await scene.serve(first.config)
        await crosses(client, second, b"after")
        assert client.host.plans == plans

    tell(tmp_path, story)


def test_a_reload_changes_keys_and_keeps_tunnels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(scene: World) -> None:
        caplog.set_level("INFO", "mqvpn_core")
        server = await scene.serve()
        alice = scene.connect(scene.client_config(server))
        bob = scene.connect(replace(scene.client_config(server, "bob"), reconnect=False))
        await is_up(alice)
        await is_up(bob)
        changed = replace(
            server.config, users=MappingProxyType({"alice": hash_of("alice")}), nat=False
        )
        await server.reloads.send(changed)
        await bob.over.wait()
        await crosses(alice, server, b"still here")
        assert alice.host.plans == alice.host.plans[:1]
        late = scene.connect(scene.client_config(server, "bob"))
        await late.over.wait()
        assert late.result is not None
        assert late.result.kind is FailureKind.CREDENTIALS
        await server.reloads.send(replace(changed, key_file=scene.folder / "missing"))
        await crosses(alice, server, b"and again")

    tell(tmp_path, story)
    assert "nat takes effect at the next start" in caplog.text
    assert "missing: No such file or directory; nothing is changed" in caplog.text


def test_the_client_comes_when_the_server_does(tmp_path: Path) -> None:
    async def story(scene: World) -> None:
        probe = await scene.serve()
        probe.stop.set()
        await probe.over.wait()
        client = scene.connect(replace(scene.client_config(probe), reconnect_interval=0.2))
        await trio.sleep(0.5)
        assert client.host.plans == []
        server = await scene.serve(probe.config)
        await crosses_after_up(client, server)

    async def crosses_after_up(client: RunningClient, server: RunningServer) -> None:
        await is_up(client)
        await crosses(client, server, b"at last")

    tell(tmp_path, story)


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.3])
def test_cancellation_at_any_time_leaves_nothing(tmp_path: Path, after: float) -> None:
    async def story(scene: World) -> None:
        server = await scene.serve()
        client = scene.connect(scene.client_config(server))
        await trio.sleep(after)
        scene.nursery.cancel_scope.cancel()
        await client.over.wait()

    tell(tmp_path, story)
