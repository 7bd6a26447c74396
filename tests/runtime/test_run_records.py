"""What a running client and server tell of themselves: status, events and traces."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from mqvpn_core.app import server_status
from mqvpn_core.app.control_client import fetch_events, fetch_status
from mqvpn_core.app.event_lines import read_events
from mqvpn_core.runtime import outbox
from mqvpn_core.runtime.control_codec import EventsRequest
from mqvpn_core.runtime.event_values import CoreEvent, EventKind
from mqvpn_core.runtime.outbox import SendLosses
from mqvpn_core.runtime.site_service import SiteService
from mqvpn_core.runtime.status_values import Status, decode_status_values
from tests.runtime.test_client_and_server import crosses, is_up, tell
from tests.runtime.world import PATIENCE, World, eventually

pytestmark = pytest.mark.slow

ABOUT_TUNNELS = (EventKind.CONNECTION_UP, EventKind.RECONNECTING, EventKind.CONNECTION_DOWN)


async def status_of(path: Path) -> Status:
    return decode_status_values(await trio.to_thread.run_sync(fetch_status, path))


async def tunnel_events(path: Path, count: int) -> list[CoreEvent]:
    """Wait for so many events about a tunnel as a whole, and return them."""

    def follow() -> list[CoreEvent]:
        found: list[CoreEvent] = []
        for reply in fetch_events(path, EventsRequest(follow=True)):
            found += [event for event in read_events(reply) if event.kind in ABOUT_TUNNELS]
            if len(found) >= count:
                break
        return found

    with trio.fail_after(PATIENCE):
        return await trio.to_thread.run_sync(follow)


def test_both_sides_tell_of_the_tunnel_and_its_end(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "c.sock", tmp_path / "s.sock"

    async def story(scene: World) -> None:
        server = await scene.serve(replace(scene.server_config(), control_socket=theirs))
        client = scene.connect(replace(scene.client_config(server), control_socket=ours))
        await is_up(client)
        await crosses(client, server, b"x" * 500)
        status, server_side = await status_of(ours), await status_of(theirs)
        (path,) = status.paths
        (tunnel,) = server_side.clients
        assert (path.interface, path.state, path.use) == ("lo", "active", "primary")
        assert path.tx_rate > 0
        assert path.share == 1.0
        assert path.seconds_silent < 5
        assert [each.remote for each in tunnel.paths] == [path.local]
        assert tunnel.rx_bytes == tunnel.paths[0].rx_bytes > 500
        assert status.taken_at == pytest.approx(server_side.taken_at, abs=5)
        (up,) = await tunnel_events(ours, 1)
        assert up.kind is EventKind.CONNECTION_UP
        assert up.text == f"connected to 127.0.0.1:{server.port}"
        client.stop.set()
        await client.over.wait()
        told = [(event.kind, event.peer) for event in await tunnel_events(theirs, 2)]
        assert told == [(EventKind.CONNECTION_UP, "alice"), (EventKind.CONNECTION_DOWN, "alice")]

    tell(tmp_path, story)


def test_what_was_lost_and_what_is_served_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server lost one packet, the client two, and seven files are on their way."""
    ours, theirs = tmp_path / "c.sock", tmp_path / "s.sock"
    losses = iter((SendLosses(no_room_count=1), SendLosses(no_socket_count=2)))
    monkeypatch.setattr(outbox, "SendLosses", lambda: next(losses))
    monkeypatch.setattr(SiteService, "transfer_count", 7)

    async def story(scene: World) -> None:
        server = await scene.serve(replace(scene.server_config(), control_socket=theirs))
        client = scene.connect(replace(scene.client_config(server), control_socket=ours))
        await is_up(client)
        of_client, of_server = (await status_of(ours)).counters, (await status_of(theirs)).counters
        names = ("dropped: no room in a socket", "dropped: no socket", "refused_by_host")
        assert [of_server[name] for name in names] == [1, 0, 0]
        assert [of_client[name] for name in names] == [0, 2, 0]
        assert of_server["site_transfers"] == 7
        assert "site_transfers" not in of_client

    tell(tmp_path, story)


def test_a_lost_tunnel_is_told_with_how_long_it_took(tmp_path: Path) -> None:
    ours = tmp_path / "c.sock"

    async def story(scene: World) -> None:
        server = await scene.serve()
        config = replace(scene.client_config(server), control_socket=ours, reconnect_interval=0.1)
        client = scene.connect(config)
        await is_up(client)
        server.stop.set()
        await server.over.wait()
        await scene.serve(server.config)
        found = await tunnel_events(ours, 3)
        assert [event.kind for event in found] == [
            EventKind.CONNECTION_UP,
            EventKind.RECONNECTING,
            EventKind.CONNECTION_UP,
        ]
        gap = found[2].details["gap_ms"]
        assert isinstance(gap, float)
        assert gap == pytest.approx((found[2].at - found[1].at) * 1000)

    tell(tmp_path, story)


def test_the_paths_of_very_many_clients_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_status, "MAX_DETAILED_CLIENTS", 0)
    theirs = tmp_path / "s.sock"

    async def story(scene: World) -> None:
        server = await scene.serve(replace(scene.server_config(), control_socket=theirs))
        client = scene.connect(scene.client_config(server))
        await is_up(client)
        await crosses(client, server, b"x")
        (tunnel,) = (await status_of(theirs)).clients
        assert tunnel.paths == ()
        assert tunnel.tx_bytes > 0

    tell(tmp_path, story)


def test_traces_of_both_sides_begin_and_end_with_the_connection(tmp_path: Path) -> None:
    traces = tmp_path / "traces"

    async def story(scene: World) -> None:
        server = await scene.serve(replace(scene.server_config(), qlog=traces))
        client = scene.connect(replace(scene.client_config(server), qlog=traces))
        await is_up(client)
        await crosses(client, server, b"x" * 500)
        client.stop.set()
        await client.over.wait()
        await eventually(lambda: b"connection_closed" in _bytes(traces, "server"))

    tell(tmp_path, story)
    for side in ("client", "server"):
        lines = [json.loads(line) for line in _bytes(traces, side).split(b"\x1e")[1:]]
        assert lines[0]["trace"]["vantage_point"]["type"] == side
        assert lines[1]["name"] == "connectivity:connection_started"
        assert "connectivity:connection_closed" in {line["name"] for line in lines[1:]}


def _bytes(traces: Path, side: str) -> bytes:
    return b"".join(path.read_bytes() for path in traces.glob(f"*_{side}.sqlog"))
